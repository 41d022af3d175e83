/// Networks stored in half precision, computed in float32.
///
/// Applies when a convolution or matrix product reads a float16 or bfloat16 constant. Weights get a Cast that folds once at
/// load; half-typed inputs are cast on entry and outputs on exit, so the model's interface stays as declared. Results are
/// at least as precise as the file asks for, and no value is rounded on every run.
package enum PrecisionPass {
  package static func promoteHalf(in graph: inout Graph) {
    guard isHalfNetwork(graph) else { return }
    let inputs = graph.inputs.filter { isHalf(graph.values[$0.index].type) }
    let outputs = graph.outputs.filter { isHalf(graph.values[$0.index].type) }
    let types = Dictionary(
      (inputs + outputs).map { ($0, graph.values[$0.index].type) }, uniquingKeysWith: { first, _ in first })

    var renamed: [ValueID: ValueID] = [:]
    var entry: [Node] = []
    let halfConstants = graph.constants.filter { isHalf($0.value.type) }.keys.sorted()
    for value in inputs + halfConstants where renamed[value] == nil {
      let promoted = graph.addValue(
        name: graph.values[value.index].name + ".float32", type: promoted(graph.values[value.index].type))
      renamed[value] = promoted
      entry.append(cast(value, to: promoted, .float32, name: graph.values[promoted.index].name))
    }
    graph = rewritten(graph, renamed)
    // A constant or input may itself be an output; that one keeps its own value and type.
    var exits: [Node] = []
    for (position, output) in graph.outputs.enumerated() {
      guard let type = types[output], case .tensor(let element, _) = type, renamed[output] == nil else { continue }
      let original = graph.addValue(name: graph.values[output.index].name, type: type)
      graph.outputs[position] = original
      exits.append(cast(output, to: original, element, name: graph.values[output.index].name + ".cast"))
    }
    for input in inputs { graph.values[input.index].type = types[input] ?? .unknown }
    graph.nodes = entry + graph.nodes + exits
  }

  private static func isHalfNetwork(_ graph: Graph) -> Bool {
    graph.nodes.contains { node in
      ["Conv", "MatMul", "Gemm", "ConvTranspose"].contains(node.operatorType) && node.domain.isEmpty
        && node.inputs.contains { value in
          value.flatMap { graph.constants[$0] }.map { $0.type == .float16 || $0.type == .bfloat16 } ?? false
        }
    }
  }

  private static func cast(_ input: ValueID, to output: ValueID, _ type: DataType, name: String) -> Node {
    Node(
      name: name, operatorType: "Cast", version: 13, inputs: [input], outputs: [output],
      attributes: ["to": .int(Int64(type.rawValue))])
  }

  private static func isHalf(_ type: DataType) -> Bool { type == .float16 || type == .bfloat16 }

  private static func isHalf(_ type: DeclaredType) -> Bool {
    if case .tensor(let element, _) = type { isHalf(element) } else { false }
  }

  private static func promoted(_ type: DeclaredType) -> DeclaredType {
    switch type {
    case .tensor(let element, let shape): .tensor(isHalf(element) ? .float32 : element, shape: shape)
    case .sequence(let element): .sequence(promoted(element))
    case .optional(let element): .optional(promoted(element))
    case .unknown: .unknown
    }
  }

  /// The graph with values renamed and every mention of a half type raised, subgraphs included.
  private static func rewritten(_ graph: Graph, _ renamed: [ValueID: ValueID]) -> Graph {
    var copy = graph
    for index in copy.values.indices where copy.constants[ValueID(index)] == nil {
      copy.values[index].type = promoted(copy.values[index].type)
    }
    for index in copy.nodes.indices {
      copy.nodes[index].inputs = copy.nodes[index].inputs.map { $0.map { renamed[$0] ?? $0 } }
      copy.nodes[index].attributes = copy.nodes[index].attributes.mapValues { rewritten($0, renamed) }
      for name in ["to", "dtype"] {
        guard case .int(let raw)? = copy.nodes[index].attributes[name], let narrow = Int32(exactly: raw),
          let type = DataType(rawValue: narrow), isHalf(type)
        else { continue }
        copy.nodes[index].attributes[name] = .int(Int64(DataType.float32.rawValue))
      }
    }
    return copy
  }

  private static func rewritten(_ attribute: Attribute, _ renamed: [ValueID: ValueID]) -> Attribute {
    switch attribute {
    case .graph(let graph): .graph(rewrittenSubgraph(graph, renamed))
    case .graphs(let graphs): .graphs(graphs.map { rewrittenSubgraph($0, renamed) })
    case .tensor(let tensor): .tensor(raised(tensor))
    default: attribute
    }
  }

  private static func rewrittenSubgraph(_ graph: Graph, _ renamed: [ValueID: ValueID]) -> Graph {
    var copy = rewritten(graph, [:])
    for index in copy.captures.indices {
      copy.captures[index].outer = renamed[copy.captures[index].outer] ?? copy.captures[index].outer
    }
    for (value, tensor) in copy.constants { copy.constants[value] = raised(tensor) }
    for value in copy.constants.keys { copy.values[value.index].type = promoted(copy.values[value.index].type) }
    return copy
  }

  /// A small half tensor (attribute or subgraph constant) as float32; unchanged when memory is exhausted.
  private static func raised(_ tensor: Tensor) -> Tensor {
    guard isHalf(tensor.type), let copy = try? Tensor(type: .float32, shape: tensor.shape) else { return tensor }
    let target: UnsafeMutablePointer<Float> = copy.pointer()
    for index in 0..<tensor.count {
      let bits = UnsafeRawBufferPointer(tensor.bytes).loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)
      target[index] =
        tensor.type == .float16 ? Float(Float16(bitPattern: bits)) : Float(bitPattern: UInt32(bits) << 16)
    }
    return copy
  }
}
