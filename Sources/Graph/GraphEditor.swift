import Support

/// A graph with the indexes that rewriting passes need: who makes a value, who reads it.
///
/// A pass replaces the last node of a matched pattern in place (all inputs of the pattern come before it), queues extra
/// nodes in front of it with `insert`, and calls `finish`, which drops what nothing reads any more. The indexes describe
/// the graph as it was at the start of the pass; reads by nodes that were replaced meanwhile still count, so a pattern may
/// be missed until the next round, never matched wrongly.
package struct GraphEditor {
  package private(set) var graph: Graph
  package private(set) var changed = false
  private var producerIndex: [Int]
  private var readers: [[Int]]
  private var isKept: [Bool]
  private var insertions: [(before: Int, node: Node)] = []

  package init(_ graph: Graph) {
    self.graph = graph
    producerIndex = Array(repeating: -1, count: graph.values.count)
    readers = Array(repeating: [], count: graph.values.count)
    isKept = Array(repeating: false, count: graph.values.count)
    for (index, node) in graph.nodes.enumerated() {
      for case let output? in node.outputs { producerIndex[output.index] = index }
      for input in node.allInputs { readers[input.index].append(index) }
    }
    for output in graph.outputs { isKept[output.index] = true }
  }

  /// Index of the node that makes `value`; nil for inputs, constants and values added during this pass.
  package func producer(of value: ValueID?) -> Int? {
    guard let value, producerIndex.indices.contains(value.index), producerIndex[value.index] >= 0 else { return nil }
    return producerIndex[value.index]
  }

  /// The node that makes `value`, if it is `operatorType` of `domain`.
  package func node(making value: ValueID?, _ operatorType: String, domain: String = "") -> Node? {
    guard let index = producer(of: value) else { return nil }
    let node = graph.nodes[index]
    return node.operatorType == operatorType && node.domain == domain ? node : nil
  }

  /// Nodes that read `value`, once per read.
  package func consumers(of value: ValueID) -> [Int] {
    readers.indices.contains(value.index) ? readers[value.index] : []
  }

  /// True when exactly one node reads `value` and it is no graph output, so that it may vanish into a fused node.
  package func isUsedOnce(_ value: ValueID?) -> Bool {
    guard let value, readers.indices.contains(value.index) else { return false }
    return readers[value.index].count == 1 && !isKept[value.index]
  }

  package func isGraphOutput(_ value: ValueID) -> Bool { isKept.indices.contains(value.index) && isKept[value.index] }

  /// Fixed shape as the planner inferred it.
  package func shape(of value: ValueID?) -> [Int]? { graph.fixedShape(of: value) }

  package func type(of value: ValueID?) -> DataType? {
    guard let value, case .tensor(let type, _) = graph.values[value.index].type else { return nil }
    return type
  }

  package func constant(_ value: ValueID?) -> Tensor? { value.flatMap { graph.constants[$0] } }

  /// The number a one-element floating-point constant holds.
  package func scalar(_ value: ValueID?) -> Double? {
    guard let tensor = constant(value), tensor.count == 1 else { return nil }
    return tensor.firstFloat
  }

  /// For a two-input node: the input that is a scalar constant, and the other one.
  package func scalarAndOther(_ node: Node) -> (scalar: Double, other: ValueID)? {
    guard node.inputs.count == 2, let first = node.inputs[0], let second = node.inputs[1] else { return nil }
    if let value = scalar(second) { return (value, first) }
    if let value = scalar(first) { return (value, second) }
    return nil
  }

  package mutating func addValue(_ name: String, type: DataType, shape: [Int]) -> ValueID {
    graph.addValue(name: name, type: .tensor(type, shape: shape.map { .fixed($0) }))
  }

  package mutating func addConstant(_ name: String, _ tensor: Tensor) -> ValueID {
    let value = addValue(name, type: tensor.type, shape: tensor.shape)
    graph.constants[value] = tensor
    return value
  }

  /// Puts `node` in place of node `index`.
  package mutating func replace(_ index: Int, with node: Node) {
    graph.nodes[index] = node
    changed = true
  }

  /// Queues `node` in front of node `index`.
  package mutating func insert(_ node: Node, before index: Int) {
    insertions.append((index, node))
    changed = true
  }

  /// Makes every reader of `old` read `new` instead; graph outputs keep their value, so `old` must not be one.
  package mutating func replaceUses(of old: ValueID, with new: ValueID) {
    for reader in consumers(of: old) {
      for slot in graph.nodes[reader].inputs.indices where graph.nodes[reader].inputs[slot] == old {
        graph.nodes[reader].inputs[slot] = new
      }
      for (name, attribute) in graph.nodes[reader].attributes {
        graph.nodes[reader].attributes[name] = attribute.replacingCapture(of: old, with: new)
      }
      if readers.indices.contains(new.index) { readers[new.index].append(reader) }
    }
    readers[old.index] = []
    changed = true
  }

  /// The rewritten graph without dead nodes.
  package consuming func finish() -> Graph {
    if !insertions.isEmpty {
      let queued = Dictionary(grouping: insertions, by: \.before)
      var nodes: [Node] = []
      nodes.reserveCapacity(graph.nodes.count + insertions.count)
      for (index, node) in graph.nodes.enumerated() {
        nodes.append(contentsOf: (queued[index] ?? []).map(\.node))
        nodes.append(node)
      }
      graph.nodes = nodes
    }
    if changed { graph.removeDeadNodes() }
    return graph
  }
}

