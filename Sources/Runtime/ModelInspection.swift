import Graph
import Operators
import Support

/// What an ONNX file holds and whether the engine can run it, without loading its weights into memory.
public struct ModelInspection: Sendable {
  /// Nodes by operator, functions inlined, subgraphs included; `domain.Op` outside the default domain.
  public var operatorCounts: [String: Int] = [:]
  /// One failure per node that cannot be run.
  public var problems: [Failure] = []
  /// Elements of all constants.
  public var parameterCount = 0
  /// Their bytes in the file's element types.
  public var parameterByteCount = 0

  public init(_ model: LoadedModel) {
    count(model.graph)
    problems = CompiledGraph.problems(in: model.graph)
  }

  private mutating func count(_ graph: Graph) {
    for tensor in graph.constants.values {
      parameterCount += tensor.count
      parameterByteCount += tensor.bytes.count
    }
    for node in graph.nodes {
      operatorCounts[node.qualifiedOperator, default: 0] += 1
      for attribute in node.attributes.values {
        switch attribute {
        case .graph(let inner): count(inner)
        case .graphs(let inner): for graph in inner { count(graph) }
        default: break
        }
      }
    }
  }
}
