/// Removes nodes that change nothing, and arithmetic with tensors of one repeated value.
///
/// torch's exporter writes `baddbmm(empty, q, k, beta: 0)` as `Mul(ConstantOfShape, 0)` added to the scores: a tensor as
/// large as the attention matrix that must neither be folded into a constant nor computed.
enum SimplifyPass {
  static func apply(_ graph: Graph) -> Graph {
    var editor = GraphEditor(graph)
    var uniform: [ValueID: Double] = [:]
    for index in graph.nodes.indices {
      let node = editor.graph.nodes[index]
      guard node.domain.isEmpty, let output = node.outputs.first ?? nil else { continue }
      switch node.operatorType {
      case "ConstantOfShape":
        uniform[output] = uniformValue(of: node)
      case "Mul":
        if let value = product(of: node, uniform, editor) { uniform[output] = value }
        if let kept = neutral(node, uniform, editor, value: 1), !editor.isGraphOutput(output) {
          editor.replaceUses(of: output, with: kept)
        }
      case "Div", "Sub":
        // Only the second operand can be neutral.
        if let kept = neutral(node, uniform, editor, value: node.operatorType == "Div" ? 1 : 0),
          kept == node.inputs[0], !editor.isGraphOutput(output)
        {
          editor.replaceUses(of: output, with: kept)
        }
      case "Expand":
        if let value = node.inputs[0].flatMap({ uniform[$0] }) ?? editor.scalar(node.inputs[0]) {
          uniform[output] = value
        }
      case "Add":
        if let kept = neutral(node, uniform, editor, value: 0), !editor.isGraphOutput(output) {
          editor.replaceUses(of: output, with: kept)
        }
      case "Identity", "Cast":
        guard let input = node.inputs[0], !editor.isGraphOutput(output), editor.type(of: input) != nil,
          editor.type(of: input) == editor.type(of: output), editor.shape(of: input) == editor.shape(of: output)
        else { continue }
        editor.replaceUses(of: output, with: input)
      default: break
      }
    }
    return editor.finish()
  }

  private static func uniformValue(of node: Node) -> Double? {
    switch node.attributes["value"] {
    case nil: 0
    case .tensor(let tensor)?: tensor.firstFloat
    default: nil
    }
  }

  private static func product(of node: Node, _ uniform: [ValueID: Double], _ editor: GraphEditor) -> Double? {
    guard node.inputs.count == 2, let a = node.inputs[0], let b = node.inputs[1],
      let x = uniform[a] ?? editor.scalar(a), let y = uniform[b] ?? editor.scalar(b)
    else { return nil }
    return x * y
  }

  /// The other input, when one input repeats `value` and the other already has the output's shape and type.
  private static func neutral(
    _ node: Node, _ uniform: [ValueID: Double], _ editor: GraphEditor, value: Double
  ) -> ValueID? {
    guard node.inputs.count == 2, let a = node.inputs[0], let b = node.inputs[1] else { return nil }
    for (candidate, other) in [(a, b), (b, a)]
    where uniform[candidate] == value || isFilled(candidate, like: other, with: Float(value), editor) {
      if let shape = editor.shape(of: other), shape == editor.shape(of: node.outputs[0]) { return other }
    }
    return nil
  }

  /// Folding may already have written the repeated value out. Vectors are left alone: scales of one and biases of zero
  /// belong to patterns (GroupNorm, linear layers) that are looked for later.
  private static func isFilled(
    _ candidate: ValueID, like other: ValueID, with value: Float, _ editor: GraphEditor
  ) -> Bool {
    guard let tensor = editor.constant(candidate), tensor.type == .float32, tensor.count > 0,
      tensor.count == 1 || tensor.shape == editor.shape(of: other)
    else { return false }
    return withExtendedLifetime(tensor) { tensor.buffer(Float.self).allSatisfy { $0 == value } }
  }
}
