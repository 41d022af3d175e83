/// exp, tanh, erf and what networks build from them, on eight floats at a time.
///
/// Polynomials are near-minimax fits (Lawson-weighted least squares on Chebyshev nodes) made for this file by
/// `scripts/fit_vector_math.py`; each says its interval and error. Plain multiply and add: the same bits on every machine.
enum VectorMath {
  /// Adding this to a float of magnitude below 2^22 leaves its integer part, rounded half to even, in the low bits.
  private static let roundingMagic: Float = 0x1.8p23

  /// e^x, error below 2 ulp for results that are normal; 0 and infinity beyond the range of Float; NaN stays NaN.
  @inline(__always)
  static func exponential(_ x: Lanes) -> Lanes {
    // Beyond these bounds the result is 0 or infinity anyway.
    let clamped = x.clamped(lowerBound: Lanes(repeating: -104), upperBound: Lanes(repeating: 89))
    let shifted = clamped * Lanes(repeating: 0x1.715476p+0) + Lanes(repeating: roundingMagic)
    let n = shifted - Lanes(repeating: roundingMagic)
    // ln 2 in two parts, the first with few enough bits that n times it is exact.
    let r = (clamped - n * Lanes(repeating: 0x1.62e4p-1)) - n * Lanes(repeating: 0x1.7f7d1cp-20)
    // e^r = 1 + r + r² P(r) on |r| <= ln 2 / 2, relative error 3e-9.
    var p = r * Lanes(repeating: 0.0013814600) + Lanes(repeating: 0.0083687156)
    p = p * r + Lanes(repeating: 0.041668389)
    p = p * r + Lanes(repeating: 0.16666521)
    p = p * r + Lanes(repeating: 0.49999994)
    let e = (p * r) * r + r + Lanes(repeating: 1)
    // 2^n as a product of two factors, since n reaches 128 and -150.
    let integer =
      unsafeBitCast(shifted, to: SIMD8<Int32>.self) &- SIMD8<Int32>(repeating: Int32(bitPattern: roundingMagic.bitPattern))
    let half = integer &>> SIMD8<Int32>(repeating: 1)
    let rest = integer &- half
    let bias = SIMD8<Int32>(repeating: 127)
    let shift = SIMD8<Int32>(repeating: 23)
    let first = unsafeBitCast((half &+ bias) &<< shift, to: Lanes.self)
    let second = unsafeBitCast((rest &+ bias) &<< shift, to: Lanes.self)
    return (e * first * second).replacing(with: x, where: x .!= x)
  }

  /// 1 / (1 + e^-x).
  @inline(__always)
  static func sigmoid(_ x: Lanes) -> Lanes {
    Lanes(repeating: 1) / (Lanes(repeating: 1) + exponential(-x))
  }

  /// x / (1 + e^(-alpha x)); -0 for minus infinity would be NaN in exact arithmetic and is NaN here.
  @inline(__always)
  static func swish(_ x: Lanes, alpha: Lanes) -> Lanes {
    x / (Lanes(repeating: 1) + exponential(-(alpha * x)))
  }

  /// Error below 2 ulp.
  @inline(__always)
  static func tanh(_ x: Lanes) -> Lanes {
    let magnitude = absolute(x)
    // tanh x = x + x³ P(x²) on |x| < 0.625, relative error 5e-9.
    let z = x * x
    var p = z * Lanes(repeating: -0.0056039053) + Lanes(repeating: 0.020551711)
    p = p * z + Lanes(repeating: -0.053714104)
    p = p * z + Lanes(repeating: 0.13331152)
    p = p * z + Lanes(repeating: -0.33333272)
    let small = (p * z) * x + x
    let e = exponential(magnitude + magnitude)
    let large = Lanes(repeating: 1) - Lanes(repeating: 2) / (e + Lanes(repeating: 1))
    return copySign(large, x).replacing(with: small, where: magnitude .< Lanes(repeating: 0.625))
  }

