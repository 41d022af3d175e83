/// LayerNorm over the last axis as exporters before opset 17 write it:
/// (x − mean) / √(mean((x − mean)²) + ε) · scale + bias.
enum LayerNormFusion {
  static func apply(_ graph: Graph) -> Graph {
    var editor = GraphEditor(graph)
    for index in graph.nodes.indices {
      let node = editor.graph.nodes[index]
      if node.isOperator("Add"), let fused = match(node, editor) { editor.replace(index, with: fused) }
    }
    return editor.finish()
  }

  private static func match(_ add: Node, _ editor: GraphEditor) -> Node? {
    guard let (bias, scaled) = constantAndOther(add, editor), let scale = editor.node(making: scaled, "Mul"),
      let (weight, normalized) = constantAndOther(scale, editor), let division = editor.node(making: normalized, "Div"),
      let centred = division.inputs[0], let root = editor.node(making: division.inputs[1], "Sqrt"),
      let shifted = editor.node(making: root.inputs[0], "Add"),
      let (epsilon, variance) = editor.scalarAndOther(shifted),
      let subtraction = editor.node(making: centred, "Sub"), let x = subtraction.inputs[0],
      editor.type(of: x) == .float32, let shape = editor.shape(of: x), let width = shape.last,
      isLastAxisMean(subtraction.inputs[1], of: x, editor), let square = squareUnderMean(variance, editor),
      isSquare(square, of: centred, editor), editor.shape(of: weight) == [width], editor.shape(of: bias) == [width]
    else { return nil }
    return Node(
      name: add.name, operatorType: "LayerNormalization", version: 17, inputs: [x, weight, bias], outputs: add.outputs,
      attributes: ["axis": .int(-1), "epsilon": .float(Float(epsilon))])
  }

  private static func constantAndOther(_ node: Node, _ editor: GraphEditor) -> (constant: ValueID, other: ValueID)? {
    guard node.inputs.count == 2, let a = node.inputs[0], let b = node.inputs[1] else { return nil }
    if editor.constant(b) != nil { return (b, a) }
    if editor.constant(a) != nil { return (a, b) }
    return nil
  }

  private static func isLastAxisMean(_ value: ValueID?, of x: ValueID, _ editor: GraphEditor) -> Bool {
    guard let mean = editor.node(making: value, "ReduceMean"), mean.inputs[0] == x else { return false }
    return reducesLastAxis(mean, editor)
  }

  private static func squareUnderMean(_ value: ValueID, _ editor: GraphEditor) -> ValueID? {
    guard let mean = editor.node(making: value, "ReduceMean"), reducesLastAxis(mean, editor) else { return nil }
    return mean.inputs[0]
  }

  private static func reducesLastAxis(_ mean: Node, _ editor: GraphEditor) -> Bool {
    guard let rank = editor.shape(of: mean.inputs[0])?.count else { return false }
    if case .int(0)? = mean.attributes["keepdims"] { return false }
    var axes: [Int] = []
    if case .ints(let values)? = mean.attributes["axes"] { axes = values.map { Int($0) } }
    if mean.inputs.count > 1, let tensor = editor.constant(mean.inputs[1]) { axes = (try? tensor.integers()) ?? [] }
    return axes == [-1] || axes == [rank - 1]
  }

  private static func isSquare(_ value: ValueID, of x: ValueID, _ editor: GraphEditor) -> Bool {
    if let pow = editor.node(making: value, "Pow") { return pow.inputs[0] == x && editor.scalar(pow.inputs[1]) == 2 }
    guard let product = editor.node(making: value, "Mul") else { return false }
    return product.inputs[0] == x && product.inputs[1] == x
  }
}
