/// GroupNorm as exporters before opset 18 write it (Reshape to groups, InstanceNormalization with unit scale, Reshape back,
/// Mul, Add), and a SiLU that follows any GroupNorm. Mul and Add are missing where simplification removed a neutral one.
enum GroupNormFusion {
  static func apply(_ graph: Graph) -> Graph {
    var graph = graph
    // The longest form first: a shorter one is the beginning of it.
    for last in ["Add", "Mul", "Reshape"] {
      var editor = GraphEditor(graph)
      for index in graph.nodes.indices {
        let node = editor.graph.nodes[index]
        if node.isOperator(last), let fused = match(node, &editor) { editor.replace(index, with: fused) }
      }
      graph = editor.finish()
    }
    return fuseSilu(graph)
  }

  private static func match(_ last: Node, _ editor: inout GraphEditor) -> Node? {
    guard let output = last.outputs.first ?? nil, let shape = editor.shape(of: output), shape.count >= 3,
      editor.type(of: output) == .float32
    else { return nil }
    var back = last
    var (weight, bias): (Tensor?, Tensor?)
    if back.isOperator("Add") {
      guard let (tensor, inner) = peel(back, shape, editor) else { return nil }
      (bias, back) = (tensor, inner)
    }
    if back.isOperator("Mul") {
      guard let (tensor, inner) = peel(back, shape, editor) else { return nil }
      (weight, back) = (tensor, inner)
    }
    guard back.isOperator("Reshape"), let instance = editor.node(making: back.inputs[0], "InstanceNormalization"),
      let forth = editor.node(making: instance.inputs[0], "Reshape"), let x = forth.inputs[0],
      editor.shape(of: x) == shape, let grouped = editor.shape(of: instance.inputs[0]), grouped.count == 3,
      grouped[0] == shape[0], grouped[1] > 0, shape[1] % grouped[1] == 0, isAll(instance.inputs[1], 1, editor),
      isAll(instance.inputs[2], 0, editor)
    else { return nil }
    let channels = shape[1]
    func neutral(_ number: Float) -> Tensor? {
      try? Tensor(type: .float32, shape: [channels], values: [Float](repeating: number, count: channels))
    }
    guard let scale = weight?.reshaped([channels]) ?? neutral(1), let shift = bias?.reshaped([channels]) ?? neutral(0)
    else { return nil }
    var epsilon: Float = 1e-5
    if case .float(let value)? = instance.attributes["epsilon"] { epsilon = value }
    return Node(
      name: last.name, operatorType: "GroupNorm", domain: "adadiff", version: FusionPasses.version,
      inputs: [
        x, editor.addConstant(last.name + ".scale", scale), editor.addConstant(last.name + ".bias", shift),
      ], outputs: last.outputs,
      attributes: ["num_groups": .int(Int64(grouped[1])), "epsilon": .float(epsilon), "activation": .string("")])
  }

  /// The per-channel constant of a Mul or Add and the node that makes its other operand.
  private static func peel(_ node: Node, _ shape: [Int], _ editor: GraphEditor) -> (Tensor, Node)? {
    guard node.inputs.count == 2 else { return nil }
    for (constantSide, otherSide) in [(1, 0), (0, 1)] {
      guard let tensor = perChannel(node.inputs[constantSide], shape, editor) else { continue }
      for type in ["Mul", "Reshape"] {
        if let inner = editor.node(making: node.inputs[otherSide], type) { return (tensor, inner) }
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
        var norm = editor.node(making: input, "GroupNorm", domain: "adadiff"),
        norm.attributes["activation"]?.isEmpty == true
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
