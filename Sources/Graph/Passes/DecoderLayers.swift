/// The layers of a decoder that rounding hurts most and that cost least: those whose results are enlarged twice or more often.
///
/// What such a layer errs goes through all that follow. In the decoder of Stable Diffusion 2.1, 3×3 convolutions by Winograd's algorithm
/// in bfloat16 give an error of 4.0e-2; the 17 of 31 before the last two enlargements, three tenths of the operations, make three quarters of its square.
enum DecoderLayers {
  private static let leastEnlargements = 2

  /// Indices of 3×3 convolutions; none where the network also makes images smaller, as those do that predict noise.
  static func early(in editor: GraphEditor) -> Set<Int> {
    let nodes = editor.graph.nodes
    guard !nodes.contains(where: reduces) else { return [] }
    /// Enlargements between a value and the end.
    var ahead: [ValueID: Int] = [:]
    var early: Set<Int> = []
    for (index, node) in nodes.enumerated().reversed() {
      let after = node.outputs.compactMap { $0.flatMap { ahead[$0] } }.max() ?? 0
      if after >= leastEnlargements, isConvolution3x3(node, editor) { early.insert(index) }
      let before = after + (enlarges(node, editor) ? 1 : 0)
      for case let id? in node.inputs { ahead[id] = max(ahead[id] ?? 0, before) }
    }
    return early
  }

  private static func isConvolution3x3(_ node: Node, _ editor: GraphEditor) -> Bool {
    guard node.operatorType == "Conv" || node.operatorType == "ConvNHWC", node.inputs.count > 1,
      let weights = editor.shape(of: node.inputs[1]), weights.count == 4
    else { return false }
    return weights[2] == 3 && weights[3] == 3
  }

  private static func enlarges(_ node: Node, _ editor: GraphEditor) -> Bool {
    switch node.operatorType {
    case "ConvNHWC":
      if case .int(let factor)? = node.attributes["enlargement"] { factor > 1 } else { false }
    case "DepthToSpace": true
    case "ConvTranspose":
      if case .ints(let strides)? = node.attributes["strides"] { strides.contains { $0 > 1 } } else { false }
    case "Resize", "Upsample", "ResizeNearestNHWC":
      elementCount(node.outputs.first ?? nil, editor) > elementCount(node.inputs.first ?? nil, editor)
    default: false
    }
  }

  private static func elementCount(_ value: ValueID?, _ editor: GraphEditor) -> Int {
    editor.shape(of: value)?.reduce(1, *) ?? 0
  }

  private static func reduces(_ node: Node) -> Bool {
    switch node.operatorType {
    case "Conv", "ConvNHWC":
      if case .ints(let strides)? = node.attributes["strides"] { strides.contains { $0 > 1 } } else { false }
    case "MaxPool", "AveragePool", "LpPool": true
    default: false
    }
  }
}
