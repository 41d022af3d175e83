/// SiLU, QuickGELU and both forms of GELU, as exporters spell them with elementary operators.
enum ActivationFusion {
  static func apply(_ graph: Graph) -> Graph {
    var editor = GraphEditor(graph)
    for index in graph.nodes.indices {
      let node = editor.graph.nodes[index]
      guard node.isOperator("Mul"), editor.type(of: node.outputs.first ?? nil) == .float32 else { continue }
      if let fused = sigmoidProduct(node, editor) ?? erfGelu(node, editor) ?? tanhGelu(node, editor) {
        editor.replace(index, with: fused)
      }
    }
    return editor.finish()
  }

  private static func activation(
    _ type: String, of input: ValueID, like node: Node, _ attributes: [String: Attribute] = [:]
  )
    -> Node
  {
    Node(
      name: node.name, operatorType: type, domain: "adadiff", version: FusionPasses.version, inputs: [input],
      outputs: node.outputs, attributes: attributes)
  }

  /// x · sigmoid(x) and x · sigmoid(1.702 x).
  private static func sigmoidProduct(_ node: Node, _ editor: GraphEditor) -> Node? {
    guard node.inputs.count == 2, let a = node.inputs[0], let b = node.inputs[1] else { return nil }
    for (x, gate) in [(a, b), (b, a)] {
      guard let sigmoid = editor.node(making: gate, "Sigmoid"), editor.isUsedOnce(gate) else { continue }
      if sigmoid.inputs[0] == x { return activation("Silu", of: x, like: node) }
      // 1.702: the constant of OpenAI's QuickGELU.
      if let scaled = editor.node(making: sigmoid.inputs[0], "Mul"),
        let (factor, other) = editor.scalarAndOther(scaled),
        other == x, abs(factor - 1.702) < 1e-4
      {
        return activation("QuickGelu", of: x, like: node)
      }
    }
    return nil
  }

  /// 0.5 · x · (1 + erf(x / √2)) in any order of the factors.
  private static func erfGelu(_ node: Node, _ editor: GraphEditor) -> Node? {
    guard let (factors, half) = gatedProduct(node, editor), abs(half - 0.5) < 1e-6 else { return nil }
    for (x, gate) in factors {
      guard let erf = onePlus(gate, "Erf", editor), let scaled = editor.producer(of: erf.inputs[0]) else { continue }
      let inner = editor.graph.nodes[scaled]
      guard let (value, other) = editor.scalarAndOther(inner), other == x else { continue }
      let root = 2.0.squareRoot()
      let matches =
        inner.isOperator("Div") && inner.inputs[0] == x && abs(value - root) < 1e-5
        || inner.isOperator("Mul") && abs(value - 1 / root) < 1e-5
      if matches { return activation("Gelu", of: x, like: node, ["approximate": .string("none")]) }
    }
    return nil
  }

  /// 0.5 · x · (1 + tanh(√(2/π) · (x + 0.044715 x³))).
  private static func tanhGelu(_ node: Node, _ editor: GraphEditor) -> Node? {
    guard let (factors, half) = gatedProduct(node, editor), abs(half - 0.5) < 1e-6 else { return nil }
    for (x, gate) in factors {
      guard let tanh = onePlus(gate, "Tanh", editor), let scaled = editor.node(making: tanh.inputs[0], "Mul"),
        let (root, sum) = editor.scalarAndOther(scaled), abs(root - (2 / Double.pi).squareRoot()) < 1e-5,
        let add = editor.node(making: sum, "Add"), let cubicTerm = add.inputs.first(where: { $0 != x }) ?? nil,
        add.inputs.contains(x), let cubic = editor.node(making: cubicTerm, "Mul"),
        let (factor, power) = editor.scalarAndOther(cubic), abs(factor - 0.044715) < 1e-6, isCube(power, of: x, editor)
      else { continue }
      return activation("Gelu", of: x, like: node, ["approximate": .string("tanh")])
    }
    return nil
  }

  private static func isCube(_ value: ValueID, of x: ValueID, _ editor: GraphEditor) -> Bool {
    if let pow = editor.node(making: value, "Pow") { return pow.inputs[0] == x && editor.scalar(pow.inputs[1]) == 3 }
    guard let outer = editor.node(making: value, "Mul"), outer.inputs.contains(x),
      let square = outer.inputs.first(where: { $0 != x }) ?? nil, let inner = editor.node(making: square, "Mul")
    else { return false }
    return inner.inputs[0] == x && inner.inputs[1] == x
  }

  /// For a product of three factors x, gate, constant in any association: the ways to name (x, gate), and the constant.
  private static func gatedProduct(_ node: Node, _ editor: GraphEditor) -> (factors: [(ValueID, ValueID)], Double)? {
    guard node.inputs.count == 2, let a = node.inputs[0], let b = node.inputs[1] else { return nil }
    func pair(_ inner: Node) -> [(ValueID, ValueID)] {
      guard inner.inputs.count == 2, let first = inner.inputs[0], let second = inner.inputs[1] else { return [] }
      return [(first, second), (second, first)]
    }
    // (x · gate) · c
    if let (value, other) = editor.scalarAndOther(node), let inner = editor.node(making: other, "Mul") {
      return (pair(inner), value)
    }
    // (x · c) · gate, either side
    for (scaledSide, otherSide) in [(a, b), (b, a)] {
      if let inner = editor.node(making: scaledSide, "Mul"), let (value, other) = editor.scalarAndOther(inner) {
        return ([(other, otherSide), (otherSide, other)], value)
      }
    }
    return nil
  }

  /// The `inner` node when `value` is 1 + inner(…).
  private static func onePlus(_ value: ValueID, _ inner: String, _ editor: GraphEditor) -> Node? {
    guard let add = editor.node(making: value, "Add"), let (one, other) = editor.scalarAndOther(add), one == 1 else {
      return nil
    }
    return editor.node(making: other, inner)
  }
}
