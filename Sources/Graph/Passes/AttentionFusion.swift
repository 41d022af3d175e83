import Support

/// Softmax attention, from the projections' outputs to the joined heads, as one `adadiff:Attention`.
///
/// The core is MatMul · [scale] · [+ mask] · Softmax · MatMul on (batch, heads, length, size) or (batch·heads, length, size).
/// Around it exporters split and join heads with reshapes and transposes in several orders; `HeadLayout` follows them
/// symbolically and recognises any that amount to the plain (batch, length, heads·size) layout.
enum AttentionFusion {
  static func apply(_ graph: Graph) -> Graph {
    var editor = GraphEditor(graph)
    for index in graph.nodes.indices where editor.graph.nodes[index].isOperator("Softmax") {
      fuse(softmaxAt: index, &editor)
    }
    return editor.finish()
  }

  /// The matrix products around one Softmax.
  private struct Core {
    var query: ValueID
    /// Already transposed: (…, size, length).
    var keyTransposed: ValueID
    var value: ValueID
    var mask: ValueID?
    var scale: Double
    var productIndex: Int
    var output: ValueID
  }

  private static func fuse(softmaxAt index: Int, _ editor: inout GraphEditor) {
    guard let core = match(softmaxAt: index, editor), let scores = editor.shape(of: core.keyTransposed),
      let queryShape = editor.shape(of: core.query), let valueShape = editor.shape(of: core.value),
      queryShape.count == valueShape.count, scores.count == queryShape.count, [3, 4].contains(queryShape.count)
    else { return }
    let rank = queryShape.count
    let (queryLength, size) = (queryShape[rank - 2], queryShape[rank - 1])
    let (keyLength, valueSize) = (valueShape[rank - 2], valueShape[rank - 1])
    let leading = Array(queryShape.dropLast(2))
    guard leading == Array(valueShape.dropLast(2)), leading == Array(scores.dropLast(2)), scores[rank - 2] == size,
      scores[rank - 1] == keyLength
    else { return }

    let batchTimesHeads = leading.reduce(1, *)
    let joined = HeadLayout.joinedOutput(of: core.output, editor)
    let sources = HeadLayout.headCounts(from: core.query, batchTimesHeads: batchTimesHeads, size: size, editor)
    let heads = rank == 4 ? queryShape[1] : sources.first ?? 1
    guard heads > 0, batchTimesHeads % heads == 0 else { return }
    let layout = HeadLayout(batch: batchTimesHeads / heads, heads: heads)

    guard let mask = layout.mask(core.mask, scores: leading + [queryLength, keyLength], editor) else { return }
    let query = layout.source(of: core.query, length: queryLength, size: size, transposed: false, editor)
    let key = layout.source(of: core.keyTransposed, length: keyLength, size: size, transposed: true, editor)
    let value = layout.source(of: core.value, length: keyLength, size: valueSize, transposed: false, editor)

    var scale = core.scale
    let root = joined.flatMap { layout.accepts($0, length: queryLength, size: valueSize, editor) ? $0 : nil }
    let rootIndex = root.flatMap { editor.producer(of: $0) } ?? core.productIndex
    let name = editor.graph.nodes[core.productIndex].name
    var inputs: [ValueID?] = []
    for (role, traced, length, width, transposed) in [
      ("query", query, queryLength, size, false), ("key", key, keyLength, size, true),
      ("value", value, keyLength, valueSize, false),
    ] {
      if role != "value" { scale *= traced.scale }
      // A factor on the values would have to be applied to the result; exporters do not write one.
      guard role != "value" || traced.scale == 1 else { return }
      inputs.append(
        traced.isJoined
          ? traced.value
          : layout.join(
            traced.value, length: length, size: width, transposed: transposed, before: rootIndex,
            name: "\(name).\(role)", &editor))
    }
    if let mask = mask.value {
      inputs.append(
        mask.shape == editor.shape(of: mask.id)
          ? mask.id : layout.reshape(mask.id, to: mask.shape, before: rootIndex, name: "\(name).mask", &editor))
    }
    let output =
      root
      ?? editor.addValue(
        "\(name).joined", type: .float32, shape: [layout.batch, queryLength, heads * valueSize])
    let attention = Node(
      name: name, operatorType: "Attention", domain: "adadiff", version: FusionPasses.version, inputs: inputs,
      outputs: [output], attributes: ["num_heads": .int(Int64(heads)), "scale": .float(Float(scale))])
    if root != nil {
      editor.replace(rootIndex, with: attention)
    } else {
      editor.insert(attention, before: rootIndex)
      layout.split(
        output, into: core.output, length: queryLength, size: valueSize, replacing: rootIndex, name: name, &editor)
    }
  }

