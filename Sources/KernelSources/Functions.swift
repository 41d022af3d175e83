internal import CSIMD

// Elementary functions on one vector. Polynomial coefficients are our own weighted minimax fits in Double; the error of
// each fit stands beside it, rounding in float32 adds about 1e-7 relative.

/// e^x: 2^n · e^r with |r| ≤ ln 2 / 2; 2^n is applied in two factors so that results reach infinity and the subnormal
/// numbers correctly. Fit of (e^r − 1 − r) / r²: 8e-9.
@inline(__always)
func vexp(_ x: V) -> V {
  // Beyond these bounds the result is 0 or infinity anyway. The order of the operands lets NaN through.
  let bounded = csimd_min(csimd_splat(89), csimd_max(csimd_splat(-104), x))
  // Adding 1.5 · 2^23 rounds to the nearest integer and leaves it in the low bits.
  let magic = csimd_splat(12_582_912)
  let shifted = csimd_fma(bounded, csimd_splat(1.442_695_04), magic)
  let n = shifted - magic
  // ln 2 in two parts; the first has 9 bits, so that n times it is exact without a fused product.
  var r = csimd_fma(n, csimd_splat(-0.693_359_375), bounded)
  r = csimd_fma(n, csimd_splat(2.121_944_40e-4), r)
  let p = horner(r, 0.500_000_002_8, 0.166_665_733_6, 0.041_666_364_55, 0.008_363_776_179, 0.001_394_207_176)
  let e = csimd_fma(r * r, p, r) + csimd_splat(1)
  #if KERNELS_AVX512
    return csimd_scale(e, n)
  #else
    return csimd_select(csimd_is_nan(x), x, scaled(e, byPowerIn: shifted))
  #endif
}

@inline(__always)
func vsigmoid(_ x: V) -> V { csimd_splat(1) / (csimd_splat(1) + vexp(csimd_splat(0) - x)) }

@inline(__always)
func vsilu(_ x: V) -> V { x / (csimd_splat(1) + vexp(csimd_splat(0) - x)) }

/// tanh: odd polynomial below 0.625 (fit of tanh(x) / x in x²: 4e-9), else 1 − 2 / (e^2|x| + 1).
@inline(__always)
func vtanh(_ x: V) -> V {
  let magnitude = csimd_abs(x)
  let s = x * x
  let q = horner(s, -0.333_332_633_6, 0.133_311_853_6, -0.053_725_202_07, 0.020_603_059_74, -0.005_672_331_932)
  let small = csimd_fma(x * s, q, x)
  let e = vexp(magnitude + magnitude)
  let large = csimd_splat(1) - csimd_splat(2) / (e + csimd_splat(1))
  let signed = csimd_select(csimd_less(x, csimd_splat(0)), csimd_splat(0) - large, large)
  return csimd_select(csimd_less(magnitude, csimd_splat(0.625)), small, csimd_select(csimd_is_nan(x), x, signed))
}

/// erfc(x) for x ≥ 0: e^(−x²) · t · P(t), t = 1 / (1 + 0.35 x). Fit of e^(x²) erfc(x) on [0, 10.5]: 8e-9 relative;
/// beyond that e^(−x²) is zero in float32.
@inline(__always)
func verfcPositive(_ x: V) -> V {
  let t = csimd_splat(1) / csimd_fma(x, csimd_splat(0.35), csimd_splat(1))
  let high = horner(t, 0.098_106_434_64, -0.040_553_189_19, 0.190_776_720_1, -0.162_770_580_3, 0.039_089_128_44)
  let low = horner(t, 0.197_480_294_8, 0.197_202_309_6, 0.187_398_381_1, 0.153_426_480_1, 0.139_844_028_3)
  let t2 = t * t
  let p = csimd_fma(high, t2 * t2 * t, low)
  return vexp(csimd_splat(0) - x * x) * t * p
}

/// erf: odd polynomial below 1 (fit of erf(x) / x in x²: 2e-9), else 1 − erfc|x|.
@inline(__always)
func verf(_ x: V) -> V {
  let magnitude = csimd_abs(x)
  let s = x * x
  let q = horner(s, 0.112_836_001_4, -0.026_854_443_24, 0.005_189_532_731, -0.000_802_081_803_1, 0.000_078_890_418_56)
  let p = csimd_fma(csimd_fma(q, s, csimd_splat(-0.376_126_271_3)), s, csimd_splat(1.128_379_166))
  let large = csimd_splat(1) - verfcPositive(magnitude)
  let signed = csimd_select(csimd_less(x, csimd_splat(0)), csimd_splat(0) - large, large)
  return csimd_select(csimd_less(magnitude, csimd_splat(1)), x * p, csimd_select(csimd_is_nan(x), x, signed))
}

/// x · Φ(x) through erfc, which keeps the relative accuracy of the negative tail.
@inline(__always)
func vgelu(_ x: V) -> V {
  let tail = verfcPositive(csimd_abs(x) * csimd_splat(0.707_106_781))
  // The product with zero at x = −∞ would be NaN; the limit is 0.
  let bounded = csimd_select(csimd_is_nan(x), x, csimd_max(x, csimd_splat(-3e38)))
  let half = bounded * csimd_splat(0.5)
  let negative = csimd_less(x, csimd_splat(0))
  return half * csimd_select(negative, tail, csimd_splat(2) - tail)
}

@inline(__always)
func vgeluTanh(_ x: V) -> V {
  let inner = csimd_splat(0.797_884_561) * csimd_fma(csimd_splat(0.044_715) * x * x, x, x)
  return csimd_splat(0.5) * x * (csimd_splat(1) + vtanh(inner))
}

@inline(__always)
func vquickGelu(_ x: V) -> V { x / (csimd_splat(1) + vexp(csimd_splat(-1.702) * x)) }

/// NaN stays NaN.
@inline(__always)
func vrelu(_ x: V) -> V { csimd_select(csimd_less(x, csimd_splat(0)), csimd_splat(0), x) }
