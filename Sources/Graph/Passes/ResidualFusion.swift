/// Convolution followed by the addition of a tensor of equal shape: one `adadiff:ConvNHWC` with a residual input.
enum ResidualFusion {
  static func apply(_ graph: Graph) -> Graph {
    var editor = GraphEditor(graph)
    for index in graph.nodes.indices {
      let node = editor.graph.nodes[index]
      guard node.isOperator("Add"), node.inputs.count == 2 else { continue }
      for (convolutionSide, otherSide) in [(0, 1), (1, 0)] {
        guard let value = node.inputs[convolutionSide], let other = node.inputs[otherSide], other != value,
          editor.isUsedOnce(value), var convolution = editor.node(making: value, "ConvNHWC", domain: "adadiff"),
          convolution.inputs.count <= 3, editor.constant(other) == nil, editor.type(of: other) == .float32,
          editor.shape(of: other) == editor.shape(of: value)
        else { continue }
        while convolution.inputs.count < 3 { convolution.inputs.append(nil) }
        convolution.inputs.append(other)
        convolution.outputs = node.outputs
        editor.replace(index, with: convolution)
        break
      }
    }
    return editor.finish()
  }
}