  private static func match(softmaxAt index: Int, _ editor: GraphEditor) -> Core? {
    let softmax = editor.graph.nodes[index]
    guard let probabilities = softmax.outputs.first ?? nil, let input = softmax.inputs[0],
      editor.type(of: input) == .float32, let shape = editor.shape(of: input), isLastAxis(softmax, rank: shape.count)
    else { return nil }

    var weights = probabilities
    // Newer exporters guard against rows without any key: Where(IsNaN(p), 0, p). Our kernel gives 0 there.
    let readers = editor.consumers(of: weights)
    if readers.count == 2,
      let select = readers.map({ editor.graph.nodes[$0] }).first(where: { $0.isOperator("Where") }),
      select.inputs.count == 3,
      editor.node(making: select.inputs[0], "IsNaN")?.inputs[0] == weights, editor.scalar(select.inputs[1]) == 0,
      select.inputs[2] == weights, let output = select.outputs.first ?? nil
    {
      weights = output
    } else if !editor.isUsedOnce(weights) {
      return nil
    }
    guard editor.isUsedOnce(weights), let productIndex = editor.consumers(of: weights).first else { return nil }
    let product = editor.graph.nodes[productIndex]
    guard product.isOperator("MatMul"), product.inputs[0] == weights, let value = product.inputs[1],
      let output = product.outputs.first ?? nil
    else { return nil }

    var scale = 1.0
    var mask: ValueID?
    var current = input
    while true {
      guard editor.isUsedOnce(current), let producer = editor.producer(of: current) else { return nil }
      let node = editor.graph.nodes[producer]
      if node.isOperator("MatMul") {
        guard let query = node.inputs[0], let key = node.inputs[1], editor.shape(of: current) == shape else {
          return nil
        }
        return Core(
          query: query, keyTransposed: key, value: value, mask: mask, scale: scale, productIndex: productIndex,
          output: output)
      }
      if node.isOperator("Mul") || node.isOperator("Div"), let (factor, other) = editor.scalarAndOther(node) {
        guard node.isOperator("Mul") || node.inputs[0] == other, factor != 0 else { return nil }
        scale *= node.isOperator("Mul") ? factor : 1 / factor
        current = other
      } else if node.isOperator("Add"), mask == nil,
        // A factor applied after the mask (met before it on the way up) would scale the mask too.
        scale == 1, let (scoresSide, maskSide) = addends(node, shape, editor)
      {
        mask = maskSide
        current = scoresSide
      } else {
        return nil
      }
    }
  }

  /// Which addend is the scores (leads to a MatMul) and which the mask.
  private static func addends(_ node: Node, _ shape: [Int], _ editor: GraphEditor) -> (scores: ValueID, mask: ValueID)?
  {
    guard node.inputs.count == 2, let a = node.inputs[0], let b = node.inputs[1] else { return nil }
    for (scores, mask) in [(a, b), (b, a)] where editor.shape(of: scores) == shape {
      let node = editor.producer(of: scores).map { editor.graph.nodes[$0] }
      if let node, ["MatMul", "Mul", "Div"].contains(node.operatorType), node.domain.isEmpty { return (scores, mask) }
    }
    return nil
  }

  private static func isLastAxis(_ softmax: Node, rank: Int) -> Bool {
    guard case .int(let axis)? = softmax.attributes["axis"] else { return softmax.version >= 13 }
    return axis == -1 || axis == Int64(rank - 1)
  }
}
