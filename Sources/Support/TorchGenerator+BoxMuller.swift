import Glibc

/// Normal pairs from uniform pairs: `√(-2 log u1) * (cos, sin)(2π u2)` (Box and Muller 1958).
enum BoxMuller {
  /// The Float nearest to 2π; `Float.pi` is rounded towards zero.
  private static let twoPi: Float = 6.283185307179586

  /// Replaces 16 uniforms by 16 normals: values i and i + 8 make a pair.
  ///
  /// Every product that feeds a sum is fused, as the compiler of torch's AVX2 kernel does it: with these polynomials
  /// the results are bit-equal to torch's, not merely close.
  static func transform(_ values: UnsafeMutablePointer<Float>) {
    for i in 0..<8 {
      let radius = (-2 * logarithm(1 - values[i])).squareRoot()
      let (sine, cosine) = sineAndCosine(twoPi * values[i + 8])
      // Adding the mean of zero turns -0 into +0.
      values[i] = radius * cosine + 0
      values[i + 8] = radius * sine + 0
    }
  }

  static func transform(_ values: inout [Double], from start: Int) {
    for i in start..<start + 8 {
      let (cosine, sine) = pair(logarithmOf: 1 - values[i], angle: values[i + 8])
      values[i] = cosine
      values[i + 8] = sine
    }
  }

  static func pair(logarithmOf value: Double, angle: Double) -> (cosine: Double, sine: Double) {
    let radius = (-2 * log(value)).squareRoot()
    let theta = 2 * Double.pi * angle
    return (radius * cos(theta), radius * sin(theta))
  }

  static func pair(logarithmOfOneMinus value: Double, angle: Double) -> (cosine: Double, sine: Double) {
    let radius = (-2 * log1p(-value)).squareRoot()
    let theta = 2 * Double.pi * angle
    return (radius * cos(theta), radius * sin(theta))
  }

  /// Natural logarithm of a normal number, Cephes' single precision polynomial.
  private static func logarithm(_ value: Float) -> Float {
    // Mantissa in 0.5..<1, then in √½..<√2 around 1.
    var mantissa = value.significand / 2
    var exponent = Float(value.exponent + 1)
    if mantissa < 0.707106781186547524 {
      exponent -= 1
      mantissa = (mantissa - 1) + mantissa
    } else {
      mantissa -= 1
    }
    let square = mantissa * mantissa
    var y: Float = 7.0376836292e-2
    y = fused(y, mantissa, -1.1514610310e-1)
    y = fused(y, mantissa, 1.1676998740e-1)
    y = fused(y, mantissa, -1.2420140846e-1)
    y = fused(y, mantissa, 1.4249322787e-1)
    y = fused(y, mantissa, -1.6668057665e-1)
    y = fused(y, mantissa, 2.0000714765e-1)
    y = fused(y, mantissa, -2.4999993993e-1)
    y = fused(y, mantissa, 3.3333331174e-1)
    y *= mantissa
    // log 2 in two parts, -2.12194440e-4 and 0.693359375.
    y = fused(y, square, exponent * -2.12194440e-4)
    y = fused(-square, 0.5, y)
    return fused(exponent, 0.693359375, mantissa + y)
  }

  /// Sine and cosine of an angle in 0...2π, Cephes' single precision polynomials.
  private static func sineAndCosine(_ angle: Float) -> (sine: Float, cosine: Float) {
    // The nearest even octant.
    let octant = (Int32(angle * 1.27323954473516) + 1) & ~1
    let turns = Float(octant)
    // π/4 in three parts.
    var x = fused(turns, -0.78515625, angle)
    x = fused(turns, -2.4187564849853515625e-4, x)
    x = fused(turns, -3.77489497744594108e-8, x)
    let square = x * x
    var even: Float = 2.443315711809948e-5
    even = fused(even, square, -1.388731625493765e-3)
    even = fused(even, square, 4.166664568298827e-2)
    even *= square
    even = fused(even, square, -(square * 0.5)) + 1
    var odd: Float = -1.9515295891e-4
    odd = fused(odd, square, 8.3321608736e-3)
    odd = fused(odd, square, -1.6666654611e-1)
    odd *= square
    odd = fused(odd, x, x)
    let swapped = octant & 2 != 0
    let sine = swapped ? even : odd
    let cosine = swapped ? odd : even
    return (octant & 4 != 0 ? -sine : sine, (octant - 2) & 4 != 0 ? cosine : -cosine)
  }

  private static func fused(_ a: Float, _ b: Float, _ c: Float) -> Float { c.addingProduct(a, b) }
}
