internal import CSIMD

// Around the products of attention. Maxima are a pass of their own: the last steps of each wait for one another, and those of
// several rows overlap.

func prefetchRows(_ rows: Int, _ size: Int, _ source: In, _ stride: Int) {
  for row in 0..<rows {
    var i = 0
    while i < size {
      csimd_prefetch(source + (row &* stride &+ i))
      i &+= lineFloats
    }
    csimd_prefetch(source + (row &* stride &+ size &- 1))
  }
}

func scaleRows(
  _ rows: Int, _ size: Int, _ source: In, _ stride: Int, _ scale: Float, _ target: Out, _ targetStride: Int
) {
  let factor = csimd_splat(scale)
  for row in 0..<rows { map(source + row &* stride, target + row &* targetStride, size) { $0 * factor } }
}

func beginRows(_ rows: Int, _ valueSize: Int, _ states: Out, _ results: Out) {
  for row in 0..<rows {
    csimd_store(states + row &* tileColumns, csimd_splat(0))
    csimd_store(states + (row &* tileColumns &+ lanes), csimd_splat(-.infinity))
  }
  results.update(repeating: 0, count: rows &* valueSize)
}

/// Goes through a row of scores two vectors at a time; `-infinity` past its end.
@inline(__always)
private func largest(_ line: In, _ keys: Int, _ old: Float) -> Float {
  // A comparison with NaN is false, so NaN never becomes the maximum; its exponential carries it on.
  var top0 = csimd_splat(old)
  var top1 = top0
  var i = 0
  while i &+ tileColumns <= keys {
    top0 = csimd_max(csimd_load(line + i), top0)
    top1 = csimd_max(csimd_load(line + i + lanes), top1)
    i &+= tileColumns
  }
  if i < keys {
    let (first, second) = lastScores(line + i, keys &- i)
    top0 = csimd_max(first, top0)
    top1 = csimd_max(second, top1)
  }
  return csimd_horizontal_max(csimd_max(top0, top1))
}

func scoreMaxima(_ rows: Int, _ keys: Int, _ scores: In, _ stride: Int, _ states: Out) {
  for row in 0..<rows {
    let maximum = states + (row &* tileColumns &+ lanes)
    maximum[1] = largest(scores + row &* stride, keys, maximum[0])
  }
}

func integerScores(
  _ rows: Int, _ keys: Int, _ scores: Out, _ stride: Int, _ rowScales: In, _ keyScales: In,
  _ keyOffsets: UnsafePointer<Int32>, _ states: Out
) {
  let offsets = UnsafeRawPointer(keyOffsets).assumingMemoryBound(to: Float.self)
  for row in 0..<rows {
    let line = scores + row &* stride
    let maximum = states + (row &* tileColumns &+ lanes)
    let scale = csimd_splat(rowScales[row])
    @inline(__always) func score(_ product: V, _ offset: V, _ keyScale: V) -> V {
      csimd_float_of_integers(csimd_subtract_integers(product, offset)) * (keyScale * scale)
    }
    var top0 = csimd_splat(maximum[0])
    var top1 = top0
    var i = 0
    while i &+ tileColumns <= keys {
      let first = score(csimd_load(line + i), csimd_load(offsets + i), csimd_load(keyScales + i))
      let second = score(
        csimd_load(line + i + lanes), csimd_load(offsets + i + lanes), csimd_load(keyScales + i + lanes))
      csimd_store(line + i, first)
      csimd_store(line + i + lanes, second)
      top0 = csimd_max(first, top0)
      top1 = csimd_max(second, top1)
      i &+= tileColumns
    }
    while i < keys {
      let rest = min(lanes, keys &- i)
      let values = score(
        csimd_load_first_or(line + i, rest, 0), csimd_load_first_or(offsets + i, rest, 0),
        csimd_load_first_or(keyScales + i, rest, 0))
      csimd_store(line + i, values)
      top0 = csimd_max(csimd_load_first_or(line + i, rest, -.infinity), top0)
      i &+= lanes
    }
    maximum[1] = csimd_horizontal_max(csimd_max(top0, top1))
  }
}

func softmax(
  _ rows: Int, _ keys: Int, _ scores: Out, _ stride: Int, _ states: Out, _ results: Out, _ valueSize: Int
) {
  softmaxRows(rows, keys, scores, stride, states, results, valueSize, vexp2) { line, i, first, second, sum in
    csimd_store(line + i, first)
    csimd_store(line + i + lanes, second)
    return sum + (first + second)
  }
}

func softmaxPairs(
  _ rows: Int, _ keys: Int, _ scores: Out, _ stride: Int, _ states: Out, _ results: Out, _ valueSize: Int
) {
  softmaxRows(rows, keys, scores, stride, states, results, valueSize, vexp2Coarse) { line, i, first, second, sum in
    let target = UnsafeMutableRawPointer(line).assumingMemoryBound(to: UInt16.self) + i
    csimd_to_bfloat16(target, first)
    csimd_to_bfloat16(target + lanes, second)
    return sum + (first + second)
  }
}

func divideResults(_ rows: Int, _ valueSize: Int, _ results: In, _ states: In, _ target: Out, _ stride: Int) {
  for row in 0..<rows {
    let sum = csimd_splat(csimd_sum(csimd_load(states + row &* tileColumns)))
    // No visible key at all: 0 / 0 is NaN, as the definition has it.
    map(results + row &* valueSize, target + row &* stride, valueSize) { $0 / sum }
  }
}
