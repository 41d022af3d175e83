import Graph
import Support

/// Runs `body` over slices of its scan inputs, carrying state, and stacks the body's further outputs.
struct Scan: DynamicOperator {
  private let scanInputCount: Int
  private let stateCount: Int
  private let outputCount: Int
  private let inputAxes: [Int]
  private let inputReversed: [Bool]
  private let outputAxes: [Int]
  private let outputReversed: [Bool]

  init(node: Node) throws {
    let body = try node.subgraph("body")
    scanInputCount = try node.required(try node.int("num_scan_inputs"), "num_scan_inputs")
    stateCount = node.inputs.count - scanInputCount
    guard scanInputCount >= 1, stateCount >= 0, body.inputs.count == node.inputs.count,
      body.outputs.count >= stateCount
    else { throw Failure(.corrupt, "the scan body does not fit the node") }
    outputCount = body.outputs.count - stateCount
    func list(_ name: String, _ count: Int) throws -> [Int] {
      let values = try node.ints(name) ?? Array(repeating: 0, count: count)
      guard values.count == count else { throw Failure(.corrupt, "'\(name)' needs \(count) values") }
      return values
    }
    inputAxes = try list("scan_input_axes", scanInputCount)
    inputReversed = try list("scan_input_directions", scanInputCount).map { $0 != 0 }
    outputAxes = try list("scan_output_axes", outputCount)
    outputReversed = try list("scan_output_directions", outputCount).map { $0 != 0 }
  }

  func evaluate(_ inputs: [Value?], context: RunContext) throws -> [Value?] {
    var state: [Value] = []
    var sequences: [Tensor] = []
    for (index, input) in inputs.enumerated() {
      guard let input else { throw Failure(.corrupt, "input \(index) of the scan is missing") }
      if index < stateCount {
        state.append(input)
      } else if case .tensor(let tensor) = input {
        sequences.append(tensor)
      } else {
        throw Failure(.typeMismatch, "a scan input is not a tensor")
      }
    }
    let axes = try zip(sequences, inputAxes).map { tensor, axis in try TensorSlices.axis(axis, rank: tensor.rank) }
    let lengths = zip(sequences, axes).map { $0.shape[$1] }
    guard let length = lengths.first, lengths.allSatisfy({ $0 == length }) else {
      throw Failure(.shapeMismatch, "scan inputs have different lengths", actual: "\(lengths)")
    }
    guard length > 0 else { throw Failure(.unsupported, "a scan over nothing") }
    var results = [[Tensor]](repeating: [], count: outputCount)
    for iteration in 0..<length {
      try context.checkCancelled()
      let slices = try sequences.indices.map { index -> Value in
        let position = inputReversed[index] ? length - 1 - iteration : iteration
        return .tensor(try TensorSlices.slice(sequences[index], axis: axes[index], at: position))
      }
      let produced = try context.runSubgraph("body", state + slices)
      state = Array(produced[..<stateCount])
      for index in 0..<outputCount {
        guard case .tensor(let tensor) = produced[stateCount + index] else {
          throw Failure(.typeMismatch, "a scan output is not a tensor")
        }
        results[index].append(tensor)
      }
    }
    let stacked = try results.indices.map { index -> Value in
      let ordered = outputReversed[index] ? results[index].reversed() : results[index]
      let axis = try TensorSlices.axis(outputAxes[index], rank: ordered[0].rank + 1)
      return .tensor(try TensorSlices.stack(ordered, axis: axis))
    }
    return state + stacked
  }
}
