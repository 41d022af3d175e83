/// Marks the products that are computed in a reduced precision: those with constant weights, and attention. Runs on a fused graph.
///
/// Small layers stay as they are: they cost little time and memory, and the first and last layers of a network carry its
/// result directly. With int8, layers that see one row per picture (`Gemm`: time embeddings), everything near the input and
/// output, and 1×1 convolutions past a normalisation take bfloat16: the latter read features of very different sizes, which
/// share a row's integers, and nothing softens their error (bundled model: 4.2e-2 of the result with them in int8, 1.4e-2
/// without). With bfloat16, early layers of a decoder (`DecoderLayers`) only have their weights rounded, to float16. Attention chooses by
/// its shape.
package enum ReducedPrecisionPass {
  /// Name of the attribute, with a `Precision` as its text, or `roundedWeights`.
  package static let attribute = "adadiff_precision"
  /// Weights are rounded to float16, products are float32; bfloat16 where that is very much faster.
  package static let roundedWeights = "float16"

  /// Least size of the sum and number of columns of a product that is worth it.
  private static let leastDepth = 64
  private static let leastColumns = 16
  private static let leastDepthOfBytes = 128
  private static let leastColumnsOfBytes = 64

  package static func apply(_ precision: Precision, to graph: inout Graph) {
    guard precision != .float32 else { return }
    let editor = GraphEditor(graph)
    let early = precision == .bfloat16 ? DecoderLayers.early(in: editor) : []
    for index in graph.nodes.indices {
      let chosen = choice(precision, for: graph.nodes[index], editor)
      guard chosen != .float32 else { continue }
      graph.nodes[index].attributes[attribute] = .string(early.contains(index) ? roundedWeights : chosen.rawValue)
    }
  }

  /// Bytes by which the weights of a graph are smaller than as float32, as far as its own nodes tell: fusion may turn more
  /// constants into weights.
  package static func savedBytes(_ precision: Precision, in graph: Graph) -> Int {
    let editor = GraphEditor(graph)
    var weights: [ValueID: Precision] = [:]
    for node in graph.nodes where productSize(of: node, in: editor) != nil {
      if let id = node.inputs[1] { weights[id] = choice(precision, for: node, editor) }
    }
    return weights.reduce(0) { total, weight in
      let count = constant(weight.key, editor)?.count ?? 0
      switch weight.value {
      case .float32: return total
      case .bfloat16: return total + 2 * count
      case .int8: return total + 3 * count
      }
    }
  }

  private static func choice(_ precision: Precision, for node: Node, _ editor: GraphEditor) -> Precision {
    if node.operatorType == "Attention", node.domain == "adadiff" { return precision }
    guard precision != .float32, let size = productSize(of: node, in: editor), size.depth >= leastDepth,
      size.columns >= leastColumns
    else { return .float32 }
    let isBytes =
      precision == .int8 && node.operatorType != "Gemm" && size.depth >= leastDepthOfBytes
      && size.columns >= leastColumnsOfBytes && !isAtEdge(node, editor) && !isShortcut(node, editor)
    return isBytes ? .int8 : .bfloat16
  }

  /// Terms per sum and columns of a product with constant weights; nil for other nodes and filters per channel.
  private static func productSize(of node: Node, in editor: GraphEditor) -> (depth: Int, columns: Int)? {
    guard node.domain.isEmpty || node.domain == "adadiff", node.inputs.count > 1,
      let weights = constant(node.inputs[1], editor), [.float32, .float16, .bfloat16].contains(weights.type)
    else { return nil }
    switch node.operatorType {
    case "MatMul", "MatMulBias", "MatMulGeglu":
      return weights.rank == 2 ? (weights.shape[0], weights.shape[1]) : nil
    case "Gemm":
      guard weights.rank == 2 else { return nil }
      if case .int(1)? = node.attributes["transB"] { return (weights.shape[1], weights.shape[0]) }
      return (weights.shape[0], weights.shape[1])
    case "Conv", "ConvNHWC":
      guard weights.rank >= 3, weights.shape[1] > 1 else { return nil }
      return (weights.shape.dropFirst().reduce(1, *), weights.shape[0])
    default: return nil
    }
  }

  /// A constant, also one that is stored in another type than it is used in.
  private static func constant(_ value: ValueID?, _ editor: GraphEditor) -> Tensor? {
    editor.constant(value) ?? editor.node(making: value, "Cast").flatMap { editor.constant($0.inputs.first ?? nil) }
  }

  private static let movements: Set<String> = ["Transpose", "Cast", "Identity", "Reshape"]
  private static let normalizations: Set<String> = [
    "GroupNorm", "GroupNormNHWC", "GroupNormalization", "InstanceNormalization", "LayerNormalization",
  ]

  /// What the node's first input is before movements.
  private static func source(of node: Node, _ editor: GraphEditor) -> ValueID? {
    var source = node.inputs.first ?? nil
    while let index = editor.producer(of: source), movements.contains(editor.graph.nodes[index].operatorType) {
      source = editor.graph.nodes[index].inputs.first ?? nil
    }
    return source
  }

  /// Whether the node is a 1×1 convolution of what is also normalised for the way beside it.
  private static func isShortcut(_ node: Node, _ editor: GraphEditor) -> Bool {
    guard ["Conv", "ConvNHWC"].contains(node.operatorType), let weights = constant(node.inputs[1], editor),
      weights.shape.dropFirst(2).allSatisfy({ $0 == 1 }), let source = source(of: node, editor)
    else { return false }
    var values = [source]
    var seen: Set<ValueID> = []
    while let value = values.popLast() {
      guard seen.insert(value).inserted else { continue }
      for index in editor.consumers(of: value) {
        let reader = editor.graph.nodes[index]
        if normalizations.contains(reader.operatorType) { return true }
        if movements.contains(reader.operatorType) { values += reader.outputs.compactMap { $0 } }
      }
    }
    return false
  }

  /// Whether nothing but movements lies between the node and an input or output of the graph.
  private static func isAtEdge(_ node: Node, _ editor: GraphEditor) -> Bool {
    if let source = source(of: node, editor), editor.graph.inputs.contains(source) { return true }
    var result = node.outputs.first ?? nil
    while let value = result {
      if editor.isGraphOutput(value) { return true }
      let readers = editor.consumers(of: value).map { editor.graph.nodes[$0] }
      guard readers.count == 1, movements.contains(readers[0].operatorType) else { return false }
      result = readers[0].outputs.first ?? nil
    }
    return false
  }
}
