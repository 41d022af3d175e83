import Graph

/// Binary layout of a floating-point type of at most 16 bits, converted from Double with one rounding.
///
/// Origin: IEEE 754 for float16, the bfloat16 white paper, "FP8 Formats for Deep Learning" (Micikevicius et al. 2022) for
/// E4M3FN and E5M2, "8-bit Numerical Formats for Deep Neural Networks" (Noune et al. 2022) for the FNUZ types, the OCP
/// microscaling specification for E2M1.
struct MiniFloat: Sendable {
  enum Specials: Sendable {
    /// All-ones exponent holds infinity and NaN.
    case ieee
    /// No infinity; the all-ones code of either sign is NaN.
    case finite
    /// No infinity, no negative zero; the code of negative zero is NaN.
    case finiteUnsignedZero
    /// Neither infinity nor NaN.
    case none
  }

  let exponentBits: Int
  let mantissaBits: Int
  let bias: Int
  let specials: Specials
  /// Largest finite value.
  let maximum: Double

  static let float16 = MiniFloat(exponentBits: 5, mantissaBits: 10, bias: 15, specials: .ieee, maximum: 65504)
  static let bfloat16 = MiniFloat(
    exponentBits: 8, mantissaBits: 7, bias: 127, specials: .ieee, maximum: 0x1.FEp127)
  static let e4m3fn = MiniFloat(exponentBits: 4, mantissaBits: 3, bias: 7, specials: .finite, maximum: 448)
  static let e4m3fnuz = MiniFloat(
    exponentBits: 4, mantissaBits: 3, bias: 8, specials: .finiteUnsignedZero, maximum: 240)
  static let e5m2 = MiniFloat(exponentBits: 5, mantissaBits: 2, bias: 15, specials: .ieee, maximum: 57344)
  static let e5m2fnuz = MiniFloat(
    exponentBits: 5, mantissaBits: 2, bias: 16, specials: .finiteUnsignedZero, maximum: 57344)
  static let e2m1 = MiniFloat(exponentBits: 2, mantissaBits: 1, bias: 1, specials: .none, maximum: 6)

  private var signCode: UInt16 { 1 << UInt16(exponentBits + mantissaBits) }

  private var notANumber: UInt16 {
    switch specials {
    case .ieee: (signCode - 1) ^ ((1 << UInt16(mantissaBits - 1)) - 1)
    case .finite: signCode - 1
    case .finiteUnsignedZero, .none: signCode
    }
  }

  /// Rounds half to even. Beyond the largest finite value (and for infinity): the largest value if `saturate`, else
  /// infinity where the type has one, else NaN. E2M1 always saturates.
  func encode(_ value: Double, saturate: Bool) -> UInt16 {
    if value.isNaN { return notANumber }
    let sign: UInt16 = value.sign == .minus ? signCode : 0
    let magnitude = value.magnitude
    guard magnitude > 0 else { return specials == .finiteUnsignedZero ? 0 : sign }
    if magnitude == .infinity { return beyond(sign, saturate: saturate) }
    // Numbers below the smallest normal share its exponent.
    let exponent = max(Int(magnitude.exponent), 1 - bias)
    let unit = Double(sign: .plus, exponent: exponent - mantissaBits, significand: 1)
    let steps = (magnitude / unit).rounded(.toNearestOrEven)
    if steps * unit > maximum { return beyond(sign, saturate: saturate) }
    // A carry out of the mantissa lands in the exponent field by itself.
    let code = UInt16(Int(steps) + ((exponent + bias - 1) << mantissaBits))
    return code == 0 && specials == .finiteUnsignedZero ? 0 : code | sign
  }

  private func beyond(_ sign: UInt16, saturate: Bool) -> UInt16 {
    if saturate || specials == .none { return encode(maximum, saturate: false) | sign }
    switch specials {
    case .ieee: return ((1 << UInt16(exponentBits)) - 1) << UInt16(mantissaBits) | sign
    case .finite: return notANumber | sign
    case .finiteUnsignedZero, .none: return notANumber
    }
  }

  func decode(_ code: UInt16) -> Double {
    let sign: Double = code & signCode == 0 ? 1 : -1
    let body = Int(code & (signCode - 1))
    let field = body >> mantissaBits
    let fraction = body & ((1 << mantissaBits) - 1)
    switch specials {
    case .ieee where field == (1 << exponentBits) - 1: return fraction == 0 ? sign * .infinity : .nan
    case .finite where body == Int(signCode) - 1: return .nan
    case .finiteUnsignedZero where code == signCode: return .nan
    default: break
    }
    let steps = field == 0 ? fraction : fraction + (1 << mantissaBits)
    return sign * Double(sign: .plus, exponent: max(field, 1) - bias - mantissaBits, significand: Double(steps))
  }

  /// Every code of an 8-bit or 4-bit type, decoded; all are exact in Float.
  var decoded: [Float] { (0..<(Int(signCode) * 2)).map { Float(decode(UInt16($0))) } }

  static let e4m3fnValues = e4m3fn.decoded
  static let e4m3fnuzValues = e4m3fnuz.decoded
  static let e5m2Values = e5m2.decoded
  static let e5m2fnuzValues = e5m2fnuz.decoded
  static let e2m1Values = e2m1.decoded
}

/// float8e8m0: an unsigned power of two, `2^(code - 127)`; 255 is NaN.
enum PowerOfTwo {
  enum Rounding: String, Sendable {
    case nearest, up, down
  }

  static let values: [Float] = (0..<256).map { code in
    code == 255 ? .nan : Float(Double(sign: .plus, exponent: code - 127, significand: 1))
  }

  /// The sign is dropped, as ONNX's reference does; infinity and NaN become NaN.
  static func encode(_ value: Double, rounding: Rounding, saturate: Bool) -> UInt8 {
    let bits = Float(value).bitPattern & 0x7FFF_FFFF
    let exponent = Int(bits >> 23)
    let fraction = bits & 0x7F_FFFF
    if exponent == 255 { return 255 }
    // Subnormal floats: code 0 is 2^-127, which is fraction 0x40_0000.
    let exact: UInt32 = exponent == 0 ? 0x40_0000 : 0
    let halfway: UInt32 = exponent == 0 ? 0x60_0000 : 0x40_0000
    let roundUp =
      switch rounding {
      case .down: false
      case .up: fraction > exact
      case .nearest: fraction >= halfway
      }
    guard roundUp else { return UInt8(exponent) }
    return exponent == 254 && saturate ? 254 : UInt8(exponent + 1)
  }
}
