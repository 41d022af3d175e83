/// Products of the same rows with two or three constant matrices of the same shape, as of queries, keys and values: one
/// `adadiff:MatMulGroup`, whose rows are packed once for all of them, or summed once where they take two levels of Strassen's
/// algorithm.
///
/// The choice depends on the matrices and their precision alone, so that plans for other shapes share the packed weights.
enum ProductGrouping {
  /// Operators take at most so many matrices.
  private static let limit = 3
  /// Columns are whole panels on every instruction set.
  private static let columnMultiple = 32

  static func apply(to graph: inout Graph) {
    struct Key: Hashable {
      let rows: ValueID
      let shape: [Int]
      /// What `ReducedPrecisionPass` chose.
      let precision: String?
    }
    var groups: [Key: [Int]] = [:]
    for (index, node) in graph.nodes.enumerated() {
      guard node.isOperator("MatMul"), node.inputs.count == 2, let rows = node.inputs[0], graph.constants[rows] == nil,
        let id = node.inputs[1], let matrix = graph.constants[id], matrix.type == .float32, matrix.rank == 2,
        matrix.count > 0, matrix.shape[1].isMultiple(of: columnMultiple)
      else { continue }
      groups[
        Key(rows: rows, shape: matrix.shape, precision: precision(of: node)), default: []
      ].append(index)
    }
    var replaced: [Int: Node?] = [:]
    for members in groups.values.flatMap(pieces) {
      let nodes = members.map { graph.nodes[$0] }
      for index in members { replaced[index] = .some(nil) }
      replaced[members[members.startIndex]] = Node(
        name: nodes[0].name, operatorType: "MatMulGroup", domain: "adadiff", version: FusionPasses.version,
        inputs: [nodes[0].inputs[0]] + nodes.map { $0.inputs[1] }, outputs: nodes.map { $0.outputs[0] },
        attributes: nodes[0].attributes)
    }
    graph.nodes = graph.nodes.enumerated().compactMap { index, node in replaced[index] ?? node }
  }

  private static func precision(of node: Node) -> String? {
    guard case .string(let name)? = node.attributes[ReducedPrecisionPass.attribute] else { return nil }
    return name
  }

  /// Two or three at a time in the order of the nodes, so that none of several is alone.
  private static func pieces(of members: [Int]) -> [ArraySlice<Int>] {
    var pieces: [ArraySlice<Int>] = []
    var rest = members[...]
    while rest.count > 1 {
      let size = rest.count == limit + 1 ? 2 : min(limit, rest.count)
      pieces.append(rest.prefix(size))
      rest = rest.dropFirst(size)
    }
    return pieces
  }
}
