import Graph
import Operators

/// Compares results as onnx's own test runner does: rtol 1e-3 and atol 1e-7 for floats, exactly otherwise.
enum Comparison {
  static let relativeTolerance = 1e-3
  static let absoluteTolerance = 1e-7

  /// Nil when equal, otherwise what differs. `limit`: relative L2 error allowed for floats, instead of the tolerances.
  static func difference(_ actual: Value, _ expected: Value, limit: Double? = nil) -> String? {
    switch (actual, expected) {
    case (.tensor(let a), .tensor(let e)):
      if let limit, a.type.isFloatingPoint, a.type == e.type, a.shape == e.shape {
        let error = relativeError(a, e)
        return error <= limit ? nil : "relative L2 error \(error)"
      }
      return difference(a, e)
    case (.sequence(let a), .sequence(let e)):
      guard a.count == e.count else { return "sequence of \(a.count) values instead of \(e.count)" }
      for (index, pair) in zip(a, e).enumerated() {
        if let text = difference(pair.0, pair.1) { return "element \(index): \(text)" }
      }
      return nil
    case (.optional(nil), .optional(nil)): return nil
    case (.optional(let a?), .optional(let e?)): return difference(a, e)
    case (let a, .optional(let e?)): return difference(a, e)
    case (.optional(let a?), let e): return difference(a, e)
    default: return "another kind of value"
    }
  }

  static func difference(_ actual: Tensor, _ expected: Tensor) -> String? {
    guard actual.type == expected.type else { return "type \(actual.type) instead of \(expected.type)" }
    guard actual.shape == expected.shape else { return "shape \(actual.shape) instead of \(expected.shape)" }
    if actual.type == .string {
      return actual.strings == expected.strings ? nil : "strings \(actual.strings) instead of \(expected.strings)"
    }
    guard actual.type.isFloatingPoint || actual.type == .complex64 || actual.type == .complex128 else {
      for i in 0..<min(actual.bytes.count, expected.bytes.count) where actual.bytes[i] != expected.bytes[i] {
        let element = actual.type.bitWidth >= 8 ? i / (actual.type.bitWidth / 8) : i * 2
        return "element \(element): \(integer(actual, element)) instead of \(integer(expected, element))"
      }
      return nil
    }
    let a = doubles(actual)
    let e = doubles(expected)
    guard a.count == e.count else { return "\(a.count) numbers instead of \(e.count)" }
    var worst = 0.0
    var report: String?
    for (index, pair) in zip(a, e).enumerated() {
      let (x, y) = pair
      if x == y || (x.isNaN && y.isNaN) { continue }
      let excess = abs(x - y) - (absoluteTolerance + relativeTolerance * abs(y))
      if excess.isNaN || excess > worst {
        worst = excess.isNaN ? .infinity : excess
        report = "element \(index): \(x) instead of \(y)"
      }
    }
    return report
  }

  /// |actual - expected| / |expected|, in Double.
  static func relativeError(_ actual: Tensor, _ expected: Tensor) -> Double {
    var difference = 0.0
    var norm = 0.0
    for (a, e) in zip(doubles(actual), doubles(expected)) {
      difference += (a - e) * (a - e)
      norm += e * e
    }
    return norm > 0 ? (difference / norm).squareRoot() : difference
  }

  private static func integer(_ tensor: Tensor, _ index: Int) -> String {
    guard tensor.type.bitWidth >= 8 else { return "byte \(tensor.bytes[index / 2])" }
    return (try? tensor.integers()).map { "\($0[index])" } ?? "?"
  }

  private static func doubles(_ tensor: Tensor) -> [Double] {
    switch tensor.type {
    case .float32, .complex64: (0..<tensor.bytes.count / 4).map { Double(tensor.pointer(Float.self)[$0]) }
    case .float64, .complex128: (0..<tensor.bytes.count / 8).map { tensor.pointer(Double.self)[$0] }
    case .float16: tensor.buffer(Float16.self).map { Double($0) }
    case .bfloat16: tensor.buffer(UInt16.self).map { Double(Float(bitPattern: UInt32($0) << 16)) }
    case .float4e2m1:
      (0..<tensor.count).map { index in
        let byte = tensor.bytes[index / 2]
        return decode(index % 2 == 0 ? byte & 15 : byte >> 4, exponentBits: 2, mantissaBits: 1, bias: 1, special: .none)
      }
    case .float8e4m3fn: tensor.bytes.map { decode($0, exponentBits: 4, mantissaBits: 3, bias: 7, special: .nanOnly) }
    case .float8e4m3fnuz:
      tensor.bytes.map { decode($0, exponentBits: 4, mantissaBits: 3, bias: 8, special: .negativeZeroIsNaN) }
    case .float8e8m0: tensor.bytes.map { $0 == 255 ? .nan : powerOfTwo(Int($0) - 127) }
    case .float8e5m2: tensor.bytes.map { decode($0, exponentBits: 5, mantissaBits: 2, bias: 15, special: .ieee) }
    case .float8e5m2fnuz:
      tensor.bytes.map { decode($0, exponentBits: 5, mantissaBits: 2, bias: 16, special: .negativeZeroIsNaN) }
    default: []
    }
  }

  private enum Special { case none, nanOnly, negativeZeroIsNaN, ieee }

  /// Value of a small float with the given field widths.
  private static func decode(
    _ bits: UInt8, exponentBits: Int, mantissaBits: Int, bias: Int, special: Special
  ) -> Double {
    let width = 1 + exponentBits + mantissaBits
    let negative = bits >> (width - 1) & 1 == 1
    let exponent = Int(bits) >> mantissaBits & ((1 << exponentBits) - 1)
    let mantissa = Int(bits) & ((1 << mantissaBits) - 1)
    let allOnes = exponent == (1 << exponentBits) - 1
    switch special {
    case .negativeZeroIsNaN: if negative, exponent == 0, mantissa == 0 { return .nan }
    case .nanOnly: if allOnes, mantissa == (1 << mantissaBits) - 1 { return .nan }
    case .ieee: if allOnes { return mantissa == 0 ? (negative ? -.infinity : .infinity) : .nan }
    case .none: break
    }
    let fraction = Double(mantissa) / Double(1 << mantissaBits)
    let power = exponent == 0 ? 1 - bias : exponent - bias
    let magnitude = (exponent == 0 ? fraction : 1 + fraction) * powerOfTwo(power)
    return negative ? -magnitude : magnitude
  }

  private static func powerOfTwo(_ exponent: Int) -> Double {
    var value = 1.0
    for _ in 0..<abs(exponent) { value *= exponent > 0 ? 2 : 0.5 }
    return value
  }
}
