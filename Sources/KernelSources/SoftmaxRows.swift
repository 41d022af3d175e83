internal import CSIMD

// The softmax of a block of scores in base 2: the factor log2(e) is in the scores, where it costs nothing.

/// 2^x for x <= 128 as 2^n for the nearest integer n, times `power(r)` = 2^r of the rest, |r| <= 1/2. Results that would be subnormal
/// may be 0.
@inline(__always)
private func vexp2(_ x: V, _ power: (V) -> V) -> V {
  #if KERNELS_AVX512
    let r = csimd_remainder(x)
    return csimd_scale(power(r), x - r)
  #else
    let least = csimd_splat(-126)
    // The order of the operands lets NaN through.
    let bounded = csimd_max(least, x)
    // n + 1.5 · 2^23: n is in the low bits, and the others are shifted out below.
    let shifted = bounded + csimd_splat(12_582_912)
    let e = power(bounded - (shifted - csimd_splat(12_582_912)))
    let result = csimd_from_bits(csimd_bits(e) &+ (csimd_bits(shifted) &<< VI(repeating: 23)))
    // 0, or NaN for NaN.
    return csimd_select(csimd_less(least, x), result, bounded - bounded)
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

/// Two vectors of which `rest` scores are there; the others are -infinity.
@inline(__always)
func lastScores(_ line: In, _ rest: Int) -> (V, V) {
  let whole = min(rest, lanes)
  return (
    csimd_load_first_or(line, whole, -.infinity), csimd_load_first_or(line + lanes, rest &- whole, -.infinity)
  )
}

/// What a row's scores are lessened by: the maximum with the block at hand.
@inline(__always)
func softmaxShift(_ state: In) -> V {
  let top = state[lanes &+ 1]
  // Nothing visible yet: every exponential is zero whatever the shift.
  return csimd_splat(top == -Float.infinity ? 0 : top)
}

/// Adds the sum of a block's exponentials to a row's state; where the maximum grew, what was there before shrinks with it.
@inline(__always)
func updateState(_ state: Out, _ sum: V, _ shift: V, _ result: Out, _ valueSize: Int) {
  let old = state[lanes]
  let top = state[lanes &+ 1]
  if top != old {
    let factor = old == -Float.infinity ? 0 : csimd_first(vexp2(csimd_splat(old) - shift))
    let scale = csimd_splat(factor)
    csimd_store(state, csimd_load(state) * scale)
    map(In(result), result, valueSize) { $0 * scale }
    state[lanes] = top
  }
  csimd_store(state, csimd_load(state) + sum)
}

/// A `SoftmaxKernel`. `store(line, i, first, second, sum)` takes the exponentials of scores i ..< i + tileColumns of a row,
/// zeros past its end, and returns `sum` with theirs added.
@inline(__always)
func softmaxRows(
  _ rows: Int, _ keys: Int, _ scores: Out, _ stride: Int, _ states: Out, _ results: Out, _ valueSize: Int,
  _ exponential: (V) -> V, _ store: (_ line: Out, _ i: Int, _ first: V, _ second: V, _ sum: V) -> V
) {
  for row in 0..<rows {
    let line = scores + row &* stride
    let state = states + row &* tileColumns
    let shift = softmaxShift(state)
    var sum = csimd_splat(0)
    var i = 0
    while i &+ tileColumns <= keys {
      let first = exponential(csimd_load(line + i) - shift)
      let second = exponential(csimd_load(line + i + lanes) - shift)
      sum = store(line, i, first, second, sum)
      i &+= tileColumns
    }
    if i < keys {
      let (first, second) = lastScores(line + i, keys &- i)
      sum = store(line, i, exponential(first - shift), exponential(second - shift), sum)
    }
    updateState(state, sum, shift, results + row &* valueSize, valueSize)
  }
}
