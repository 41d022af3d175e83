import Graph
import Support

/// Runs `body` until the trip count is reached or its condition turns false.
///
/// Inputs: trip count?, condition?, carried values. The body maps (iteration, condition, carried…) to
/// (condition, carried…, scan outputs…); outputs are the last carried values and the scan outputs stacked on axis 0.
struct Loop: DynamicOperator {
  private let carriedCount: Int
  private let scanCount: Int
  /// Rank 0, or 1 where the body declares it so.
  private let iterationShape: [Int]
  private let scanTypes: [DeclaredType]

  init(node: Node) throws {
    let body = try node.subgraph("body")
    carriedCount = max(0, node.inputs.count - 2)
    guard body.inputs.count == carriedCount + 2, body.outputs.count >= carriedCount + 1 else {
      throw Failure(
        .corrupt, "the loop body does not fit the node", expected: "\(carriedCount + 2) inputs",
        actual: "\(body.inputs.count) inputs and \(body.outputs.count) outputs")
    }
    scanCount = body.outputs.count - carriedCount - 1
    if case .tensor(_, let shape?) = body.values[body.inputs[0].index].type, shape.count == 1 {
      iterationShape = [1]
    } else {
      iterationShape = []
    }
    scanTypes = body.outputs.suffix(scanCount).map { body.values[$0.index].type }
  }

  func evaluate(_ inputs: [Value?], context: RunContext) throws -> [Value?] {
    let tripCount = try (inputs.first ?? nil).map { try ControlValue.int($0, "the trip count") } ?? Int.max
    var running = try inputs.count > 1 && inputs[1] != nil ? ControlValue.bool(inputs[1], "the condition") : true
    var carried = try inputs.dropFirst(2).map { value -> Value in
      guard let value else { throw Failure(.corrupt, "a carried value of the loop is missing") }
      return value
    }
    var scans = [[Tensor]](repeating: [], count: scanCount)
    var iteration = 0
    while running, iteration < tripCount {
      try context.checkCancelled()
      let counter = try Tensor(type: .int64, shape: iterationShape, values: [Int64(iteration)])
      let condition = try Tensor(type: .bool, shape: [], values: [UInt8(1)])
      let results = try context.runSubgraph("body", [.tensor(counter), .tensor(condition)] + carried)
      running = try ControlValue.bool(results.first, "the condition of the loop body")
      carried = Array(results[1..<(1 + carriedCount)])
      for index in 0..<scanCount {
        guard case .tensor(let tensor) = results[1 + carriedCount + index] else {
          throw Failure(.typeMismatch, "a scan output of the loop body is not a tensor")
        }
        scans[index].append(tensor)
      }
      iteration += 1
    }
    let stacked = try scans.enumerated().map { index, tensors -> Value in
      .tensor(tensors.isEmpty ? try Self.emptyScan(scanTypes[index]) : try TensorSlices.stack(tensors, axis: 0))
    }
    return carried + stacked
  }

  /// The stacked result of no iteration, whose shape only the declaration can tell.
  private static func emptyScan(_ type: DeclaredType) throws -> Tensor {
    guard case .tensor(let element, let shape?) = type else {
      throw Failure(.unsupported, "a loop without iterations has a scan output of undeclared shape")
    }
    let sizes = try shape.map { dimension -> Int in
      guard case .fixed(let size) = dimension else {
        throw Failure(.unsupported, "a loop without iterations has a scan output of undeclared shape")
      }
      return size
    }
    return try Tensor(type: element, shape: [0] + sizes)
  }
}
