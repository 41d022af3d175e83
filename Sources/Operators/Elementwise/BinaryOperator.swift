import Graph
import Support

/// How the second input of a binary operator lines up with the first.
enum Alignment: Sendable {
  /// numpy's rule, since opset 7.
  case numpy
  /// Before opset 7: shapes are equal, or with `broadcast = 1` the second input's axes start at `axis` of the first
  /// (nil: they are the last ones).
  case legacy(broadcast: Bool, axis: Int?)

  init(_ node: Node, until version: Int = 7) throws {
    self =
      node.version >= version
      ? .numpy
      : .legacy(broadcast: try node.bool("broadcast", default: false), axis: try node.int("axis"))
  }

  /// The second input's shape, ready for numpy's rule.
  func shape(_ second: [Int], against first: [Int]) throws(Failure) -> [Int] {
    guard case .legacy(let broadcast, let axis) = self else { return second }
    if !broadcast {
      guard first == second else {
        throw Failure(.shapeMismatch, "shapes differ and broadcast is 0", expected: "\(first)", actual: "\(second)")
      }
      return second
    }
    guard let axis, !second.isEmpty else { return second }
    let start = try normalizedAxis(axis, rank: first.count)
    let trailing = first.count - start - second.count
    guard trailing >= 0 else {
      throw Failure(.shapeMismatch, "input 1 has too many axes for axis \(axis)", actual: "\(second)")
    }
    return second + [Int](repeating: 1, count: trailing)
  }
}

/// An elementwise operator of two inputs of one type, broadcast against each other.
struct BinaryOperator: Operator {
  let function: BinaryFunction
  let alignment: Alignment
  let grain: Int
  /// Where the plan has bound the operator to its inputs' shapes.
  private var broadcast: Broadcast?

  init(_ function: BinaryFunction, alignment: Alignment = .numpy, grain: Int = Grain.light) {
    self.function = function
    self.alignment = alignment
    self.grain = grain
  }

  var inPlaceInputs: [Int] { [0, 1] }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let a: ValueInfo = try inputs.operand(0)
    let b: ValueInfo = try inputs.operand(1)
    try b.requireSameType(as: a)
    try a.requireType(ComputeKind(a.type).map(function.supports) ?? false, "a type of this operator")
    return [
      ValueInfo(type: a.type, shape: try Broadcast.shape(of: [a.shape, alignment.shape(b.shape, against: a.shape)]))
    ]
  }

  func bound(to inputs: [ValueInfo?], threads: Int) throws -> (any Operator)? {
    let a: ValueInfo = try inputs.operand(0)
    let b: ValueInfo = try inputs.operand(1)
    var copy = self
    copy.broadcast = try Broadcast([a.shape, alignment.shape(b.shape, against: a.shape)])
    return copy
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let result = outputs.optionalOperand(0) else { return }
    let a: Tensor = try inputs.operand(0)
    let b: Tensor = try inputs.operand(1)
    guard let kind = ComputeKind(a.type) else {
      throw Failure(.internalError, "element type \(a.type) was not checked")
    }
    let broadcast = try broadcast ?? Broadcast([a.shape, alignment.shape(b.shape, against: a.shape)])
    try BinaryRun.apply(function, kind: kind, broadcast, a, b, result, pool: context.pool, grain: grain)
  }
}

/// Equal, Less and their relatives: bool results.
struct ComparisonOperator: Operator {
  let function: ComparisonFunction
  let alignment: Alignment

  var inPlaceInputs: [Int] { [0, 1] }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let a: ValueInfo = try inputs.operand(0)
    let b: ValueInfo = try inputs.operand(1)
    try b.requireSameType(as: a)
    let supported = ComputeKind(a.type).map(function.supports) ?? (a.type == .string && function.string != nil)
    try a.requireType(supported, "a type of this operator")
    return [
      ValueInfo(type: .bool, shape: try Broadcast.shape(of: [a.shape, alignment.shape(b.shape, against: a.shape)]))
    ]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let result = outputs.optionalOperand(0) else { return }
    let a: Tensor = try inputs.operand(0)
    let b: Tensor = try inputs.operand(1)
    let broadcast = try Broadcast([a.shape, alignment.shape(b.shape, against: a.shape)])
    try BinaryRun.compare(function, broadcast, a, b, result, pool: context.pool)
  }
}

