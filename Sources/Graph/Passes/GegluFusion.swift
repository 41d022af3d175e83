/// x[…, :N] · gelu(x[…, N:]), written as two slices or a split, as one `adadiff:Geglu`.
enum GegluFusion {
  static func apply(_ graph: Graph) -> Graph {
    var editor = GraphEditor(graph)
    for index in graph.nodes.indices {
      let node = editor.graph.nodes[index]
      guard node.isOperator("Mul"), node.inputs.count == 2, let source = source(of: node, editor) else { continue }
      editor.replace(
        index,
        with: Node(
          name: node.name, operatorType: "Geglu", domain: "adadiff", version: FusionPasses.version, inputs: [source],
          outputs: node.outputs))
    }
    return editor.finish()
  }

  private static func source(of product: Node, _ editor: GraphEditor) -> ValueID? {
    for (side, gateSide) in [(0, 1), (1, 0)] {
      guard let gated = product.inputs[gateSide], editor.isUsedOnce(gated),
        let gelu = editor.node(making: gated, "Gelu", domain: "adadiff"), isExact(gelu),
        let value = part(product.inputs[side], editor), let gate = part(gelu.inputs[0], editor),
        value.source == gate.source, value.start == 0, gate.start == value.length, gate.length == value.length,
        let shape = editor.shape(of: value.source), shape.last == 2 * value.length,
        editor.type(of: value.source) == .float32
      else { continue }
      return value.source
    }
    return nil
  }

  private static func isExact(_ gelu: Node) -> Bool {
    if case .string(let form)? = gelu.attributes["approximate"] { return form == "none" || form.isEmpty }
    return true
  }

  /// The piece of the last axis that a Slice or Split takes.
  private static func part(_ value: ValueID?, _ editor: GraphEditor) -> (source: ValueID, start: Int, length: Int)? {
    guard let value, let index = editor.producer(of: value), let length = editor.shape(of: value)?.last else {
      return nil
    }
    let node = editor.graph.nodes[index]
    guard node.domain.isEmpty, let source = node.inputs.first ?? nil, let shape = editor.shape(of: source),
      let width = shape.last, editor.shape(of: value)?.dropLast() == shape.dropLast()
    else { return nil }
    func isLast(_ axis: Int) -> Bool { axis == -1 || axis == shape.count - 1 }
    switch node.operatorType {
    case "Split":
      guard case .int(let axis)? = node.attributes["axis"], isLast(Int(axis)) else { return nil }
      var start = 0
      for output in node.outputs {
        guard let output, let size = editor.shape(of: output)?.last else { return nil }
        if output == value { return (source, start, length) }
        start += size
      }
      return nil
    case "Slice":
      // Along the last axis alone, forwards, without gaps: length and start say the rest.
      guard node.inputs.count >= 4, let starts = integers(node.inputs[1], editor),
        let axes = integers(node.inputs[3], editor), starts.count == 1, axes.count == 1, isLast(axes[0]),
        node.inputs.count < 5 || integers(node.inputs[4], editor) == [1] || node.inputs[4] == nil
      else { return nil }
      return (source, starts[0] < 0 ? starts[0] + width : starts[0], length)
    default: return nil
    }
  }

  private static func integers(_ value: ValueID?, _ editor: GraphEditor) -> [Int]? {
    editor.constant(value).flatMap { try? $0.integers() }
  }
}
