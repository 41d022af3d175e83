/// Parts of known patterns that are still there after all passes, each with the reason why it was not fused.
package struct FusionMiss: Sendable, Hashable {
  package var node: String
  package var operatorType: String
  /// What the node would have become.
  package var pattern: String
  package var reason: String
}

/// Explains near misses. Read after `FusionPasses` and `LayoutPass`: whatever is left here, no pass has taken.
package enum FusionDiagnosis {
  package static func misses(in graph: Graph) -> [FusionMiss] {
    let editor = GraphEditor(graph)
    return graph.nodes.compactMap { node in
      guard node.domain.isEmpty else { return unfollowed(node, editor) }
      let finding: (pattern: String, reason: String)? =
        switch node.operatorType {
        case "Softmax": ("Attention", attention(node, editor))
        case "InstanceNormalization": ("GroupNorm", groupNorm(node, editor))
        case "Sigmoid": silu(node, editor).map { ("Silu", $0) }
        case "Erf": ("Gelu", gelu(node, editor))
        case "Tanh": tanhGelu(node, editor).map { ("Gelu", $0) }
        case "MatMul": linear(node, editor).map { ("MatMulBias", $0) }
        case "Conv": ("ConvNHWC", convolution(node, editor))
        case "ReduceMean": layerNorm(node, editor).map { ("LayerNormalization", $0) }
        default: nil
        }
      return finding.map {
        FusionMiss(node: node.name, operatorType: node.operatorType, pattern: $0.pattern, reason: $0.reason)
      }
    }
  }

  private static func readers(_ value: ValueID?, _ editor: GraphEditor) -> [Node] {
    value.map { editor.consumers(of: $0).map { editor.graph.nodes[$0] } } ?? []
  }

  private static func attention(_ softmax: Node, _ editor: GraphEditor) -> String {
    if editor.type(of: softmax.inputs[0]) != .float32 { return "the scores are not float32" }
    if case .int(let axis)? = softmax.attributes["axis"], let rank = editor.shape(of: softmax.inputs[0])?.count,
      axis != -1, axis != Int64(rank - 1)
    {
      return "the softmax is over axis \(axis), not the last"
    }
    let following = readers(softmax.outputs.first ?? nil, editor)
    if following.count != 1 { return "the probabilities are read \(following.count) times" }
    if !following[0].isOperator("MatMul") { return "the probabilities go to \(following[0].operatorType), not MatMul" }
    var value = softmax.inputs[0]
    for _ in 0..<4 {
      guard let index = editor.producer(of: value) else { return "the scores are an input" }
      let node = editor.graph.nodes[index]
      if !editor.isUsedOnce(value) { return "the scores before \(node.operatorType) are read more than once" }
      if node.isOperator("MatMul") { return "the operands' shapes are not those of heads split from one tensor" }
      guard ["Mul", "Div", "Add"].contains(node.operatorType), node.domain.isEmpty else {
        return "the scores come from \(node.operatorType), not MatMul"
      }
      value = node.inputs.first { editor.constant($0) == nil && editor.producer(of: $0) != nil } ?? node.inputs[0]
    }
    return "the scores pass through more arithmetic than a scale and a mask"
  }

  private static func groupNorm(_ node: Node, _ editor: GraphEditor) -> String {
    guard let before = editor.node(making: node.inputs[0], "Reshape") else {
      return "no Reshape to groups comes before it: a normalisation of single channels"
    }
    guard let shape = editor.shape(of: node.inputs[0]), shape.count == 3 else {
      return "the groups have \(editor.shape(of: node.inputs[0])?.count ?? 0) dimensions, not 3"
    }
    if editor.constant(node.inputs[1]) == nil { return "its scale is not constant" }
    if !readers(node.outputs.first ?? nil, editor).allSatisfy({ $0.isOperator("Reshape") }) {
      return "no Reshape back follows"
    }
    return "the shape before '\(before.name)' does not come back, or the scale is not one"
  }

  private static func silu(_ node: Node, _ editor: GraphEditor) -> String? {
    let following = readers(node.outputs.first ?? nil, editor)
    guard following.contains(where: { $0.isOperator("Mul") }) else { return nil }
    if following.count > 1 { return "the sigmoid is read \(following.count) times" }
    return "it multiplies another value than its own input"
  }

  private static func gelu(_ node: Node, _ editor: GraphEditor) -> String {
    let following = readers(node.outputs.first ?? nil, editor)
    guard following.count == 1, following[0].isOperator("Add") else { return "no Add of 1 follows" }
    return "the factors ½ and 1/√2 or the input do not match"
  }

  private static func tanhGelu(_ node: Node, _ editor: GraphEditor) -> String? {
    guard readers(node.outputs.first ?? nil, editor).contains(where: { $0.isOperator("Add") }) else { return nil }
    return "the cubic inside or the factor ½ does not match"
  }

  private static func layerNorm(_ node: Node, _ editor: GraphEditor) -> String? {
    guard readers(node.outputs.first ?? nil, editor).contains(where: { $0.isOperator("Sub") }) else { return nil }
    return "variance, scale or bias after it do not match"
  }

  private static func linear(_ node: Node, _ editor: GraphEditor) -> String? {
    let following = readers(node.outputs.first ?? nil, editor)
    guard following.count == 1, following[0].isOperator("Add") || following[0].domain == "adadiff" else { return nil }
    guard following[0].isOperator("Add") || ["Silu", "Gelu", "QuickGelu"].contains(following[0].operatorType) else {
      return nil
    }
    guard let matrix = editor.constant(node.inputs[1]) else { return "the matrix is not constant" }
    if matrix.rank != 2 { return "the matrix has \(matrix.rank) dimensions" }
    return "the addend has another shape than the product"
  }

  private static func convolution(_ node: Node, _ editor: GraphEditor) -> String {
    if editor.type(of: node.inputs[0]) != .float32 { return "the input is not float32" }
    guard let rank = editor.shape(of: node.inputs[0])?.count, rank == 4 else { return "the input is not an image" }
    return "the weights are not constant"
  }

  /// Fused operators whose follower could not join them.
  private static func unfollowed(_ node: Node, _ editor: GraphEditor) -> FusionMiss? {
    guard node.domain == "adadiff", ["MatMulBias", "ConvNHWC"].contains(node.operatorType),
      let output = node.outputs.first ?? nil
    else { return nil }
    let following = readers(output, editor)
    guard let add = following.first(where: { $0.isOperator("Add") }),
      editor.shape(of: add.outputs.first ?? nil) == editor.shape(of: output)
    else { return nil }
    let reason: String
    if following.count > 1 {
      reason = "the result is read \(following.count) times, so the Add must stay"
    } else if node.inputs.count > 3 {
      reason = "it already adds a residual"
    } else if add.inputs.contains(where: { $0 != output && editor.shape(of: $0) != editor.shape(of: output) }) {
      reason = "the addend has another shape"
    } else {
      reason = "the addend is computed later or constant"
    }
    return FusionMiss(node: node.name, operatorType: node.operatorType, pattern: "residual", reason: reason)
  }
}
