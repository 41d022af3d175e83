internal import CSIMD

// Packing for products on bfloat16 pairs and on bytes. Words hold elements that follow each other along K, so packing
// works lane by lane.

func unpackPairs(_ panel: In, _ depth: Int, _ rows: Out) {
  var from = panel
  var to = rows
  var k = 0
  while k < depth {
    for half in 0..<2 {
      let word = csimd_load(from + half &* lanes)
      csimd_store(to + half &* lanes, csimd_low_half(word))
      if k &+ 1 < depth { csimd_store(to + (tileColumns &+ half &* lanes), csimd_high_half(word)) }
    }
    from += tileColumns
    to += 2 &* tileColumns
    k &+= 2
  }
}

/// A magnitude as an integer: larger ones have larger bits, and NaN has larger ones than infinity.
@inline(__always)
private func magnitudeBits(_ x: V) -> VI { csimd_bits(csimd_abs(x)) }

@inline(__always)
private func larger(_ x: V, _ top: VI) -> VI { csimd_larger_integer(magnitudeBits(x), top) }

func columnMagnitudes(_ rows: In, _ depth: Int, _ magnitudes: Out) {
  var left = magnitudeBits(csimd_load(magnitudes))
  var right = magnitudeBits(csimd_load(magnitudes + lanes))
  var from = rows
  for _ in 0..<depth {
    left = larger(csimd_load(from), left)
    right = larger(csimd_load(from + lanes), right)
    from += tileColumns
  }
  csimd_store(magnitudes, csimd_from_bits(left))
  csimd_store(magnitudes + lanes, csimd_from_bits(right))
}

func packBytes(_ rows: In, _ depth: Int, _ factors: In, _ panel: Out, _ sums: UnsafeMutablePointer<Int32>) {
  let sumWords = UnsafeMutableRawPointer(sums).assumingMemoryBound(to: Float.self)
  let ones = csimd_splat(Float(bitPattern: 0x0101_0101))
  for half in 0..<2 {
    let factor = csimd_load(factors + half &* lanes)
    var from = rows + half &* lanes
    var to = panel + half &* lanes
    var sum = csimd_load(sumWords + half &* lanes)
    var k = 0
    while k < depth {
      @inline(__always) func element(_ i: Int) -> V {
        k &+ i < depth ? csimd_load(from + i &* tileColumns) * factor : csimd_splat(0)
      }
      let word = csimd_quad(element(0), element(1), element(2), element(3))
      sum = csimd_dot_bytes(ones, word, sum)
      csimd_store(to, word)
      from += 4 &* tileColumns
      to += tileColumns
      k &+= 4
    }
    csimd_store(sumWords + half &* lanes, sum)
  }
}

func unpackBytes(_ panel: In, _ depth: Int, _ scales: In, _ rows: Out) {
  for half in 0..<2 {
    let scale = csimd_load(scales + half &* lanes)
    var from = panel + half &* lanes
    var to = rows + half &* lanes
    var k = 0
    while k < depth {
      let word = csimd_load(from)
      csimd_store(to, csimd_signed_byte(word, 0) * scale)
      if k &+ 1 < depth { csimd_store(to + tileColumns, csimd_signed_byte(word, 1) * scale) }
      if k &+ 2 < depth { csimd_store(to + 2 &* tileColumns, csimd_signed_byte(word, 2) * scale) }
      if k &+ 3 < depth { csimd_store(to + 3 &* tileColumns, csimd_signed_byte(word, 3) * scale) }
      from += tileColumns
      to += 4 &* tileColumns
      k &+= 4
    }
  }
}

func magnitude(_ x: In, _ count: Int) -> Float {
  var top0 = VI(repeating: 0)
  var top1 = top0
  var i = 0
  while i &+ tileColumns <= count {
    top0 = larger(csimd_load(x + i), top0)
    top1 = larger(csimd_load(x + i + lanes), top1)
    i &+= tileColumns
  }
  while i < count {
    top0 = larger(csimd_load_first_or(x + i, min(lanes, count &- i), 0), top0)
    i &+= lanes
  }
  return Float(bitPattern: UInt32(bitPattern: csimd_largest_integer(csimd_larger_integer(top0, top1))))
}

func quantizeRow(_ x: In, _ factor: Float, _ out: UnsafeMutablePointer<UInt8>, _ count: Int) {
  let scale = csimd_splat(factor)
  var i = 0
  while i &+ lanes <= count {
    csimd_store_offset_bytes(out + i, csimd_load(x + i), scale)
    i &+= lanes
  }
  while i < count {
    // As csimd_store_offset_bytes.
    let shifted = csimd_first(csimd_fma(csimd_splat(x[i]), scale, csimd_splat(12_583_040)))
    out[i] = UInt8(truncatingIfNeeded: shifted.bitPattern)
    i &+= 1
  }
}

func rescale(
  _ rows: Int, _ columns: Int, _ c: Out, _ cStride: Int, _ rowScales: In, _ columnScales: In,
  _ columnOffsets: UnsafePointer<Int32>, _ bias: In?, _ residual: In?, _ residualStride: Int, _ activation: Int32
) {
  let offsets = UnsafeRawPointer(columnOffsets).assumingMemoryBound(to: Float.self)
  withActivation(activation) { f in
    var i = 0
    while i < columns {
      let rest = columns &- i
      let whole = rest >= lanes
      @inline(__always) func load(_ p: In) -> V { whole ? csimd_load(p) : csimd_load_first(p, rest) }
      let scale = load(columnScales + i)
      let offset = load(offsets + i)
      let shift = bias.map { load($0 + i) } ?? csimd_splat(0)
      for row in 0..<rows {
        let place = c + (row &* cStride &+ i)
        let product = csimd_float_of_integers(csimd_subtract_integers(load(In(place)), offset))
        var sum = csimd_fma(product, scale * csimd_splat(rowScales[row]), shift)
        if let residual {
          let r = residual + (row &* residualStride &+ i)
          sum = sum + load(r)
          // The next panel's: the hardware sees no pattern in rows this short.
          csimd_prefetch(r + tileColumns)
        }
        if whole { csimd_store(place, f(sum)) } else { csimd_store_first(place, f(sum), rest) }
      }
      i &+= lanes
    }
  }
}
