import Support

/// How attention heads lie in tensors: follows reshapes and transposes between (batch, length, heads·size) and the split
/// forms, and writes such nodes where an exporter's form is not recognised.
struct HeadLayout {
  var batch: Int
  var heads: Int

  /// A tensor traced back from a MatMul operand. `scale`: product of scalar factors passed on the way.
  struct Traced {
    var value: ValueID
    var scale: Double
    /// True when `value` is already (batch, length, heads·size).
    var isJoined: Bool
  }

  // MARK: Recognising

  /// Walks back over reshapes, transposes and scalar factors from an operand in split form and stops at the farthest tensor
  /// of shape (batch, length, heads·size) from which these nodes are a plain head split; else returns the operand itself.
  func source(of operand: ValueID, length: Int, size: Int, transposed: Bool, _ editor: GraphEditor) -> Traced {
    var best = Traced(value: operand, scale: 1, isJoined: false)
    var path: [Node] = []
    var scale = 1.0
    var current = operand
    // Exporters write at most six nodes here.
    for _ in 0..<12 {
      if editor.shape(of: current) == [batch, length, heads * size],
        isPlainSplit(path, length: length, size: size, transposed: transposed, editor)
      {
        best = Traced(value: current, scale: scale, isJoined: true)
      }
      guard let index = editor.producer(of: current) else { break }
      let node = editor.graph.nodes[index]
      guard node.domain.isEmpty, let input = node.inputs.first ?? nil else { break }
      switch node.operatorType {
      case "Reshape", "Transpose", "Unsqueeze", "Squeeze", "Identity":
        path.insert(node, at: 0)
        current = input
      case "Mul", "Div":
        guard let (factor, other) = editor.scalarAndOther(node), factor != 0,
          node.operatorType == "Mul" || node.inputs[0] == other
        else { return best }
        scale *= node.operatorType == "Mul" ? factor : 1 / factor
        current = other
      // A factor in front of an unsplit tensor must not be lost when the split itself is not recognised.
      default: return best
      }
    }
    return best
  }

  /// Follows `path` symbolically: dimension factors batch, length, heads, size are regrouped and permuted.
  private func isPlainSplit(_ path: [Node], length: Int, size: Int, transposed: Bool, _ editor: GraphEditor) -> Bool {
    let b = Factor(name: 0, size: batch), l = Factor(name: 1, size: length)
    let h = Factor(name: 2, size: heads), d = Factor(name: 3, size: size)
    let wanted = (transposed ? [b, h, d, l] : [b, h, l, d]).filter { $0.size != 1 }
    return followed(path, from: [[b], [l], [h, d]], editor) == wanted
  }

  private struct Factor: Equatable {
    var name: Int
    var size: Int
  }

  private func followed(_ path: [Node], from start: [[Factor]], _ editor: GraphEditor) -> [Factor]? {
    var dimensions = start
    for node in path {
      guard let shape = editor.shape(of: node.outputs[0]) else { return nil }
      if node.operatorType == "Transpose" {
        let reversed = Array((0..<dimensions.count).reversed())
        var permutation = reversed
        if case .ints(let values)? = node.attributes["perm"] { permutation = values.map { Int($0) } }
        guard permutation.sorted() == reversed.reversed() else { return nil }
        dimensions = permutation.map { dimensions[$0] }
      } else {
        var rest = dimensions.joined().filter { $0.size != 1 }[...]
        dimensions = []
        for size in shape {
          var group: [Factor] = []
          var product = 1
          while product < size, let factor = rest.first {
            group.append(factor)
            product *= factor.size
            rest = rest.dropFirst()
          }
          guard product == size else { return nil }
          dimensions.append(group)
        }
        guard rest.isEmpty else { return nil }
      }
    }
    return dimensions.joined().filter { $0.size != 1 }
  }

  /// Head counts that tensors behind a (batch·heads, length, size) query allow, nearest to the projection first.
  static func headCounts(from query: ValueID, batchTimesHeads: Int, size: Int, _ editor: GraphEditor) -> [Int] {
    var counts: [Int] = []
    var current = query
    for _ in 0..<12 {
      if let shape = editor.shape(of: current), shape.count == 3, size > 0, shape[2] % size == 0, shape[0] > 0,
        shape[0] * (shape[2] / size) == batchTimesHeads
      {
        counts.insert(shape[2] / size, at: 0)
      }
      guard let index = editor.producer(of: current) else { break }
      let node = editor.graph.nodes[index]
      guard node.domain.isEmpty,
        ["Reshape", "Transpose", "Mul", "Div", "Unsqueeze", "Squeeze"].contains(node.operatorType)
      else { break }
      guard let next = editor.scalarAndOther(node)?.other ?? node.inputs[0] else { break }
      current = next
    }
    return counts
  }

