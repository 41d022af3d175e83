import Graph
import Support

/// ArgMax and ArgMin: positions (int64) of the extreme elements along one axis. NaN counts as extreme, as in numpy.
struct ArgumentReduction: Operator {
  private let findsMaximum: Bool
  private let axis: Int
  private let keepsAxis: Bool
  private let selectsLast: Bool

  init(findsMaximum: Bool, _ node: Node) throws {
    self.findsMaximum = findsMaximum
    axis = try node.int("axis", default: 0)
    keepsAxis = try node.bool("keepdims", default: true)
    selectsLast = try node.bool("select_last_index", default: false)
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x: ValueInfo = try inputs.operand(0)
    try x.requireType(ComputeKind(x.type).map { $0 != .bool } ?? false, "a numeric type")
    let axis = try normalizedAxis(axis, rank: x.shape.count)
    var shape = x.shape
    if axis < shape.count {
      guard shape[axis] > 0 else { throw Failure(.shapeMismatch, "the axis has no elements", actual: "\(shape)") }
      if keepsAxis { shape[axis] = 1 } else { shape.remove(at: axis) }
    }
    return [ValueInfo(type: .int64, shape: shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let result = outputs.optionalOperand(0) else { return }
    let x: Tensor = try inputs.operand(0)
    switch ComputeKind(x.type) {
    case .float32?, .float64?:
      findsMaximum
        ? try find(x, result, context.pool) { (a: Double, b: Double) in a > b || (a != a && b == b) }
        : try find(x, result, context.pool) { (a: Double, b: Double) in a < b || (a != a && b == b) }
    case .int64?:
      findsMaximum
        ? try find(x, result, context.pool) { (a: Int64, b: Int64) in a > b }
        : try find(x, result, context.pool) { (a: Int64, b: Int64) in a < b }
    case .uint64?:
      findsMaximum
        ? try find(x, result, context.pool) { (a: UInt64, b: UInt64) in a > b }
        : try find(x, result, context.pool) { (a: UInt64, b: UInt64) in a < b }
    case .bool?, nil: throw Failure(.internalError, "element type \(x.type) was not checked")
    }
  }

  /// `beats(a, b)`: a is strictly more extreme than b.
  @inline(__always)
  private func find<Compute: ComputeElement>(
    _ x: Tensor, _ result: Tensor, _ pool: ThreadPool, _ beats: (Compute, Compute) -> Bool
  ) throws {
    let axis = try normalizedAxis(axis, rank: x.rank)
    let length = x.rank == 0 ? 1 : x.shape[axis]
    let inner = x.shape.dropFirst(axis + 1).reduce(1, *)
    guard x.count > 0, length > 0 else { return }
    let source = UnsafeRawPointer(x.rawPointer)
    let target = result.pointer(Int64.self)
    pool.forRanges(x.count / length, grain: max(1, Grain.heavy / length)) { range in
      withChunk(of: Compute.self) { chunk in
        withChunk(of: Compute.self) { best in
          if inner == 1 {
            for output in range {
              var index = 0
              forChunks(0..<length) { start, count in
                Compute.widen(x.type, source, at: output * length + start, count: count, into: chunk)
                if start == 0 { best[0] = chunk[0] }
                for i in 0..<count where selectsLast ? !beats(best[0], chunk[i]) : beats(chunk[i], best[0]) {
                  best[0] = chunk[i]
                  index = start + i
                }
              }
              target[output] = Int64(index)
            }
          } else {
            var output = range.lowerBound
            while output < range.upperBound {
              let position = output % inner
              let count = min(inner - position, range.upperBound - output, chunkLength)
              let start = output / inner * length * inner + position
              Compute.widen(x.type, source, at: start, count: count, into: best)
              (target + output).update(repeating: 0, count: count)
              for step in 1..<max(length, 1) {
                Compute.widen(x.type, source, at: start + step * inner, count: count, into: chunk)
                for i in 0..<count where selectsLast ? !beats(best[i], chunk[i]) : beats(chunk[i], best[i]) {
                  best[i] = chunk[i]
                  target[output + i] = Int64(step)
                }
              }
              output += count
            }
          }
        }
      }
    }
  }
}