/// Pow: the exponent may have another type; the result has the base's.
struct PowOperator: Operator {
  let alignment: Alignment

  var inPlaceInputs: [Int] { [0] }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let base: ValueInfo = try inputs.operand(0)
    let exponent: ValueInfo = try inputs.operand(1)
    try base.requireType(kind(base.type, exponent.type) != nil, "a numeric type")
    try exponent.requireType(kind(exponent.type, exponent.type) != nil, "a numeric type")
    let second = try alignment.shape(exponent.shape, against: base.shape)
    return [ValueInfo(type: base.type, shape: try Broadcast.shape(of: [base.shape, second]))]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let result = outputs.optionalOperand(0) else { return }
    let base: Tensor = try inputs.operand(0)
    let exponent: Tensor = try inputs.operand(1)
    guard let kind = kind(base.type, exponent.type) else {
      throw Failure(.internalError, "element type \(base.type) was not checked")
    }
    let broadcast = try Broadcast([base.shape, alignment.shape(exponent.shape, against: base.shape)])
    try BinaryRun.apply(
      .pow, kind: kind, broadcast, base, exponent, result, pool: context.pool, grain: Grain.heavy)
  }

  /// Two integers multiply exactly (low bits kept); float32 and narrower stay in Float; everything else goes through
  /// Double.
  private func kind(_ base: DataType, _ exponent: DataType) -> ComputeKind? {
    switch (ComputeKind(base), ComputeKind(exponent)) {
    case (nil, _), (_, nil), (.bool?, _), (_, .bool?): nil
    case (.float32?, .float32?): .float32
    case (.int64?, .int64?), (.uint64?, .int64?), (.int64?, .uint64?), (.uint64?, .uint64?): .int64
    default: .float64
    }
  }
}

/// Max, Min, Sum, Mean: any number of inputs, folded from the left.
struct VariadicOperator: Operator {
  let function: BinaryFunction
  let dividesByCount: Bool

  init(_ function: BinaryFunction, dividesByCount: Bool = false) {
    self.function = function
    self.dividesByCount = dividesByCount
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let first: ValueInfo = try inputs.operand(0)
    try first.requireType(ComputeKind(first.type).map(function.supports) ?? false, "a type of this operator")
    var shapes: [[Int]] = []
    for index in inputs.indices {
      let info: ValueInfo = try inputs.operand(index)
      try info.requireSameType(as: first)
      shapes.append(info.shape)
    }
    return [ValueInfo(type: first.type, shape: try Broadcast.shape(of: shapes))]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let result = outputs.optionalOperand(0) else { return }
    let first: Tensor = try inputs.operand(0)
    guard let kind = ComputeKind(first.type) else {
      throw Failure(.internalError, "element type \(first.type) was not checked")
    }
    if inputs.count == 1 {
      result.bytes.copyMemory(from: UnsafeRawBufferPointer(first.bytes))
      return
    }
    var folded = first
    for index in 1..<inputs.count {
      let next: Tensor = try inputs.operand(index)
      // From the second fold on the result is an input of its own full shape.
      let broadcast = try Broadcast(index == 1 ? [first.shape, next.shape, result.shape] : [result.shape, next.shape])
      try BinaryRun.apply(function, kind: kind, broadcast, folded, next, result, pool: context.pool)
      folded = result
    }
    if dividesByCount {
      let divisor = try Tensor(type: .float32, shape: [], values: [Float(inputs.count)])
      let broadcast = try Broadcast([result.shape, []])
      let division = BinaryFunction.division
      if kind == .float64 {
        let wide = try Tensor(type: .float64, shape: [], values: [Double(inputs.count)])
        try BinaryRun.apply(division, kind: kind, broadcast, result, wide, result, pool: context.pool)
      } else {
        try BinaryRun.apply(division, kind: kind, broadcast, result, divisor, result, pool: context.pool)
      }
    }
  }
}
