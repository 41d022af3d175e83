import Graph
import Support

/// Runs `body` on every element of the first input; further sequences go along, tensors are handed to every call.
struct SequenceMap: DynamicOperator {
  private let outputCount: Int

  init(node: Node) throws {
    let body = try node.subgraph("body")
    guard body.inputs.count == node.inputs.count, body.outputs.count >= node.outputs.count else {
      throw Failure(.corrupt, "the body does not fit the node")
    }
    outputCount = body.outputs.count
  }

  func evaluate(_ inputs: [Value?], context: RunContext) throws -> [Value?] {
    guard case .sequence(let elements)?? = inputs.first else {
      throw Failure(.typeMismatch, "the first input must be a sequence")
    }
    var results = [[Value]](repeating: [], count: outputCount)
    for index in elements.indices {
      try context.checkCancelled()
      let arguments = try inputs.map { input -> Value in
        switch input {
        case .sequence(let values)?:
          guard values.count == elements.count else {
            throw Failure(.shapeMismatch, "the sequences have different lengths")
          }
          return values[index]
        case let value?: return value
        case nil: throw Failure(.corrupt, "an input is missing")
        }
      }
      for (output, value) in try context.runSubgraph("body", arguments).enumerated() {
        results[output].append(value)
      }
    }
    return results.map { .sequence($0) }
  }
}
