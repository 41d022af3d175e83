import Runtime
import Support

extension FusionReport {
  var json: JSON {
    func counts(_ list: [(name: String, count: Int)]) -> JSON {
      .object(Dictionary(list.map { ($0.name, JSON($0.count)) }, uniquingKeysWith: { a, _ in a }))
    }
    return .object([
      "nodes_before": JSON(nodesBefore), "nodes_after": JSON(nodesAfter), "fused": counts(fused),
      "convolutions": counts(algorithms),
      "misses": .array(
        misses.map {
          [
            "node": .string($0.node), "operator": .string($0.operatorType), "pattern": .string($0.pattern),
            "reason": .string($0.reason),
          ]
        }),
    ])
  }

  func print() {
    Terminal.print("  fusions: \(nodesBefore) nodes become \(nodesAfter)")
    for entry in fused { Terminal.print("    \(entry.count) \(entry.name)") }
    for entry in algorithms { Terminal.print("    convolutions: \(entry.count) \(entry.name)") }
    let kinds = Dictionary(grouping: misses) { "\($0.operatorType) did not become \($0.pattern): \($0.reason)" }
    for (kind, nodes) in kinds.sorted(by: { $0.key < $1.key }) {
      let others = nodes.count > 1 ? " and \(nodes.count - 1) more" : ""
      Terminal.print("    \(kind) (node '\(nodes[0].node)'\(others))")
    }
  }
}
