import Graph
import Support

/// Operators that work on every element by itself.
let elementwiseOperators: [OperatorEntry] =
  unaryOperators + binaryOperators + [
    OperatorEntry("Where") { _ in WhereOperator() },
    OperatorEntry("Clip") { node in try ClipOperator(node) },
    OperatorEntry("CumSum", versions: 11...99) { node in
      try CumulativeOperator(node, initial: 0, real: { $0 + $1 }, integer: { $0 &+ $1 })
    },
    OperatorEntry("CumProd", versions: 26...99) { node in
      try CumulativeOperator(node, initial: 1, real: { $0 * $1 }, integer: { $0 &* $1 })
    },
  ]

/// Elementwise operators of two and more inputs.
private let binaryOperators: [OperatorEntry] = [
  .binary("Add", .addition),
  .binary("Sub", .subtraction),
  .binary("Mul", .multiplication),
  .binary("Div", .division),
  .binary("And", .and),
  .binary("Or", .or),
  .binary("Xor", .xor),
  .binary("BitwiseAnd", .bitwiseAnd),
  .binary("BitwiseOr", .bitwiseOr),
  .binary("BitwiseXor", .bitwiseXor),
  OperatorEntry("Mod") { node in
    // The remainder of floats is only defined with the dividend's sign (fmod = 1).
    BinaryOperator(try node.bool("fmod", default: false) ? .truncatedRemainder : .flooredRemainder)
  },
  OperatorEntry("BitShift") { node in
    switch try node.required(node.string("direction"), "direction") {
    case "LEFT": BinaryOperator(.shiftLeft)
    case "RIGHT": BinaryOperator(.shiftRight)
    case let other: throw Failure(.corrupt, "attribute 'direction' is '\(other)'", expected: "LEFT or RIGHT")
    }
  },
  OperatorEntry("Pow") { node in PowOperator(alignment: try Alignment(node)) },
  OperatorEntry("PRelu") { node in PReluOperator(perChannel: node.version < 7) },

  .comparison("Equal", .equal),
  .comparison("Less", .less),
  .comparison("LessOrEqual", .lessOrEqual),
  .comparison("Greater", .greater),
  .comparison("GreaterOrEqual", .greaterOrEqual),

  OperatorEntry("Max") { _ in VariadicOperator(.maximum) },
  OperatorEntry("Min") { _ in VariadicOperator(.minimum) },
  OperatorEntry("Sum") { _ in VariadicOperator(.addition) },
  OperatorEntry("Mean") { _ in VariadicOperator(.addition, dividesByCount: true) },
]

extension OperatorEntry {
  fileprivate static func binary(_ name: String, _ function: BinaryFunction) -> OperatorEntry {
    OperatorEntry(name) { node in BinaryOperator(function, alignment: try Alignment(node)) }
  }

  fileprivate static func comparison(_ name: String, _ function: ComparisonFunction) -> OperatorEntry {
    OperatorEntry(name) { node in ComparisonOperator(function: function, alignment: try Alignment(node)) }
  }
}
