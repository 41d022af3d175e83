import Graph
import Operators
import Support

/// Sequences whose elements are known by name, as torch's newer exporter writes them around splits and concatenations:
/// their operators become operators on tensors, which can be planned.
extension Specialization {
  /// Nodes that do without the sequence, or nil when the node has to stay. The elements of sequences it makes are noted;
  /// such a node stays as well and dies when nothing reads the sequence itself.
  mutating func withoutSequences(_ node: Node) throws -> [Node]? {
    // A node comes back here after its elements are noted.
    guard node.domain.isEmpty, let output = node.outputs.first ?? nil, sequences[output] == nil else { return nil }
    switch node.operatorType {
    case "SequenceEmpty":
      sequences[output] = []
      return nil
    case "SequenceConstruct":
      let elements = node.inputs.compactMap { $0 }
      if elements.count == node.inputs.count { sequences[output] = elements }
      return nil
    case "SplitToSequence": return try split(node, into: output)
    case "SequenceInsert", "SequenceErase":
      try edit(node, into: output)
      return nil
    case "SequenceAt":
      guard let elements = elements(of: node), let position = try position(node, 1, count: elements.count),
        elements.indices.contains(position)
      else { return nil }
      return [identity(node, elements[position], output)]
    case "SequenceLength":
      guard let elements = elements(of: node) else { return nil }
      setConstant(output, try Tensor(type: .int64, shape: [], values: [Int64(elements.count)]))
      return []
    case "ConcatFromSequence": return try concatenation(node, into: output)
    default: return nil
    }
  }

  private func elements(of node: Node) -> [ValueID]? { (node.inputs.first ?? nil).flatMap { sequences[$0] } }

  /// A constant position input, counted from the end where negative; nil when it is not known.
  private func position(_ node: Node, _ slot: Int, count: Int) throws -> Int? {
    guard slot < node.inputs.count, let constant = info(node.inputs[slot])?.constant,
      let value = try constant.integers().first
    else { return nil }
    return value < 0 ? value + count : value
  }

  private func identity(_ node: Node, _ source: ValueID, _ target: ValueID) -> Node {
    Node(name: node.name, operatorType: "Identity", version: max(13, node.version), inputs: [source], outputs: [target])
  }

  private mutating func edit(_ node: Node, into output: ValueID) throws {
    guard var elements = elements(of: node) else { return }
    let inserts = node.operatorType == "SequenceInsert"
    let slot = inserts ? 2 : 1
    let hasPosition = slot < node.inputs.count && node.inputs[slot] != nil
    var place = inserts ? elements.count : elements.count - 1
    if hasPosition {
      guard let known = try position(node, slot, count: elements.count) else { return }
      place = known
    }
    if inserts {
      guard (0...elements.count).contains(place), node.inputs.count > 1, let value = node.inputs[1] else { return }
      elements.insert(value, at: place)
    } else {
      guard elements.indices.contains(place) else { return }
      elements.remove(at: place)
    }
    sequences[output] = elements
  }

  private mutating func split(_ node: Node, into output: ValueID) throws -> [Node]? {
    guard let x = node.inputs.first ?? nil, let known = info(x), !known.shape.isEmpty else { return nil }
    let rawAxis = try node.int("axis", default: 0)
    let axis = rawAxis < 0 ? rawAxis + known.shape.count : rawAxis
    guard known.shape.indices.contains(axis) else { return nil }
    let length = known.shape[axis]
    var sizes: [Int]
    var keepsAxis = true
    if node.inputs.count > 1, let input = node.inputs[1] {
      guard let constant = info(input)?.constant else { return nil }
      sizes = try constant.integers()
      if constant.rank == 0, let chunk = sizes.first {
        guard chunk > 0, length > 0 else { return nil }
        sizes = stride(from: 0, to: length, by: chunk).map { min(chunk, length - $0) }
      }
    } else {
      sizes = Array(repeating: 1, count: length)
      keepsAxis = try node.bool("keepdims", default: true)
    }
    // Many tiny pieces gain nothing from being planned.
    guard sizes.allSatisfy({ $0 >= 0 }), sizes.reduce(0, +) == length, (1...256).contains(sizes.count) else {
      return nil
    }
    let counts = addConstant(node.name + "/sizes", try Tensor(int64: sizes.map(Int64.init)))
    let pieces = sizes.indices.map { addValue("\(node.name)/piece \($0)") }
    var nodes = [
      Node(
        name: node.name, operatorType: "Split", version: 13, inputs: [x, counts], outputs: pieces,
        attributes: ["axis": .int(Int64(axis))])
    ]
    sequences[output] = pieces
    if !keepsAxis {
      let axes = addConstant(node.name + "/axes", try Tensor(int64: [Int64(axis)]))
      let squeezed = pieces.map { _ in addValue(node.name + "/element") }
      for (piece, element) in zip(pieces, squeezed) {
        nodes.append(
          Node(name: node.name, operatorType: "Squeeze", version: 13, inputs: [piece, axes], outputs: [element]))
      }
      sequences[output] = squeezed
    }
    // The sequence itself stays for readers that need one.
    return nodes + [node]
  }

  private mutating func concatenation(_ node: Node, into output: ValueID) throws -> [Node]? {
    guard let elements = elements(of: node), !elements.isEmpty else { return nil }
    let axis = try node.required(node.int("axis"), "axis")
    var nodes: [Node] = []
    var parts = elements
    if try node.bool("new_axis", default: false) {
      let axes = addConstant(node.name + "/axes", try Tensor(int64: [Int64(axis)]))
      parts = elements.map { element in
        let part = addValue(node.name + "/part")
        nodes.append(
          Node(name: node.name, operatorType: "Unsqueeze", version: 13, inputs: [element, axes], outputs: [part]))
        return part
      }
    }
    nodes.append(
      Node(
        name: node.name, operatorType: "Concat", version: 13, inputs: parts, outputs: [output],
        attributes: ["axis": .int(Int64(axis))]))
    return nodes
  }
}