  /// erf on |x| < 1: x P(x²), relative error 1.3e-9.
  @inline(__always)
  private static func errorFunctionNearZero(_ x: Lanes) -> Lanes {
    let z = x * x
    var p = z * Lanes(repeating: 7.8538576e-05) + Lanes(repeating: -0.00080101925)
    p = p * z + Lanes(repeating: 0.0051883277)
    p = p * z + Lanes(repeating: -0.026853811)
    p = p * z + Lanes(repeating: 0.11283585)
    p = p * z + Lanes(repeating: -0.37612626)
    p = p * z + Lanes(repeating: 1.1283791)
    return p * x
  }

  /// 1 - erf(x) for x >= 1: e^P(x), absolute error below 1e-8 with the rounding of P; 0 from 5.6 on (erfc 5.6 = 2.4e-15).
  @inline(__always)
  private static func complementaryErrorFunction(_ x: Lanes) -> Lanes {
    let limit = Lanes(repeating: 5.6)
    let t = x.clamped(lowerBound: Lanes(repeating: 1), upperBound: limit)
    var p = t * Lanes(repeating: 9.103056e-08) + Lanes(repeating: -2.299527e-05)
    p = p * t + Lanes(repeating: 0.00044939658)
    p = p * t + Lanes(repeating: -0.0042323642)
    p = p * t + Lanes(repeating: 0.025267009)
    p = p * t + Lanes(repeating: -0.108496495)
    p = p * t + Lanes(repeating: -0.63315654)
    p = p * t + Lanes(repeating: -1.1296073)
    p = p * t + Lanes(repeating: 0.00019370539)
    let tail = exponential(p).replacing(with: Lanes.zero, where: x .>= limit)
    return tail.replacing(with: x, where: x .!= x)
  }

  @inline(__always)
  static func errorFunction(_ x: Lanes) -> Lanes {
    let magnitude = absolute(x)
    let large = Lanes(repeating: 1) - complementaryErrorFunction(magnitude)
    return copySign(large, x).replacing(with: errorFunctionNearZero(x), where: magnitude .< Lanes(repeating: 1))
  }

  /// x Φ(x) with the normal distribution function Φ(x) = (1 + erf(x / √2)) / 2.
  @inline(__always)
  static func gelu(_ x: Lanes) -> Lanes {
    let scaled = x * Lanes(repeating: 0x1.6a09e6p-1)
    let magnitude = absolute(scaled)
    let tail = Lanes(repeating: 0.5) * complementaryErrorFunction(magnitude)
    let far = (Lanes(repeating: 1) - tail).replacing(with: tail, where: scaled .< Lanes.zero)
    let near = Lanes(repeating: 0.5) + Lanes(repeating: 0.5) * errorFunctionNearZero(scaled)
    return x * far.replacing(with: near, where: magnitude .< Lanes(repeating: 1))
  }

  /// The approximation x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))), written as x times a sigmoid of twice the argument.
  @inline(__always)
  static func geluTanh(_ x: Lanes) -> Lanes {
    let inner = x * (Lanes(repeating: 1) + Lanes(repeating: 0.044715) * (x * x))
    return x / (Lanes(repeating: 1) + exponential(inner * Lanes(repeating: -2 * 0.7978845608)))
  }

  @inline(__always)
  static func absolute(_ x: Lanes) -> Lanes {
    unsafeBitCast(
      unsafeBitCast(x, to: SIMD8<UInt32>.self) & SIMD8<UInt32>(repeating: 0x7FFF_FFFF), to: Lanes.self)
  }

  /// `magnitude`, not negative, with the sign of `sign`.
  @inline(__always)
  private static func copySign(_ magnitude: Lanes, _ sign: Lanes) -> Lanes {
    let signs = unsafeBitCast(sign, to: SIMD8<UInt32>.self) & SIMD8<UInt32>(repeating: 0x8000_0000)
    return unsafeBitCast(unsafeBitCast(magnitude, to: SIMD8<UInt32>.self) | signs, to: Lanes.self)
  }
}
