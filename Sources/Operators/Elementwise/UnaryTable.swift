import Glibc
import Graph
import KernelTable
import Kernels
import Support

extension OperatorEntry {
  /// One line of the unary table.
  static func unary(
    _ name: String, grain: Int = Grain.heavy, _ function: @escaping @Sendable (Node) throws -> UnaryFunction
  ) -> OperatorEntry {
    OperatorEntry(name) { node in UnaryOperator(function: try function(node), grain: grain) }
  }

  /// A function with a kernel for float32.
  static func unary(
    _ name: String, _ kernel: KeyPath<KernelTable, UnaryKernel> & Sendable,
    _ real: @escaping @Sendable (Double) -> Double
  ) -> OperatorEntry {
    unary(name) { _ in UnaryFunction(real: real, float32: kernelRow(kernel)) }
  }

  /// A function of real numbers that needs no vectorised form.
  static func unary(_ name: String, _ real: @escaping @Sendable (Double) -> Double) -> OperatorEntry {
    unary(name) { _ in UnaryFunction(real: real) }
  }
}

/// Elementwise operators of one input.
let unaryOperators: [OperatorEntry] = [
  // Exact in every type.
  .unary("Abs", grain: Grain.light) { _ in
    UnaryFunction(
      real: { $0.magnitude }, float32: kernelRow(\.absolute), signed: { $0 < 0 ? 0 &- $0 : $0 }, unsigned: { $0 })
  },
  .unary("Neg", grain: Grain.light) { _ in
    UnaryFunction(
      real: { -$0 }, float32: kernelRow(\.negate), signed: { 0 &- $0 }, unsigned: { 0 &- $0 })
  },
  .unary("Sign") { _ in
    UnaryFunction(
      real: { $0 > 0 ? 1 : $0 < 0 ? -1 : $0 == 0 ? 0 : $0 }, signed: { $0.signum() }, unsigned: { $0 == 0 ? 0 : 1 })
  },
  .unary("Floor", grain: Grain.light) { _ in
    UnaryFunction(real: { $0.rounded(.down) }, float32: { x, y, n in mapElements(x, y, n) { floor($0) } })
  },
  .unary("Ceil", grain: Grain.light) { _ in
    UnaryFunction(real: { $0.rounded(.up) }, float32: { x, y, n in mapElements(x, y, n) { -floor(-$0) } })
  },
  .unary("Round", grain: Grain.light) { _ in
    UnaryFunction(
      real: { $0.rounded(.toNearestOrEven) }, float32: { x, y, n in mapElements(x, y, n) { roundHalfEven($0) } })
  },
  .unary("Not") { _ in UnaryFunction(bool: { $0 == 0 ? 1 : 0 }) },
  .unary("BitwiseNot") { _ in UnaryFunction(signed: { ~$0 }, unsigned: { ~$0 }) },

  // The C library's functions, in Double.
  .unary("Log") { log($0) },
  .unary("Sin") { sin($0) },
  .unary("Cos") { cos($0) },
  .unary("Tan") { tan($0) },
  .unary("Asin") { asin($0) },
  .unary("Acos") { acos($0) },
  .unary("Atan") { atan($0) },
  .unary("Sinh") { sinh($0) },
  .unary("Cosh") { cosh($0) },
  .unary("Asinh") { asinh($0) },
  .unary("Acosh") { acosh($0) },
  .unary("Atanh") { atanh($0) },

  // Vectorised.
  .unary("Reciprocal", \.reciprocal) { 1 / $0 },
  .unary("Sqrt", \.squareRoot) { $0.squareRoot() },
  .unary("Exp", \.exp) { exp($0) },
  .unary("Tanh", \.tanh) { tanh($0) },
  .unary("Sigmoid", \.sigmoid) { 1 / (1 + exp(-$0)) },
  .unary("Erf") { _ in
    // Opset 9 allows integers; |erf x| < 1 rounds toward 0.
    UnaryFunction(real: { erf($0) }, float32: kernelRow(\.erf), signed: { _ in 0 }, unsigned: { _ in 0 })
  },
  .unary("Swish") { node in
    let alpha = Double(try node.float("alpha", default: 1))
    return UnaryFunction(
      real: { $0 / (1 + exp(-alpha * $0)) }, float32: alpha == 1 ? kernelRow(\.silu) : nil)
  },
  .unary("Gelu") { node in
    switch try node.string("approximate", default: "none") {
    case "none":
      return UnaryFunction(real: { 0.5 * $0 * erfc(-$0 * 0.5.squareRoot()) }, float32: kernelRow(\.gelu))
    case "tanh":
      return UnaryFunction(
        real: { 0.5 * $0 * (1 + tanh((2 / Double.pi).squareRoot() * ($0 + 0.044715 * $0 * $0 * $0))) },
        float32: kernelRow(\.geluTanh))
    case let other:
      throw Failure(.unsupported, "attribute 'approximate' is '\(other)'", expected: "none or tanh")
    }
  },

  // Activations; x where a comparison with NaN would lose it.
  .unary("Relu", grain: Grain.light) { _ in
    UnaryFunction(
      real: { $0 < 0 ? 0 : $0 }, float32: kernelRow(\.relu), signed: { max($0, 0) }, unsigned: { $0 })
  },
  .unary("LeakyRelu", grain: Grain.light) { node in
    // Opset 1 had the same default under the same name.
    let alpha = try node.float("alpha", default: 0.01)
    return UnaryFunction(
      real: { $0 < 0 ? Double(alpha) * $0 : $0 },
      float32: { x, y, n in mapElements(x, y, n) { $0 < 0 ? alpha * $0 : $0 } })
  },
  .unary("ThresholdedRelu", grain: Grain.light) { node in
    let alpha = try node.float("alpha", default: 1)
    return UnaryFunction(
      real: { $0 > Double(alpha) || $0.isNaN ? $0 : 0 },
      float32: { x, y, n in mapElements(x, y, n) { $0 > alpha || $0 != $0 ? $0 : 0 } })
  },
  .unary("HardSigmoid", grain: Grain.light) { node in
    let alpha = try node.float("alpha", default: 0.2)
    let beta = try node.float("beta", default: 0.5)
    return UnaryFunction(
      real: { limit(Double(alpha) * $0 + Double(beta)) },
      float32: { x, y, n in mapElements(x, y, n) { limit(alpha * $0 + beta) } })
  },
  .unary("HardSwish", grain: Grain.light) { _ in
    UnaryFunction(
      real: { $0 * limit($0 / 6 + 0.5) }, float32: { x, y, n in mapElements(x, y, n) { $0 * limit($0 / 6 + 0.5) } })
  },
  .unary("Elu") { node in
    let alpha = Double(try node.float("alpha", default: 1))
    return UnaryFunction(real: { $0 < 0 ? alpha * expm1($0) : $0 })
  },
  .unary("Celu") { node in
    let alpha = Double(try node.float("alpha", default: 1))
    return UnaryFunction(real: { $0 < 0 ? alpha * expm1($0 / alpha) : $0 })
  },
  .unary("Selu") { node in
    let alpha = Double(try node.float("alpha", default: node.version < 6 ? 1.6732 : 1.67326319217681884765625))
    let gamma = Double(try node.float("gamma", default: node.version < 6 ? 1.0507 : 1.05070102214813232421875))
    return UnaryFunction(real: { gamma * ($0 < 0 ? alpha * expm1($0) : $0) })
  },
  .unary("Softplus") { $0.isNaN ? $0 : max($0, 0) + log1p(exp(-$0.magnitude)) },
  .unary("Softsign") { $0 / (1 + $0.magnitude) },
  .unary("Mish") { $0 * tanh(max($0, 0) + log1p(exp(-$0.magnitude))) },
  .unary("Shrink") { node in
    let bias = Double(try node.float("bias", default: 0))
    let threshold = Double(try node.float("lambd", default: 0.5))
    return UnaryFunction(
      real: { $0 < -threshold ? $0 + bias : $0 > threshold ? $0 - bias : $0.isNaN ? $0 : 0 },
      signed: {
        let x = Double($0)
        return x < -threshold ? int64Bits(x + bias) : x > threshold ? int64Bits(x - bias) : 0
      },
      unsigned: { Double($0) > threshold ? uint64Bits(Double($0) - bias) : 0 })
  },

  OperatorEntry("IsNaN") { _ in PredicateOperator { $0.isNaN } },
  OperatorEntry("IsInf") { node in
    let negative = try node.bool("detect_negative", default: true)
    let positive = try node.bool("detect_positive", default: true)
    return PredicateOperator { $0.isInfinite && ($0 < 0 ? negative : positive) }
  },
]

/// The largest whole number not above `x`, without a branch or a call.
@inline(__always)
private func floor(_ x: Float) -> Float {
  let rounded = roundHalfEven(x)
  return rounded > x ? rounded - 1 : rounded
}

/// `x` limited to 0...1; NaN stays NaN.
@inline(__always)
private func limit<Element: BinaryFloatingPoint>(_ x: Element) -> Element { x < 0 ? 0 : x > 1 ? 1 : x }

/// The row of this machine's kernel.
private func kernelRow(_ kernel: KeyPath<KernelTable, UnaryKernel>) -> UnaryRow<Float> {
  let function = Kernels.current[keyPath: kernel]
  return { x, y, count in function(x, y, count) }
}
