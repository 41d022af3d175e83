/// Computes once what both halves of a batch share: in classifier-free guidance a network reads the same latents twice, and
/// only the text differs.
///
/// A value is *shared* when its halves along the first axis are equal whatever the model is fed with: an input of which the
/// caller says so, and what `SharedHalvesRules` derive from shared values alone. Nodes that make shared values compute one half.
/// Where a node needs the whole, a Concat makes it from the half, once. So the first residual blocks and the first
/// self-attention of a diffusion network, up to where the text comes in, take half the time.
///
/// Expects inferred fixed shapes and folded constants, and runs before fusion.
package struct SharedHalvesPass {
  private var graph: Graph
  private var facts: SharedHalves
  /// How nodes compute one half, by node index.
  private var halvings: [Int: SharedHalves.Halving] = [:]
  private var halfOf: [ValueID: ValueID] = [:]
  /// Values of which only one half has a node yet.
  private var onlyHalf: Set<ValueID> = []
  private var nodes: [Node] = []

  /// `inputs`: graph inputs whose halves along the first axis are equal.
  package static func apply(to graph: inout Graph, inputs: some Sequence<ValueID>) {
    var pass = SharedHalvesPass(SimplifyPass.apply(graph), inputs: inputs)
    pass.decide()
    guard pass.isWorthIt else { return }
    pass.rewrite()
    graph = pass.graph
  }

  private init(_ graph: Graph, inputs: some Sequence<ValueID>) {
    self.graph = graph
    facts = SharedHalves(graph)
    for input in inputs where facts.hasHalves(input) { facts.shared.insert(input) }
  }

  // MARK: Which nodes

  private mutating func decide() {
    for (index, node) in graph.nodes.enumerated() {
      guard let halving = facts.halving(of: node) else { continue }
      halvings[index] = halving
      facts.shared.formUnion(node.outputs.compactMap { $0 })
    }
    // No pattern shall have a half and a whole part.
    var isReadHalved: Set<ValueID> = []
    for (index, node) in graph.nodes.enumerated().reversed() {
      guard let halving = halvings[index] else { continue }
      if facts.belongsToReaders(node), !node.outputs.contains(where: { $0.map(isReadHalved.contains) ?? false }) {
        halvings[index] = nil
      } else {
        isReadHalved.formUnion(halving.slots.compactMap { node.inputs[$0] })
      }
    }
  }

  private var isWorthIt: Bool {
    halvings.keys.contains { ["Conv", "MatMul", "Attention"].contains(graph.nodes[$0].operatorType) }
  }

  // MARK: Rewriting

  private mutating func rewrite() {
    for (index, node) in graph.nodes.enumerated() {
      guard let halving = halvings[index] else {
        for input in node.allInputs { makeWhole(input) }
        nodes.append(node)
        continue
      }
      var half = node
      for (slot, input) in node.inputs.enumerated() {
        guard let input else { continue }
        if halving.slots.contains(slot) {
          half.inputs[slot] = makeHalf(input)
        } else if let sizes = halving.sizes, sizes.slot == slot {
          half.inputs[slot] = addConstant(graph.values[input.index].name + ".half", sizes.values)
        } else {
          makeWhole(input)
        }
      }
      half.outputs = node.outputs.map { $0.map { addHalf($0) } }
      onlyHalf.formUnion(node.outputs.compactMap { $0 })
      nodes.append(half)
    }
    for output in graph.outputs { makeWhole(output) }
    graph.nodes = nodes
    graph.removeDeadNodes()
  }

  /// The value that holds one half of `value`.
  private mutating func addHalf(_ value: ValueID) -> ValueID {
    let record = graph.values[value.index]
    var type = record.type
    if case .tensor(let element, _) = type, let shape = facts.shape(of: value) {
      type = .tensor(element, shape: SharedHalves.halved(shape).map { .fixed($0) })
    }
    let half = graph.addValue(name: record.name + ".half", type: type)
    halfOf[value] = half
    return half
  }

  private mutating func makeHalf(_ value: ValueID) -> ValueID {
    if let half = halfOf[value] { return half }
    // A graph input.
    let half = addHalf(value)
    let name = graph.values[half.index].name
    let rows = (facts.shape(of: value)?.first ?? 0) / 2
    nodes.append(
      Node(
        name: name, operatorType: "Slice", version: 13,
        inputs: [
          value, addConstant(name + ".start", [0]), addConstant(name + ".end", [rows]),
          addConstant(name + ".axis", [0]),
        ], outputs: [half]))
    return half
  }

  /// Sees to it that `value` itself is there for the next node.
  private mutating func makeWhole(_ value: ValueID) {
    guard onlyHalf.remove(value) != nil, let half = halfOf[value] else { return }
    nodes.append(
      Node(
        name: graph.values[value.index].name + ".whole", operatorType: "Concat", version: 13, inputs: [half, half],
        outputs: [value], attributes: ["axis": .int(0)]))
  }

  /// A small int64 constant; nil only when the process is out of memory, which planning then reports.
  private mutating func addConstant(_ name: String, _ values: [Int]) -> ValueID? {
    guard let tensor = try? Tensor(int64: values.map { Int64($0) }) else { return nil }
    let id = graph.addValue(name: name, type: .tensor(.int64, shape: [.fixed(values.count)]))
    graph.constants[id] = tensor
    return id
  }
}
