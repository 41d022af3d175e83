import Graph
import Operators
import Support

/// Which fused operators a plan for given input shapes would run, and what stayed apart.
public struct FusionReport: Sendable {
  public struct Miss: Sendable {
    public var node: String
    public var operatorType: String
    public var pattern: String
    public var reason: String
  }

  /// Nodes of domain `adadiff`, with what was fused into them (`MatMulBias + residual`, `ConvNHWC + Silu`), by count.
  public var fused: [(name: String, count: Int)] = []
  /// How convolutions are computed, by count.
  public var algorithms: [(name: String, count: Int)] = []
  public var misses: [Miss] = []
  public var nodesBefore = 0
  public var nodesAfter = 0

  /// `shapes`: of the graph inputs by name; every input must be given.
  public init(_ loaded: LoadedModel, shapes: [String: [Int]], precision: Precision = .float32) throws {
    nodesBefore = loaded.graph.nodes.count
    let specialized = try Specialization.fused(loaded.graph, shapes: shapes, precision: precision)
    nodesAfter = specialized.graph.nodes.count
    var counts: [String: Int] = [:]
    var chosen: [String: Int] = [:]
    for node in specialized.graph.nodes {
      if node.domain == "adadiff" { counts[Self.name(of: node), default: 0] += 1 }
      let inputs = node.inputs.map { $0.flatMap { specialized.infos[$0.index] } }
      if let name = algorithm(of: node, inputs: inputs) { chosen[name, default: 0] += 1 }
    }
    fused = Self.sorted(counts)
    algorithms = Self.sorted(chosen)
    misses = FusionDiagnosis.misses(in: specialized.graph).map {
      Miss(node: $0.node, operatorType: $0.operatorType, pattern: $0.pattern, reason: $0.reason)
    }
  }

  private static func name(of node: Node) -> String {
    var name = node.operatorType
    if case .string(let activation)? = node.attributes["activation"], !activation.isEmpty { name += " + \(activation)" }
    if case .int(2)? = node.attributes["enlargement"] { name = "Enlarge + " + name }
    if ["MatMulBias", "ConvNHWC"].contains(node.operatorType), node.inputs.count > 3, node.inputs[3] != nil {
      name += " + residual"
    }
    return name
  }

  private static func sorted(_ counts: [String: Int]) -> [(name: String, count: Int)] {
    counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { ($0.key, $0.value) }
  }
}

extension Specialization {
  /// The graph as a plan for inputs of these shapes would run it, without weights being packed.
  static func fused(
    _ source: Graph, shapes: [String: [Int]], precision: Precision = .float32
  ) throws -> Specialization {
    var graph = source
    PrecisionPass.promoteHalf(in: &graph)
    var infos: [ValueID: ValueInfo] = [:]
    for id in graph.inputs {
      guard case .tensor(let type, _) = graph.values[id.index].type else { continue }
      let name = graph.values[id.index].name
      guard let shape = shapes[name] else {
        throw Failure(.invalidArgument, "the shape of input '\(name)' is missing")
      }
      infos[id] = ValueInfo(type: type, shape: shape)
    }
    let executor = EagerExecutor(pool: ThreadPool(threads: 1), checkCancelled: {})
    var fused = try Specialization.specialize(graph, inputs: infos, executor: executor).graph
    FusionPasses.apply(to: &fused, precision: precision)
    return try Specialization.specialize(fused, inputs: infos, executor: executor)
  }
}
