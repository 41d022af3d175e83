/// What is known about the halves of a graph's values, and how a node can compute one of two equal halves.
struct SharedHalves {
  private let graph: Graph
  /// Values whose halves along the first axis are equal.
  var shared: Set<ValueID> = []

  init(_ graph: Graph) { self.graph = graph }

  /// How a node computes one half of its outputs.
  struct Halving {
    /// Inputs of which it reads one half; the others it reads whole.
    var slots: [Int]
    /// An input that holds the output's sizes, and what it holds for one half.
    var sizes: (slot: Int, values: [Int])?
  }

  // MARK: Values

  func shape(of value: ValueID?) -> [Int]? { graph.fixedShape(of: value) }

  static func halved(_ shape: [Int]) -> [Int] { [shape[0] / 2] + shape.dropFirst() }

  func hasHalves(_ value: ValueID?) -> Bool {
    guard let shape = shape(of: value), let first = shape.first else { return false }
    return first.isMultiple(of: 2) && shape.allSatisfy { $0 > 0 }
  }

  private func isShared(_ value: ValueID?) -> Bool { value.map(shared.contains) ?? false }

  private func integers(_ value: ValueID?) -> [Int]? {
    guard let value, let tensor = graph.constants[value], tensor.type == .int64 else { return nil }
    return tensor.buffer(Int64.self).map { Int($0) }
  }

  // MARK: Nodes

  /// Nil where the halves of the outputs are not known to be equal.
  func halving(of node: Node) -> Halving? {
    guard node.domain.isEmpty, let output = node.outputs.first ?? nil, let to = shape(of: output),
      node.outputs.allSatisfy({ $0 == nil || hasHalves($0) })
    else { return nil }
    switch node.operatorType {
    case "Sigmoid", "Tanh", "Relu", "LeakyRelu", "Elu", "Gelu", "HardSigmoid", "HardSwish", "Softplus", "Erf", "Sqrt",
      "Exp", "Log", "Abs", "Neg", "Reciprocal", "Sin", "Cos", "Cast", "Identity", "Clip", "Conv",
      "InstanceNormalization", "GroupNormalization", "AveragePool", "GlobalAveragePool":
      return perItem(node, to)
    case "Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Where": return broadcast(node, to)
    case "MatMul": return product(node, to)
    case "Gemm": return linear(node, to)
    case "Attention": return attention(node)
    case "LayerNormalization", "RMSNormalization", "Softmax", "Split", "Gather":
      return alongAxis(node, to)
    case "Concat": return concatenation(node, to)
    case "ReduceMean", "ReduceSum", "ReduceMax", "Slice", "Squeeze", "Unsqueeze": return alongAxes(node, to)
    case "Transpose": return transpose(node, to)
    case "Reshape": return reshape(node, to)
    case "Expand": return expand(node, to)
    default: return nil
    }
  }

  /// Whether `node` moves or scales elements or makes probabilities of them: it belongs to the pattern (attention) of its readers.
  func belongsToReaders(_ node: Node) -> Bool {
    switch node.operatorType {
    case "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Identity", "Expand", "Softmax": true
    case "Mul", "Div": node.inputs.contains { $0.flatMap { graph.constants[$0] }?.count == 1 }
    case "MatMul": node.inputs.allSatisfy { $0.flatMap { graph.constants[$0] } == nil }
    default: false
    }
  }

  /// Item by item along the first axis; parameters have none.
  private func perItem(_ node: Node, _ to: [Int]) -> Halving? {
    guard isShared(node.inputs[0]), shape(of: node.inputs[0])?[0] == to[0],
      !node.inputs.dropFirst().contains(where: isShared)
    else { return nil }
    return Halving(slots: [0])
  }

  /// Inputs of full size are shared; the others are the same for every item.
  private func broadcast(_ node: Node, _ to: [Int]) -> Halving? {
    var slots: [Int] = []
    for (slot, input) in node.inputs.enumerated() {
      guard let from = shape(of: input) else { return nil }
      guard from.count == to.count, from[0] == to[0] else { continue }
      guard isShared(input) else { return nil }
      slots.append(slot)
    }
    return slots.isEmpty ? nil : Halving(slots: slots)
  }

