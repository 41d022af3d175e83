/// GroupNorm as exporters before opset 18 write it (Reshape to groups, InstanceNormalization with unit scale, Reshape back,
/// Mul, Add), and a SiLU that follows any GroupNorm.
enum GroupNormFusion {
  static func apply(_ graph: Graph) -> Graph {
    var editor = GraphEditor(graph)
    for index in graph.nodes.indices {
      let node = editor.graph.nodes[index]
      if node.isOperator("Add"), let fused = match(node, &editor) { editor.replace(index, with: fused) }
    }
    return fuseSilu(editor.finish())
  }

  private static func match(_ add: Node, _ editor: inout GraphEditor) -> Node? {
    guard add.inputs.count == 2, let output = add.outputs.first ?? nil, let shape = editor.shape(of: output),
      shape.count >= 3, editor.type(of: output) == .float32
    else { return nil }
    for (biasSide, scaledSide) in [(1, 0), (0, 1)] {
      guard let bias = perChannel(add.inputs[biasSide], shape, editor),
        let mul = editor.node(making: add.inputs[scaledSide], "Mul")
      else { continue }
      for (weightSide, normalizedSide) in [(1, 0), (0, 1)] {
        guard let weight = perChannel(mul.inputs[weightSide], shape, editor),
          let back = editor.node(making: mul.inputs[normalizedSide], "Reshape"),
          let instance = editor.node(making: back.inputs[0], "InstanceNormalization"),
          let forth = editor.node(making: instance.inputs[0], "Reshape"), let x = forth.inputs[0],
          editor.shape(of: x) == shape, let grouped = editor.shape(of: instance.inputs[0]), grouped.count == 3,
          grouped[0] == shape[0], grouped[1] > 0, shape[1] % grouped[1] == 0,
          isAll(instance.inputs[1], 1, editor), isAll(instance.inputs[2], 0, editor)
        else { continue }
        var epsilon: Float = 1e-5
        if case .float(let value)? = instance.attributes["epsilon"] { epsilon = value }
        return Node(
          name: add.name, operatorType: "GroupNorm", domain: "adadiff", version: FusionPasses.version,
          inputs: [
            x, editor.addConstant(add.name + ".scale", weight.reshaped([shape[1]])),
            editor.addConstant(add.name + ".bias", bias.reshaped([shape[1]])),
          ], outputs: add.outputs,
          attributes: [
            "num_groups": .int(Int64(grouped[1])), "epsilon": .float(epsilon), "activation": .string(""),
          ])
      }
    }
    return nil
  }

  /// A constant that holds one number per channel (axis 1) of a tensor of `shape`: (C, 1, …) or (1, C, 1, …).
  private static func perChannel(_ value: ValueID?, _ shape: [Int], _ editor: GraphEditor) -> Tensor? {
    guard let tensor = editor.constant(value), tensor.type == .float32, tensor.count == shape[1],
      tensor.rank >= shape.count - 1, tensor.rank <= shape.count
    else { return nil }
    return tensor.shape[tensor.rank - shape.count + 1] == shape[1] ? tensor : nil
  }

  private static func isAll(_ value: ValueID?, _ number: Float, _ editor: GraphEditor) -> Bool {
    guard let tensor = editor.constant(value), tensor.type == .float32 else { return false }
    return tensor.bytes.withMemoryRebound(to: UInt8.self) { bytes in
      let raw = UnsafeRawBufferPointer(bytes)
      return (0..<tensor.count).allSatisfy { raw.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self) == number }
    }
  }

  private static func fuseSilu(_ graph: Graph) -> Graph {
    var editor = GraphEditor(graph)
    for index in graph.nodes.indices {
      let node = editor.graph.nodes[index]
      guard node.isOperator("Silu", domain: "adadiff"), let input = node.inputs[0], editor.isUsedOnce(input),
        var norm = editor.node(making: input, "GroupNorm", domain: "adadiff"), norm.attributes["activation"]?.isEmpty == true
      else { continue }
      norm.attributes["activation"] = .string("Silu")
      norm.outputs = node.outputs
      editor.replace(index, with: norm)
    }
    return editor.finish()
  }
}

extension Attribute {
  /// True for the empty string.
  var isEmpty: Bool { if case .string(let text) = self { text.isEmpty } else { false } }
}
