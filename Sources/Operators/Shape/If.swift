import Graph
import Support

/// Runs `then_branch` or `else_branch`.
struct If: DynamicOperator {
  init(node: Node) throws {
    for branch in ["then_branch", "else_branch"] {
      guard try node.subgraph(branch).outputs.count >= node.outputs.count else {
        throw Failure(.corrupt, "'\(branch)' has fewer outputs than the node")
      }
    }
  }

  func evaluate(_ inputs: [Value?], context: RunContext) throws -> [Value?] {
    let condition = try ControlValue.bool(inputs.first ?? nil, "the condition")
    return try context.runSubgraph(condition ? "then_branch" : "else_branch", [])
  }
}

extension Node {
  /// The graph attribute `name`, which must be there.
  func subgraph(_ name: String) throws -> Graph {
    guard case .graph(let graph)? = attributes[name] else {
      throw Failure(.corrupt, "graph attribute '\(name)' is missing")
    }
    return graph
  }
}

/// Single numbers that steer control flow.
enum ControlValue {
  static func bool(_ value: Value?, _ what: String) throws -> Bool {
    guard case .tensor(let tensor)? = value, tensor.type == .bool, tensor.count == 1 else {
      throw Failure(.typeMismatch, "\(what) must be one bool")
    }
    return tensor.bytes[0] != 0
  }

  static func int(_ value: Value, _ what: String) throws -> Int {
    guard case .tensor(let tensor) = value, tensor.count == 1, let number = try tensor.integers().first else {
      throw Failure(.typeMismatch, "\(what) must be one integer")
    }
    return number
  }
}