  private func product(_ node: Node, _ to: [Int]) -> Halving? {
    guard let a = shape(of: node.inputs[0]), let b = shape(of: node.inputs[1]), a.count >= 2, b.count >= 2 else {
      return nil
    }
    // Without a batch the first axis is that of the rows.
    guard to.count > 2 else { return isShared(node.inputs[0]) ? Halving(slots: [0]) : nil }
    return broadcast(node, to)
  }

  private func linear(_ node: Node, _ to: [Int]) -> Halving? {
    if case .int(let transposed)? = node.attributes["transA"], transposed != 0 { return nil }
    guard isShared(node.inputs[0]) else { return nil }
    guard node.inputs.count > 2, let bias = node.inputs[2] else { return Halving(slots: [0]) }
    guard let from = shape(of: bias) else { return nil }
    guard from.count == 2, from[0] == to[0] else { return Halving(slots: [0]) }
    return isShared(bias) ? Halving(slots: [0, 2]) : nil
  }

  private func attention(_ node: Node) -> Halving? {
    guard node.inputs.count >= 3, node.inputs.prefix(3).allSatisfy(isShared),
      node.inputs.dropFirst(3).allSatisfy({ $0 == nil }),
      node.outputs.dropFirst().allSatisfy({ $0 == nil })
    else { return nil }
    return Halving(slots: [0, 1, 2])
  }

  /// Operators with one axis, which is not the first.
  private func alongAxis(_ node: Node, _ to: [Int]) -> Halving? {
    guard let rank = shape(of: node.inputs[0])?.count else { return nil }
    let standard: Int64 =
      switch node.operatorType {
      case "Split", "Gather": 0
      case "Softmax" where node.version < 13: 1
      default: -1
      }
    // A scale may have a value for every item.
    let parameters = node.inputs.dropFirst().map { shape(of: $0) }
    guard !parameters.contains(where: { $0?.count == rank && $0?.first == to[0] }) else { return nil }
    return isLater(axis(of: node, standard), rank) ? perItem(node, to) : nil
  }

  private func concatenation(_ node: Node, _ to: [Int]) -> Halving? {
    guard isLater(axis(of: node, 0), to.count), node.inputs.allSatisfy(isShared) else { return nil }
    return Halving(slots: Array(node.inputs.indices))
  }

  /// Operators with several axes, which an attribute or a constant names; none of them is the first.
  private func alongAxes(_ node: Node, _ to: [Int]) -> Halving? {
    guard let from = shape(of: node.inputs[0]) else { return nil }
    let slot = node.operatorType == "Slice" ? 3 : 1
    let axes: [Int]
    if case .ints(let values)? = node.attributes["axes"] {
      axes = values.map { Int($0) }
    } else if node.inputs.count > slot, let values = integers(node.inputs[slot]) {
      axes = values
    } else {
      return nil
    }
    let rank = node.operatorType == "Unsqueeze" ? to.count : from.count
    return axes.allSatisfy({ isLater($0, rank) }) ? perItem(node, to) : nil
  }

  private func transpose(_ node: Node, _ to: [Int]) -> Halving? {
    guard case .ints(let permutation)? = node.attributes["perm"], permutation.first == 0 else { return nil }
    return perItem(node, to)
  }

  /// Two equal halves are two equal halves in any shape whose first size is even.
  private func reshape(_ node: Node, _ to: [Int]) -> Halving? {
    guard isShared(node.inputs[0]), integers(node.inputs[1]) != nil else { return nil }
    return Halving(slots: [0], sizes: (1, Self.halved(to)))
  }

  /// Items made from one, or from shared ones.
  private func expand(_ node: Node, _ to: [Int]) -> Halving? {
    guard let from = shape(of: node.inputs[0]), integers(node.inputs[1]) != nil else { return nil }
    let sizes = (slot: 1, values: Self.halved(to))
    guard from.count == to.count, from[0] == to[0] else { return Halving(slots: [], sizes: sizes) }
    return isShared(node.inputs[0]) ? Halving(slots: [0], sizes: sizes) : nil
  }

  private func axis(of node: Node, _ standard: Int64) -> Int {
    if case .int(let axis)? = node.attributes["axis"] { Int(axis) } else { Int(standard) }
  }

  /// Behind the first of `rank` axes; negative ones count from the end.
  private func isLater(_ axis: Int, _ rank: Int) -> Bool { axis > 0 ? axis < rank : axis < 0 && axis + rank > 0 }
}