  /// The tensor after the reshapes and transposes that follow the attention product, each read only once.
  static func joinedOutput(of output: ValueID, _ editor: GraphEditor) -> ValueID? {
    var current = output
    var last: ValueID?
    for _ in 0..<6 {
      guard editor.isUsedOnce(current), let reader = editor.consumers(of: current).first else { break }
      let node = editor.graph.nodes[reader]
      guard node.domain.isEmpty, ["Reshape", "Transpose"].contains(node.operatorType), node.inputs[0] == current,
        let next = node.outputs.first ?? nil
      else { break }
      current = next
      if editor.shape(of: current)?.count == 3 { last = current }
    }
    return last
  }

  /// True when the nodes between the attention product and `joined` are a plain joining of heads.
  func accepts(_ joined: ValueID, length: Int, size: Int, _ editor: GraphEditor) -> Bool {
    guard editor.shape(of: joined) == [batch, length, heads * size] else { return false }
    var path: [Node] = []
    var current = joined
    while let index = editor.producer(of: current), editor.graph.nodes[index].operatorType != "MatMul", path.count < 6 {
      path.insert(editor.graph.nodes[index], at: 0)
      guard let input = editor.graph.nodes[index].inputs[0] else { return false }
      current = input
    }
    guard let shape = editor.shape(of: current) else { return false }
    let b = Factor(name: 0, size: batch), l = Factor(name: 1, size: length)
    let h = Factor(name: 2, size: heads), d = Factor(name: 3, size: size)
    let start = shape.count == 4 ? [[b], [h], [l], [d]] : [[b, h], [l], [d]]
    return followed(path, from: start, editor) == [b, l, h, d].filter { $0.size != 1 }
  }

  /// The mask in a shape that broadcasts to (batch, heads, query length, key length); nil when it cannot be brought there.
  /// `.value` nil: no mask.
  func mask(_ mask: ValueID?, scores: [Int], _ editor: GraphEditor) -> (value: (id: ValueID, shape: [Int])?, Void)? {
    guard let mask else { return (nil, ()) }
    guard let shape = editor.shape(of: mask), editor.type(of: mask) == .float32, shape.count <= scores.count else {
      return nil
    }
    let padded = Array(repeating: 1, count: scores.count - shape.count) + shape
    guard zip(padded, scores).allSatisfy({ $0 == 1 || $0 == $1 }) else { return nil }
    if scores.count == 4 { return ((mask, padded), ()) }
    let leading = padded[0] == 1 ? [1, 1] : [batch, heads]
    return ((mask, leading + padded[1...]), ())
  }

  // MARK: Writing

  /// Reshape node in front of node `index`; the value it makes.
  func reshape(_ value: ValueID, to shape: [Int], before index: Int, name: String, _ editor: inout GraphEditor)
    -> ValueID
  {
    let output = editor.addValue("\(name).reshaped", type: .float32, shape: shape)
    editor.insert(reshapeNode(value, output, shape, name, &editor), before: index)
    return output
  }

  private func reshapeNode(
    _ input: ValueID, _ output: ValueID, _ shape: [Int], _ name: String, _ editor: inout GraphEditor
  ) -> Node {
    // Allocating a handful of bytes fails only when the process is out of memory; an absent shape is refused at planning.
    let target = (try? Tensor(int64: shape.map { Int64($0) })).map { editor.addConstant("\(name).shape", $0) }
    return Node(
      name: "\(name).reshape", operatorType: "Reshape", version: 13, inputs: [input, target], outputs: [output])
  }

  private func transpose(
    _ value: ValueID, _ permutation: [Int], shape: [Int], before index: Int, name: String, _ editor: inout GraphEditor
  ) -> ValueID {
    let output = editor.addValue("\(name).transposed", type: .float32, shape: shape)
    editor.insert(
      Node(
        name: "\(name).transpose", operatorType: "Transpose", version: 13, inputs: [value], outputs: [output],
        attributes: ["perm": .ints(permutation.map { Int64($0) })]), before: index)
    return output
  }

  /// Split form to (batch, length, heads·size).
  func join(
    _ operand: ValueID, length: Int, size: Int, transposed: Bool, before index: Int, name: String,
    _ editor: inout GraphEditor
  ) -> ValueID {
    let inner = transposed ? [size, length] : [length, size]
    let split = reshape(operand, to: [batch, heads] + inner, before: index, name: "\(name).split", &editor)
    let moved = transpose(
      split, transposed ? [0, 3, 1, 2] : [0, 2, 1, 3], shape: [batch, length, heads, size], before: index, name: name,
      &editor)
    return reshape(moved, to: [batch, length, heads * size], before: index, name: "\(name).joined", &editor)
  }

  /// (batch, length, heads·size) to the split form that readers of `output` expect; takes the place of node `index`.
  func split(
    _ joined: ValueID, into output: ValueID, length: Int, size: Int, replacing index: Int, name: String,
    _ editor: inout GraphEditor
  ) {
    guard let shape = editor.shape(of: output) else { return }
    let parts = reshape(joined, to: [batch, length, heads, size], before: index, name: "\(name).parts", &editor)
    let moved = transpose(
      parts, [0, 2, 1, 3], shape: [batch, heads, length, size], before: index, name: "\(name).output", &editor)
    editor.replace(index, with: reshapeNode(moved, output, shape, "\(name).output", &editor))
  }
}
