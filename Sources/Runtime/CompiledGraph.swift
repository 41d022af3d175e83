import Graph
import Operators
import Support

/// A graph with an implementation for every node, subgraphs included; shared by all runs.
final class CompiledGraph: @unchecked Sendable {
  let graph: Graph
  let steps: [CompiledNode]
  /// Subgraphs need no more than their values; true when any node here or below runs a subgraph or is dynamic.
  let hasDynamicNodes: Bool

  /// Finds every operator. All nodes without an implementation are reported together.
  static func compile(_ graph: Graph, registry: OperatorRegistry = .standard) throws -> CompiledGraph {
    var problems: [Failure] = []
    let compiled = CompiledGraph(graph, registry: registry, problems: &problems)
    guard let first = problems.first else { return compiled }
    throw Self.summary(problems, first: first)
  }

  /// Every node that cannot be run, here and in subgraphs.
  static func problems(in graph: Graph, registry: OperatorRegistry = .standard) -> [Failure] {
    var problems: [Failure] = []
    _ = CompiledGraph(graph, registry: registry, problems: &problems)
    return problems
  }

  private init(_ graph: Graph, registry: OperatorRegistry, problems: inout [Failure]) {
    self.graph = graph
    var lastRead = [Int](repeating: -1, count: graph.values.count)
    for (index, node) in graph.nodes.enumerated() {
      for id in node.reads { lastRead[id.index] = index }
      // A value nobody reads is freed where it is made.
      for id in node.outputs { if let id, lastRead[id.index] < index { lastRead[id.index] = index } }
    }
    for id in graph.outputs { lastRead[id.index] = graph.nodes.count }
    var freedAfter = [[Int]](repeating: [], count: graph.nodes.count + 1)
    for (value, index) in lastRead.enumerated() where index >= 0 && graph.constants[ValueID(value)] == nil {
      freedAfter[index].append(value)
    }
    var steps: [CompiledNode] = []
    steps.reserveCapacity(graph.nodes.count)
    var dynamic = false
    for (index, node) in graph.nodes.enumerated() {
      do {
        let step = try CompiledNode(node, registry: registry, freedAfter: freedAfter[index], problems: &problems)
        if case .dynamic = step.implementation { dynamic = true }
        steps.append(step)
      } catch {
        let failure = error as? Failure ?? Failure(.internalError, "\(error)")
        problems.append(failure.adding(node: node.name, operatorType: node.qualifiedOperator))
      }
    }
    self.steps = steps
    hasDynamicNodes = dynamic
  }

  fileprivate static func nested(
    _ graph: Graph, registry: OperatorRegistry, problems: inout [Failure]
  ) -> CompiledGraph {
    CompiledGraph(graph, registry: registry, problems: &problems)
  }

  /// One failure that lists every operator that is missing, with one node each.
  private static func summary(_ problems: [Failure], first: Failure) -> Failure {
    var lines: [String: (count: Int, failure: Failure)] = [:]
    for problem in problems {
      let key = (problem.operatorType ?? "") + problem.message
      lines[key] = ((lines[key]?.count ?? 0) + 1, lines[key]?.failure ?? problem)
    }
    guard lines.count > 1 else { return first }
    let list = lines.values.sorted { ($0.failure.operatorType ?? "") < ($1.failure.operatorType ?? "") }.map {
      "\($0.failure.operatorType ?? "?") in \($0.count) node(s) such as '\($0.failure.node ?? "")': \($0.failure.message)"
    }
    var result = first
    result.message = "\(problems.count) nodes cannot be run: " + list.joined(separator: "; ")
    return result
  }
}

/// One node with its implementation.
struct CompiledNode: @unchecked Sendable {
  enum Implementation {
    case planned(any Operator)
    case dynamic(any DynamicOperator)
  }

  let node: Node
  let implementation: Implementation
  /// Subgraphs by attribute name (`body`, `then_branch`, …).
  let subgraphs: [String: CompiledGraph]
  /// Values whose last reader this is.
  let freedAfter: [Int]

  init(_ node: Node, registry: OperatorRegistry, freedAfter: [Int], problems: inout [Failure]) throws {
    self.node = node
    self.freedAfter = freedAfter
    var subgraphs: [String: CompiledGraph] = [:]
    for (name, attribute) in node.attributes {
      if case .graph(let graph) = attribute {
        subgraphs[name] = .nested(graph, registry: registry, problems: &problems)
      }
    }
    self.subgraphs = subgraphs
    if node.domain.isEmpty, !OpsetSupport.accepts(node.operatorType, version: node.version) {
      throw Failure(
        .unsupported, "operator set version \(node.version) is not supported for this operator",
        expected: "\(OpsetSupport.versions)")
    }
    guard let entry = registry.entry(domain: node.domain, name: node.operatorType, version: node.version) else {
      throw Failure(
        .unsupported,
        "no implementation in domain '\(node.domain.isEmpty ? "ai.onnx" : node.domain)', version \(node.version)")
    }
    switch entry.implementation {
    case .planned(let make): implementation = .planned(try make(node))
    case .dynamic(let make): implementation = .dynamic(try make(node))
    }
  }
}

extension Node {
  /// `Op` or `domain.Op`.
  var qualifiedOperator: String { domain.isEmpty ? operatorType : "\(domain).\(operatorType)" }
}
