internal import CSIMD

// The softmax of a block of scores in base 2: the factor log2(e) is in the scores, where it costs nothing.

/// 2^x as 2^n for the nearest integer n, times `power(r)` = 2^r of the rest, |r| <= 1/2.
@inline(__always)
private func vexp2(_ x: V, _ power: (V) -> V) -> V {
  #if KERNELS_AVX512
    let r = csimd_remainder(x)
    return csimd_scale(power(r), x - r)
  #else
    // Below this bound the result is 0. The order of the operands lets NaN through.
    let bounded = csimd_max(csimd_splat(-160), x)
    let shifted = bounded + csimd_splat(12_582_912)
    let e = power(bounded - (shifted - csimd_splat(12_582_912)))
    return csimd_select(csimd_is_nan(x), x, scaled(e, byPowerIn: shifted))
  #endif
}

/// Our own minimax fit: 9e-8 relative.
@inline(__always)
func vexp2(_ x: V) -> V {
  vexp2(x) { r in
    let q = horner(r, 0.693_146_977_5, 0.240_222_421_2, 0.055_507_339_63, 0.009_671_511_324, 0.001_326_465_241)
    return csimd_fma(q, r, csimd_splat(1))
  }
}

/// The same for results that are rounded to bfloat16: 1e-4 relative, a twentieth of that rounding.
@inline(__always)
func vexp2Coarse(_ x: V) -> V {
  vexp2(x) { r in
    var q = csimd_fma(csimd_splat(0.055_008_931_85), r, csimd_splat(0.242_210_959_4))
    q = csimd_fma(q, r, csimd_splat(0.693_282_926_9))
    return csimd_fma(q, r, csimd_splat(1))
  }
}

/// Largest of a row and of `old`.
@inline(__always)
private func largest(_ line: In, _ keys: Int, _ old: Float) -> Float {
  // A comparison with NaN is false, so NaN never becomes the maximum; its exponential carries it on.
  var top0 = csimd_splat(old)
  var top1 = top0
  var i = 0
  while i &+ 2 &* lanes <= keys {
    top0 = csimd_max(csimd_load(line + i), top0)
    top1 = csimd_max(csimd_load(line + i + lanes), top1)
    i &+= 2 &* lanes
  }
  if i &+ lanes <= keys {
    top0 = csimd_max(csimd_load(line + i), top0)
    i &+= lanes
  }
  var top = csimd_horizontal_max(csimd_max(top0, top1))
  while i < keys {
    if line[i] > top { top = line[i] }
    i &+= 1
  }
  return top
}

/// `FusedKernels.attentionRows` and `NarrowKernels.attentionPairs`. `store(row, i, values, count)` takes a vector of a row's
/// exponentials; of the last one `count` are the row's, zeros follow, and the scores' memory holds them already.
@inline(__always)
func softmaxRows(
  _ rows: Int, _ keys: Int, _ scores: Out, _ stride: Int, _ maxima: Out, _ sums: Out, _ results: Out, _ valueSize: Int,
  _ exponential: (V) -> V, _ store: (_ row: Int, _ i: Int, _ values: V, _ rest: Int) -> Void
) {
  for row in 0..<rows {
    let line = scores + row &* stride
    let old = maxima[row]
    let top = largest(line, keys, old)
    // Nothing visible yet: every exponential is zero whatever the shift.
    let shift = csimd_splat(top == -Float.infinity ? 0 : top)
    var sum0 = csimd_splat(0)
    var sum1 = csimd_splat(0)
    var i = 0
    while i &+ 2 &* lanes <= keys {
      let e0 = exponential(csimd_load(line + i) - shift)
      let e1 = exponential(csimd_load(line + i + lanes) - shift)
      store(row, i, e0, lanes)
      store(row, i &+ lanes, e1, lanes)
      sum0 = sum0 + e0
      sum1 = sum1 + e1
      i &+= 2 &* lanes
    }
    if i &+ lanes <= keys {
      let e = exponential(csimd_load(line + i) - shift)
      store(row, i, e, lanes)
      sum0 = sum0 + e
      i &+= lanes
    }
    if i < keys {
      let rest = keys &- i
      csimd_store_first(line + i, exponential(csimd_load_first(line + i, rest) - shift), rest)
      let e = csimd_load_first(line + i, rest)
      store(row, i, e, rest)
      sum1 = sum1 + e
    }
    var total = sums[row]
    if top != old {
      let factor = old == -Float.infinity ? 0 : csimd_first(vexp2(csimd_splat(old) - shift))
      total *= factor
      let scale = csimd_splat(factor)
      let result = results + row &* valueSize
      map(In(result), result, valueSize) { $0 * scale }
      maxima[row] = top
    }
    sums[row] = total + csimd_sum(sum0 + sum1)
  }
}

/// `round` stores a vector as bfloat16.
@inline(__always)
func attentionPairs(
  _ rows: Int, _ keys: Int, _ scores: Out, _ stride: Int, _ maxima: Out, _ sums: Out, _ results: Out, _ valueSize: Int,
  _ pairs: Out, _ round: (UnsafeMutablePointer<UInt16>, V) -> Void
) {
  softmaxRows(rows, keys, scores, stride, maxima, sums, results, valueSize, vexp2Coarse) { row, i, values, _ in
    round(UnsafeMutableRawPointer(pairs + row &* stride).assumingMemoryBound(to: UInt16.self) + i, values)
  }
}
