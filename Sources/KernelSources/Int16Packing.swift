internal import CSIMD

// Packing for products on pairs of 16-bit integers, and what attention does with them.

func columnSquares(_ rows: In, _ depth: Int, _ squares: Out) {
  var left = csimd_load(squares)
  var right = csimd_load(squares + lanes)
  var from = rows
  for _ in 0..<depth {
    let (l, r) = (csimd_load(from), csimd_load(from + lanes))
    left = csimd_fma(l, l, left)
    right = csimd_fma(r, r, right)
    from += tileColumns
  }
  csimd_store(squares, left)
  csimd_store(squares + lanes, right)
}

/// Two rows at a time; `store` takes those of one word, multiplied by their factors.
@inline(__always)
private func packWords(
  _ rows: In, _ depth: Int, _ factors: In, _ store: (_ word: Int, _ half: Int, _ low: V, _ high: V) -> Void
) {
  for half in 0..<2 {
    let factor = csimd_load(factors + half &* lanes)
    var from = rows + half &* lanes
    var k = 0
    while k < depth {
      let high = k &+ 1 < depth ? csimd_load(from + tileColumns) * factor : csimd_splat(0)
      store(k / 2, half, csimd_load(from) * factor, high)
      from += 2 &* tileColumns
      k &+= 2
    }
  }
}

func packInt16(_ rows: In, _ depth: Int, _ factors: In, _ panel: Out) {
  packWords(rows, depth, factors) { word, half, low, high in
    csimd_store(panel + (word &* tileColumns &+ half &* lanes), csimd_int16_pair(low, high))
  }
}

func packInt16Bytes(_ rows: In, _ depth: Int, _ factors: In, _ panel: Out) {
  let bytes = UnsafeMutableRawPointer(panel).assumingMemoryBound(to: UInt16.self)
  packWords(rows, depth, factors) { word, half, low, high in
    csimd_store_byte_pairs(bytes + (word &* tileColumns &+ half &* lanes), low, high)
  }
}

@inline(__always)
private func unpackWords(
  _ depth: Int, _ scales: In, _ rows: Out, _ load: (_ word: Int, _ half: Int) -> V
) {
  for half in 0..<2 {
    let scale = csimd_load(scales + half &* lanes)
    var to = rows + half &* lanes
    var k = 0
    while k < depth {
      let word = load(k / 2, half)
      csimd_store(to, csimd_low_int16(word) * scale)
      if k &+ 1 < depth { csimd_store(to + tileColumns, csimd_high_int16(word) * scale) }
      to += 2 &* tileColumns
      k &+= 2
    }
  }
}

func unpackInt16(_ panel: In, _ depth: Int, _ scales: In, _ rows: Out) {
  unpackWords(depth, scales, rows) { csimd_load(panel + ($0 &* tileColumns &+ $1 &* lanes)) }
}

func unpackInt16Bytes(_ panel: In, _ depth: Int, _ scales: In, _ rows: Out) {
  let bytes = UnsafeRawPointer(panel).assumingMemoryBound(to: Int8.self)
  unpackWords(depth, scales, rows) { csimd_widen_bytes(bytes + 2 &* ($0 &* tileColumns &+ $1 &* lanes)) }
}

func quantizeInt16Row(_ x: In, _ factor: Float, _ out: UnsafeMutablePointer<Int16>, _ count: Int) {
  let scale = csimd_splat(factor)
  var i = 0
  while i &+ lanes <= count {
    csimd_store_scaled_int16(out + i, csimd_load(x + i), scale)
    i &+= lanes
  }
  while i < count {
    // As csimd_store_scaled_int16.
    let shifted = csimd_first(csimd_fma(csimd_splat(x[i]), scale, csimd_splat(12_582_912)))
    out[i] = Int16(truncatingIfNeeded: shifted.bitPattern)
    i &+= 1
  }
}

func softmaxInt16(
  _ rows: Int, _ keys: Int, _ scores: Out, _ stride: Int, _ states: Out, _ results: Out, _ valueSize: Int
) {
  let unit = csimd_splat(2_047)
  // Adding 1.5 · 2^23 rounds to an integer, which is in the low bits.
  let rounding = csimd_splat(12_582_912)
  let bits = VI(repeating: 0x4B40_0000)
  var (firstRest, secondRest) = (csimd_splat(0), csimd_splat(0))
  softmaxRows(rows, keys, scores, stride, states, results, valueSize, vexp2Coarse) { line, i, first, second, sum in
    if i == 0 { (firstRest, secondRest) = (csimd_splat(0), csimd_splat(0)) }
    let target = UnsafeMutableRawPointer(line).assumingMemoryBound(to: Int16.self) + i
    let (a, b) = (csimd_fma(first, unit, firstRest), csimd_fma(second, unit, secondRest))
    let (shiftedA, shiftedB) = (a + rounding, b + rounding)
    let (wholeA, wholeB) = (shiftedA - rounding, shiftedB - rounding)
    (firstRest, secondRest) = (a - wholeA, b - wholeB)
    csimd_store_int16(target, csimd_bits(shiftedA) &- bits)
    csimd_store_int16(target + lanes, csimd_bits(shiftedB) &- bits)
    return sum + (wholeA + wholeB)
  }
}

func addScaled(
  _ rows: Int, _ columns: Int, _ integers: In, _ stride: Int, _ scales: In, _ out: Out, _ outStride: Int
) {
  var i = 0
  while i < columns {
    let rest = columns &- i
    let whole = rest >= lanes
    @inline(__always) func load(_ p: In) -> V { whole ? csimd_load(p) : csimd_load_first(p, rest) }
    let scale = load(scales + i)
    for row in 0..<rows {
      let place = out + (row &* outStride &+ i)
      let sum = csimd_fma(csimd_float_of_integers(load(integers + (row &* stride &+ i))), scale, load(In(place)))
      if whole { csimd_store(place, sum) } else { csimd_store_first(place, sum, rest) }
    }
    i &+= lanes
  }
}
