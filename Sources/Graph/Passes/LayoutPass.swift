import Support

/// Moves convolutions and their neighbours to channels-last (NHWC), where a convolution is a matrix product, GroupNorm reads
/// memory in order, and the reshapes around attention cost nothing.
///
/// One walk over the nodes. A value of shape (N, C, …) may have a *twin* (N, …, C). Operators that can work on twins do so
/// as soon as one of their inputs has one; convolutions always do. Where an operator needs the original order, a Transpose
/// makes it, once. What remains at the end are the transposes at the model's edges.
package struct LayoutPass {
  var graph: Graph
  private var nodes: [Node] = []
  /// Channels-last form of a value.
  private var twins: [ValueID: ValueID] = [:]
  /// Values whose original form has no node yet; made from the twin when somebody needs it.
  private var virtual: Set<ValueID> = []

  package static func apply(to graph: inout Graph) {
    var pass = LayoutPass(graph: graph)
    for node in graph.nodes { pass.visit(node) }
    for output in graph.outputs { pass.materialize(output) }
    pass.graph.nodes = pass.nodes
    pass.graph.removeDeadNodes()
    graph = ResidualFusion.apply(pass.graph)
  }

  private init(graph: Graph) { self.graph = graph }

  private mutating func visit(_ node: Node) {
    if let rule = Self.rule(for: node), rule(&self, node) { return }
    for input in node.allInputs { materialize(input) }
    nodes.append(node)
  }

  // MARK: What rules use

  mutating func emit(_ node: Node) { nodes.append(node) }

  /// The node emitted last that makes `value`; looks back as far as a neighbour may be.
  func producer(of value: ValueID) -> Node? { nodes.suffix(8).last { $0.outputs.contains(value) } }

  func existingTwin(_ value: ValueID) -> ValueID? { twins[value] }

  func hasTwin(_ value: ValueID?) -> Bool { value.map { twins[$0] != nil } ?? false }

  func shape(of value: ValueID?) -> [Int]? { graph.fixedShape(of: value) }

  func type(of value: ValueID?) -> DataType? {
    guard let value, case .tensor(let type, _) = graph.values[value.index].type else { return nil }
    return type
  }

  func constant(_ value: ValueID?) -> Tensor? { value.flatMap { graph.constants[$0] } }

  /// A new value that stands for `value` in channels-last order, registered as its twin.
  mutating func makeTwin(of value: ValueID) -> ValueID? {
    guard let shape = shape(of: value), let type = type(of: value), shape.count >= 3 else { return nil }
    let twin = graph.addValue(
      name: graph.values[value.index].name + ".nhwc",
      type: .tensor(type, shape: Self.channelsLast(shape).map { .fixed($0) }))
    setTwin(of: value, to: twin)
    return twin
  }

  /// Registers `twin` as the channels-last form of `value`, whose own form is not computed unless needed.
  mutating func setTwin(of value: ValueID, to twin: ValueID) {
    twins[value] = twin
    virtual.insert(value)
  }

  /// The channels-last form of `value`, made by a Transpose (or a Reshape where no element moves) if there is none yet.
  mutating func twin(of value: ValueID) -> ValueID? {
    if let twin = twins[value] { return twin }
    guard let shape = shape(of: value), shape.count >= 3, let twin = makeTwin(of: value) else { return nil }
    virtual.remove(value)
    reorder(value, to: twin, Self.channelsLastPermutation(shape.count))
    return twin
  }

  /// Makes sure that the original form of `value` is computed.
  mutating func materialize(_ value: ValueID) {
    guard virtual.remove(value) != nil, let twin = twins[value], let rank = shape(of: value)?.count else { return }
    reorder(twin, to: value, [0, rank - 1] + Array(1..<(rank - 1)))
  }

  /// Transpose, or Reshape when only dimensions of size 1 change places.
  mutating func reorder(_ input: ValueID, to output: ValueID, _ permutation: [Int]) {
    guard let from = shape(of: input), let to = shape(of: output) else { return }
    let moving = permutation.filter { from[$0] != 1 }
    let name = graph.values[output.index].name
    if moving == moving.sorted() {
      emit(reshape(input, to: output, to, name: name))
    } else {
      emit(
        Node(
          name: name + ".transpose", operatorType: "Transpose", version: 13, inputs: [input], outputs: [output],
          attributes: ["perm": .ints(permutation.map { Int64($0) })]))
    }
  }

  mutating func reshape(_ input: ValueID, to output: ValueID, _ shape: [Int], name: String) -> Node {
    let target = addConstant(name + ".shape", int64: shape)
    return Node(
      name: name + ".reshape", operatorType: "Reshape", version: 13, inputs: [input, target], outputs: [output])
  }

  /// A small int64 constant; nil only when the process is out of memory, which planning then reports.
  mutating func addConstant(_ name: String, int64 values: [Int]) -> ValueID? {
    guard let tensor = try? Tensor(int64: values.map { Int64($0) }) else { return nil }
    return addConstant(name, tensor)
  }

  mutating func addConstant(_ name: String, _ tensor: Tensor) -> ValueID {
    let value = graph.addValue(name: name, type: .tensor(tensor.type, shape: tensor.shape.map { .fixed($0) }))
    graph.constants[value] = tensor
    return value
  }

  static func channelsLast(_ shape: [Int]) -> [Int] { [shape[0]] + Array(shape[2...]) + [shape[1]] }

  /// Original axes in channels-last order: [0, 2, 3, 1] for rank 4.
  static func channelsLastPermutation(_ rank: Int) -> [Int] { [0] + Array(2..<rank) + [1] }

  /// Where original axis `axis` (negative counts from the end) lies in the twin; nil when out of range.
  static func twinAxis(_ axis: Int, rank: Int) -> Int? {
    let positive = axis < 0 ? axis + rank : axis
    guard (0..<rank).contains(positive) else { return nil }
    return positive == 0 ? 0 : positive == 1 ? rank - 1 : positive - 1
  }
}
