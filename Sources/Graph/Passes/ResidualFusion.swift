/// Additions that the operator before or after can do on the way, in channels-last order.
///
/// A convolution, or a linear layer behind a Reshape, followed by the addition of a tensor of equal shape takes it as its
/// residual. A number per image and channel (a time embedding) that is added before a GroupNorm and for nobody else becomes the
/// norm's `shift`.
enum ResidualFusion {
  static func apply(_ graph: Graph) -> Graph {
    var editor = GraphEditor(graph)
    for index in graph.nodes.indices {
      let node = editor.graph.nodes[index]
      if node.isOperator("GroupNormNHWC", domain: "adadiff") { fuseShift(node, at: index, &editor) }
      guard node.isOperator("Add"), node.inputs.count == 2 else { continue }
      for (side, otherSide) in [(0, 1), (1, 0)] {
        guard let value = node.inputs[side], let other = node.inputs[otherSide], other != value,
          editor.isUsedOnce(value), editor.constant(other) == nil, editor.type(of: other) == .float32,
          editor.shape(of: other) == editor.shape(of: value)
        else { continue }
        if fuseConvolution(node, at: index, value, other, &editor) || fuseLinear(node, at: index, value, other, &editor)
        {
          break
        }
      }
    }
    return editor.finish()
  }

  private static func fuseConvolution(
    _ sum: Node, at index: Int, _ value: ValueID, _ other: ValueID, _ editor: inout GraphEditor
  ) -> Bool {
    guard var convolution = editor.node(making: value, "ConvNHWC", domain: "adadiff"), convolution.inputs.count <= 3
    else { return false }
    while convolution.inputs.count < 3 { convolution.inputs.append(nil) }
    convolution.inputs.append(other)
    convolution.outputs = sum.outputs
    editor.replace(index, with: convolution)
    return true
  }

  /// The Reshape moves behind the addition.
  private static func fuseLinear(
    _ sum: Node, at index: Int, _ value: ValueID, _ other: ValueID, _ editor: inout GraphEditor
  ) -> Bool {
    guard var reshape = editor.node(making: value, "Reshape"), let product = reshape.inputs[0],
      editor.isUsedOnce(product), var linear = editor.node(making: product, "MatMulBias", domain: "adadiff"),
      LinearFusion.isPlain(linear), let shape = editor.shape(of: product),
      let sizes = try? Tensor(int64: shape.map { Int64($0) })
    else { return false }
    let residual = editor.addValue(sum.name + ".residual", type: .float32, shape: shape)
    editor.insert(
      Node(
        name: sum.name + ".residual", operatorType: "Reshape", version: 13,
        inputs: [other, editor.addConstant(sum.name + ".shape", sizes)], outputs: [residual]), before: index)
    let result = editor.addValue(sum.name + ".product", type: .float32, shape: shape)
    linear.inputs.append(residual)
    linear.outputs = [result]
    editor.insert(linear, before: index)
    reshape.inputs[0] = result
    reshape.outputs = sum.outputs
    editor.replace(index, with: reshape)
    return true
  }

  private static func fuseShift(_ norm: Node, at index: Int, _ editor: inout GraphEditor) {
    guard norm.inputs.count == 3, let value = norm.inputs[0], editor.isUsedOnce(value),
      let sum = editor.node(making: value, "Add"), sum.inputs.count == 2, let shape = editor.shape(of: value),
      let channels = shape.last
    else { return }
    let perChannel = [shape[0]] + [Int](repeating: 1, count: shape.count - 2) + [channels]
    for (side, otherSide) in [(0, 1), (1, 0)] {
      let (x, shift) = (sum.inputs[side], sum.inputs[otherSide])
      guard editor.shape(of: x) == shape, editor.shape(of: shift) == perChannel, perChannel != shape,
        editor.type(of: x) == .float32, editor.type(of: shift) == .float32
      else { continue }
      var shifted = norm
      shifted.inputs[0] = x
      shifted.inputs.append(shift)
      return editor.replace(index, with: shifted)
    }
  }
}