extension Node {
  /// Direct inputs and values that subgraphs capture.
  package var allInputs: [ValueID] {
    var all = inputs.compactMap { $0 }
    for attribute in attributes.values {
      switch attribute {
      case .graph(let graph): all.append(contentsOf: graph.captures.map(\.outer))
      case .graphs(let graphs): all.append(contentsOf: graphs.flatMap { $0.captures.map(\.outer) })
      default: break
      }
    }
    return all
  }

  package func isOperator(_ type: String, domain: String = "") -> Bool { operatorType == type && self.domain == domain }
}

extension Attribute {
  fileprivate func replacingCapture(of old: ValueID, with new: ValueID) -> Attribute {
    func replaced(_ graph: Graph) -> Graph {
      var copy = graph
      for index in copy.captures.indices where copy.captures[index].outer == old { copy.captures[index].outer = new }
      return copy
    }
    return switch self {
    case .graph(let graph): .graph(replaced(graph))
    case .graphs(let graphs): .graphs(graphs.map(replaced))
    default: self
    }
  }
}

extension Graph {
  /// The shape of a tensor, where it has a rank and every size is a number.
  func fixedShape(of value: ValueID?) -> [Int]? {
    guard let value, case .tensor(_, let dimensions?) = values[value.index].type else { return nil }
    var shape: [Int] = []
    for dimension in dimensions {
      guard case .fixed(let size) = dimension else { return nil }
      shape.append(size)
    }
    return shape
  }

  /// Drops nodes none of whose outputs reach a graph output, and constants that nothing reads.
  package mutating func removeDeadNodes() {
    var needed = Set(outputs)
    var keep = Array(repeating: false, count: nodes.count)
    for index in nodes.indices.reversed() {
      guard nodes[index].outputs.contains(where: { $0.map(needed.contains) ?? false }) else { continue }
      keep[index] = true
      needed.formUnion(nodes[index].allInputs)
    }
    nodes = zip(nodes, keep).filter(\.1).map(\.0)
    constants = constants.filter { needed.contains($0.key) }
  }
}

extension Tensor {
  /// The first element of a non-empty floating-point tensor.
  package var firstFloat: Double? {
    guard let base = bytes.baseAddress, count > 0 else { return nil }
    return switch type {
    case .float32: Double(base.loadUnaligned(as: Float.self))
    case .float64: base.loadUnaligned(as: Double.self)
    case .float16: Double(base.loadUnaligned(as: Float16.self))
    case .bfloat16: Double(Float(bitPattern: UInt32(base.loadUnaligned(as: UInt16.self)) << 16))
    default: nil
    }
  }
}
