import Graph
import Support

/// Facts about an ONNX graph for people and tools.
public enum ModelInformation {
  /// `{"inputs", "outputs", "ir_version", "opsets", "producer", "nodes", "operators": {name: count}, "parameters",
  /// "parameter_bytes", "precision"}`; operators of subgraphs are counted too.
  public static func json(of loaded: LoadedModel, precision: Precision) -> JSON {
    let graph = loaded.graph
    var operators: [String: Int] = [:]
    let nodes = count(graph, into: &operators, depth: 0)
    let constants = graph.constants.values
    return .object([
      "inputs": .array(graph.inputs.map { port(graph.values[$0.index]) }),
      "outputs": .array(graph.outputs.map { port(graph.values[$0.index]) }),
      "ir_version": JSON(loaded.irVersion),
      "opsets": .object(
        Dictionary(
          loaded.opsets.map { ($0.key.isEmpty ? "ai.onnx" : $0.key, JSON($0.value)) }, uniquingKeysWith: { a, _ in a })),
      "producer": JSON(loaded.producer),
      "nodes": JSON(nodes),
      "operators": .object(operators.mapValues { JSON($0) }),
      "precision": JSON(precision.rawValue),
      "parameters": JSON(constants.reduce(0) { $0 + $1.count }),
      "parameter_bytes": JSON(constants.reduce(0) { $0 + $1.bytes.count }),
    ])
  }

  private static func port(_ value: ValueRecord) -> JSON {
    var members: [String: JSON] = ["name": JSON(value.name)]
    switch value.type {
    case .tensor(let type, let shape):
      members["type"] = JSON(type.name)
      if let shape {
        members["shape"] = .array(
          shape.map { dimension in
            switch dimension {
            case .fixed(let size): JSON(size)
            case .symbolic(let name): JSON(name)
            case .unknown: .null
            }
          })
      }
    case .sequence: members["type"] = "sequence"
    case .optional: members["type"] = "optional"
    case .unknown: members["type"] = .null
    }
    return .object(members)
  }

  /// Counts nodes with those of subgraphs; the loader bounds nesting, the depth here is a second guard.
  private static func count(_ graph: Graph, into operators: inout [String: Int], depth: Int) -> Int {
    guard depth < 64 else { return 0 }
    var nodes = graph.nodes.count
    for node in graph.nodes {
      operators[node.domain.isEmpty ? node.operatorType : "\(node.domain):\(node.operatorType)", default: 0] += 1
      for attribute in node.attributes.values {
        switch attribute {
        case .graph(let inner): nodes += count(inner, into: &operators, depth: depth + 1)
        case .graphs(let inner): for graph in inner { nodes += count(graph, into: &operators, depth: depth + 1) }
        default: break
        }
      }
    }
    return nodes
  }
}
