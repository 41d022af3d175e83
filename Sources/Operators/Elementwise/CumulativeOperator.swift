import Graph
import Support

/// CumSum and CumProd along one axis, optionally from the end and without the element itself. Floats accumulate in Double.
struct CumulativeOperator: Operator {
  private let exclusive: Bool
  private let reverse: Bool
  private let initial: Int
  private let real: @Sendable (Double, Double) -> Double
  private let integer: @Sendable (Int64, Int64) -> Int64

  init(
    _ node: Node, initial: Int, real: @escaping @Sendable (Double, Double) -> Double,
    integer: @escaping @Sendable (Int64, Int64) -> Int64
  ) throws {
    exclusive = try node.bool("exclusive", default: false)
    reverse = try node.bool("reverse", default: false)
    self.initial = initial
    self.real = real
    self.integer = integer
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x: ValueInfo = try inputs.operand(0)
    let axis: ValueInfo = try inputs.operand(1)
    try x.requireType(ComputeKind(x.type).map { $0 != .bool } ?? false, "a numeric type")
    try axis.requireType(axis.type == .int32 || axis.type == .int64, "int32 or int64")
    guard axis.shape.allSatisfy({ $0 == 1 }) else {
      throw Failure(.shapeMismatch, "the axis is a scalar", expected: "[]", actual: "\(axis.shape)")
    }
    if let constant = axis.constant { _ = try normalizedAxis(try constant.integers().first ?? 0, rank: x.shape.count) }
    return [ValueInfo(type: x.type, shape: x.shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let result = outputs.optionalOperand(0) else { return }
    let x: Tensor = try inputs.operand(0)
    let axisTensor: Tensor = try inputs.operand(1)
    let axis = try normalizedAxis(try axisTensor.integers().first ?? 0, rank: x.rank)
    let length = x.rank == 0 ? 1 : x.shape[axis]
    let inner = x.shape.dropFirst(axis + 1).reduce(1, *)
    guard x.count > 0 else { return }
    switch ComputeKind(x.type) {
    case .float32?, .float64?:
      accumulate(x, result, length: length, inner: inner, initial: Double(initial), real, context.pool)
    // Wrapped arithmetic has the same low bits with and without sign.
    case .int64?, .uint64?:
      accumulate(x, result, length: length, inner: inner, initial: Int64(initial), integer, context.pool)
    case .bool?, nil: throw Failure(.internalError, "element type \(x.type) was not checked")
    }
  }

  private func accumulate<Compute: ComputeElement>(
    _ x: Tensor, _ result: Tensor, length: Int, inner: Int, initial: Compute, _ step: (Compute, Compute) -> Compute,
    _ pool: ThreadPool
  ) {
    let source = UnsafeRawPointer(x.rawPointer)
    let target = result.rawPointer
    let lines = x.count / length
    pool.forRanges(lines, grain: max(1, Grain.heavy / length)) { range in
      for line in range {
        let start = line / inner * length * inner + line % inner
        var total = initial
        for position in 0..<length {
          let offset = start + (reverse ? length - 1 - position : position) * inner
          var element = initial
          Compute.widen(x.type, source, at: offset, count: 1, into: &element)
          let next = step(total, element)
          var output = exclusive ? total : next
          Compute.narrow(x.type, &output, count: 1, into: target, at: offset, rules: .standard)
          total = next
        }
      }
    }
  }
}
