import Support

extension Node {
  /// Everything the node reads, including what its subgraphs capture.
  public var reads: [ValueID] {
    var result = inputs.compactMap { $0 }
    for attribute in attributes.values {
      switch attribute {
      case .graph(let graph): result += graph.captures.map(\.outer)
      case .graphs(let graphs): for graph in graphs { result += graph.captures.map(\.outer) }
      default: break
      }
    }
    return result
  }

  /// True for nodes that run subgraphs.
  public var hasSubgraphs: Bool {
    attributes.values.contains {
      switch $0 {
      case .graph, .graphs: true
      default: false
      }
    }
  }
}

extension Graph {
  /// Brings the nodes into an order in which every value is produced before it is read; keeps an order that already is one.
  /// Throws `.corrupt` for cycles and for values that nothing produces.
  public mutating func sortNodes() throws {
    var producer = [Int](repeating: -1, count: values.count)
    for (index, node) in nodes.enumerated() {
      for output in node.outputs { if let output { producer[output.index] = index } }
    }
    var available = [Bool](repeating: false, count: values.count)
    for id in inputs { available[id.index] = true }
    for id in constants.keys { available[id.index] = true }
    for capture in captures { available[capture.local.index] = true }
    for id in outputs where producer[id.index] < 0 && !available[id.index] {
      throw Failure(.corrupt, "graph output '\(values[id.index].name)' is not produced by any node")
    }
    // Kahn's algorithm on node indices.
    var waiting = [Int](repeating: 0, count: nodes.count)
    var readers = [[Int]](repeating: [], count: nodes.count)
    var sorted = true
    for (index, node) in nodes.enumerated() {
      for id in node.reads where !available[id.index] {
        let source = producer[id.index]
        guard source >= 0 else {
          throw Failure(
            .corrupt, "input '\(values[id.index].name)' is not produced by any node", node: node.name,
            operatorType: node.operatorType)
        }
        if source >= index { sorted = false }
        waiting[index] += 1
        readers[source].append(index)
      }
    }
    if sorted { return }
    var order: [Int] = []
    order.reserveCapacity(nodes.count)
    for index in nodes.indices where waiting[index] == 0 { order.append(index) }
    var next = 0
    while next < order.count {
      for reader in readers[order[next]] {
        waiting[reader] -= 1
        if waiting[reader] == 0 { order.append(reader) }
      }
      next += 1
    }
    guard order.count == nodes.count else {
      let stuck = nodes.indices.first { waiting[$0] > 0 } ?? 0
      throw Failure(
        .corrupt, "the graph has a cycle", node: nodes[stuck].name, operatorType: nodes[stuck].operatorType)
    }
    nodes = order.map { nodes[$0] }
  }
}
