/// MatMul with a constant matrix, its bias, and an activation or a residual addition, as one `adadiff:MatMulBias`; with a
/// gate on its two halves as `adadiff:MatMulGeglu`.
enum LinearFusion {
  private static let activations: Set<String> = ["Silu", "Gelu", "QuickGelu", "Relu"]

  static func apply(_ graph: Graph) -> Graph {
    fuseFollowers(withoutBias(fuseBias(graph)))
  }

  private static func fuseBias(_ graph: Graph) -> Graph {
    var editor = GraphEditor(graph)
    for index in graph.nodes.indices {
      let node = editor.graph.nodes[index]
      guard node.isOperator("Add"), node.inputs.count == 2 else { continue }
      for (biasSide, productSide) in [(1, 0), (0, 1)] {
        guard let product = node.inputs[productSide], editor.isUsedOnce(product),
          let matMul = editor.node(making: product, "MatMul"), let matrix = editor.constant(matMul.inputs[1]),
          matrix.rank == 2, matrix.type == .float32, let width = matrix.shape.last,
          let bias = editor.constant(node.inputs[biasSide]), bias.type == .float32, bias.count == width,
          bias.shape.last == width, editor.shape(of: product) == editor.shape(of: node.outputs[0]),
          (editor.shape(of: matMul.inputs[0])?.count ?? 0) >= 2
        else { continue }
        let flat = editor.addConstant(node.name + ".bias", bias.reshaped([width]))
        editor.replace(
          index,
          with: Node(
            name: matMul.name, operatorType: "MatMulBias", domain: "adadiff", version: FusionPasses.version,
            inputs: [matMul.inputs[0], matMul.inputs[1], flat], outputs: node.outputs,
            attributes: ["activation": .string("")]))
        break
      }
    }
    return editor.finish()
  }

  /// Products without a bias whose only reader can be fused become linear layers too.
  private static func withoutBias(_ graph: Graph) -> Graph {
    var editor = GraphEditor(graph)
    for index in graph.nodes.indices {
      let node = editor.graph.nodes[index]
      guard node.isOperator("MatMul"), let output = node.outputs.first ?? nil, editor.isUsedOnce(output),
        let reader = editor.consumers(of: output).first, let matrix = editor.constant(node.inputs[1]),
        matrix.rank == 2, matrix.type == .float32, (editor.shape(of: node.inputs[0])?.count ?? 0) >= 2
      else { continue }
      let next = editor.graph.nodes[reader]
      guard next.isOperator("Add") || isActivation(next) || next.isOperator("Geglu", domain: "adadiff") else {
        continue
      }
      var linear = node
      linear.operatorType = "MatMulBias"
      linear.domain = "adadiff"
      linear.version = FusionPasses.version
      linear.inputs.append(nil)
      linear.attributes = ["activation": .string("")]
      editor.replace(index, with: linear)
    }
    return editor.finish()
  }

  private static func isActivation(_ node: Node) -> Bool {
    activations.contains(node.operatorType) && (node.domain == "adadiff" || node.operatorType == "Relu")
  }

  /// An activation, or an addition of equal shape, that is the only reader of a linear layer.
  private static func fuseFollowers(_ graph: Graph) -> Graph {
    var editor = GraphEditor(graph)
    for index in graph.nodes.indices {
      let node = editor.graph.nodes[index]
      if isActivation(node), let input = node.inputs[0], editor.isUsedOnce(input),
        var linear = editor.node(making: input, "MatMulBias", domain: "adadiff"), isPlain(linear)
      {
        if case .string("tanh")? = node.attributes["approximate"] { continue }
        linear.attributes["activation"] = .string(node.operatorType)
        linear.outputs = node.outputs
        editor.replace(index, with: linear)
      } else if node.isOperator("Geglu", domain: "adadiff"), let input = node.inputs[0], editor.isUsedOnce(input),
        var linear = editor.node(making: input, "MatMulBias", domain: "adadiff"), isPlain(linear)
      {
        linear.operatorType = "MatMulGeglu"
        linear.attributes = [:]
        linear.outputs = node.outputs
        editor.replace(index, with: linear)
      } else if node.isOperator("Add"), node.inputs.count == 2 {
        fuseResidual(node, at: index, &editor)
      }
    }
    return editor.finish()
  }

  private static func fuseResidual(_ node: Node, at index: Int, _ editor: inout GraphEditor) {
    for (linearSide, otherSide) in [(0, 1), (1, 0)] {
      guard let value = node.inputs[linearSide], let other = node.inputs[otherSide], other != value,
        editor.isUsedOnce(value), var linear = editor.node(making: value, "MatMulBias", domain: "adadiff"),
        isPlain(linear),
        editor.type(of: other) == .float32, editor.shape(of: other) == editor.shape(of: value),
        editor.constant(other) == nil
      else { continue }
      linear.inputs.append(other)
      linear.outputs = node.outputs
      editor.replace(index, with: linear)
      return
    }
  }

  /// Neither activation nor residual yet. The replaced node may itself be a producer that was fused in this pass; reading
  /// it through the editor sees the fused form.
  static func isPlain(_ linear: Node) -> Bool {
    linear.attributes["activation"]?.isEmpty == true && linear.inputs.count == 3
  }
}
