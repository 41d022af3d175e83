import Graph
import Operators
import Support

/// A graph for one set of input shapes: every shape that can be known is known, everything computable is computed.
///
/// Walks the nodes once. Shapes and constants flow along; a node all of whose inputs are constants is run and becomes a
/// constant; `If` with a known condition is replaced by its branch. Without input shapes it folds what depends on the
/// file alone.
struct Specialization {
  private(set) var graph: Graph
  /// By value index. Nil: known only when the run gets there (data-dependent shape, sequence, optional).
  private(set) var infos: [ValueInfo?]

  private let executor: EagerExecutor
  private let registry: OperatorRegistry
  private var pending: [Node]
  private var nodes: [Node] = []
  /// Elements of the sequences that are known by name.
  var sequences: [ValueID: [ValueID]] = [:]

  /// Results that stay small against what they are made of are kept; a huge ConstantOfShape is cheaper to make again.
  private static let freeByteCount = 1 << 20
  private static let growthLimit = 16
  /// Operators that give something else every time.
  static let random: Set<String> = [
    "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial",
  ]

  /// `inputs`: what is known about graph inputs. `keepUnusedNodes`: not for planning, only to check a whole file.
  static func specialize(
    _ graph: Graph, inputs: [ValueID: ValueInfo], executor: EagerExecutor, registry: OperatorRegistry = .standard
  ) throws -> Specialization {
    var work = Specialization(graph, inputs: inputs, executor: executor, registry: registry)
    while let node = work.pending.popLast() {
      try executor.checkCancelled()
      do {
        try work.visit(node)
      } catch let failure as Failure {
        throw failure.adding(node: node.name, operatorType: node.qualifiedOperator)
      }
    }
    work.graph.nodes = work.nodes
    work.graph.removeDeadNodes()
    work.writeTypes()
    return work
  }

  private init(_ source: Graph, inputs: [ValueID: ValueInfo], executor: EagerExecutor, registry: OperatorRegistry) {
    graph = source
    graph.removeDeadNodes()
    self.executor = executor
    self.registry = registry
    infos = Array(repeating: nil, count: graph.values.count)
    for (id, tensor) in graph.constants {
      infos[id.index] = ValueInfo(type: tensor.type, shape: tensor.shape, constant: tensor)
    }
    for (id, info) in inputs { infos[id.index] = info }
    pending = graph.nodes.reversed()
    graph.nodes = []
  }

  private mutating func visit(_ node: Node) throws {
    let known = node.inputs.allSatisfy { $0 == nil || info($0) != nil }
    guard let entry = registry.entry(domain: node.domain, name: node.operatorType, version: node.version) else {
      throw Failure(.unsupported, "no implementation")
    }
    let inputs = node.inputs.map { info($0) }
    let constant =
      known && inputs.allSatisfy { $0 == nil || $0?.constant != nil } && !Self.random.contains(node.operatorType)
    switch entry.implementation {
    case .planned(let make):
      guard known else { return nodes.append(node) }
      let implementation = try make(node)
      guard let described = try implementation.outputs(for: inputs) else { return nodes.append(node) }
      // From here on sizes are multiplied without looking.
      for info in described { _ = try CheckedSize.product(info.shape, of: "output shape") }
      for index in described.count..<max(described.count, node.outputs.count) where node.outputs[index] != nil {
        throw Failure(.corrupt, "the operator has no output \(index)")
      }
      if zip(node.outputs, described).allSatisfy({ $0 == nil || $1.constant != nil }) {
        for (id, info) in zip(node.outputs, described) {
          if let id, let tensor = info.constant { setConstant(id, tensor) }
        }
      } else if constant, worthKeeping(described, inputs) {
        let tensors = inputs.map { $0?.constant }
        let results = try EagerExecutor.compute(
          implementation, tensors, wanted: node.outputs, pool: executor.pool, checkCancelled: executor.checkCancelled)
        for (id, tensor) in zip(node.outputs, results) { if let id, let tensor { setConstant(id, tensor) } }
      } else {
        for (id, info) in zip(node.outputs, described) {
          if let id { infos[id.index] = ValueInfo(type: info.type, shape: info.shape, constant: info.constant) }
        }
        nodes.append(node)
      }
    case .dynamic(let make):
      if let replacement = try withoutSequences(node) {
        pending.append(contentsOf: replacement.reversed())
        return
      }
      if node.operatorType == "If", node.domain.isEmpty, let branch = try takenBranch(node) {
        return inline(branch, for: node)
      }
      guard constant, !node.hasSubgraphs else { return nodes.append(node) }
      let results = try make(node).evaluate(
        inputs.map { $0?.constant.map { .tensor($0) } },
        context: RunContext(pool: executor.pool, checkCancelled: executor.checkCancelled))
      let tensors = zip(node.outputs, results).map { id, value -> Tensor? in
        if id != nil, case .tensor(let tensor)? = value { return tensor }
        return nil
      }
      guard zip(node.outputs, tensors).allSatisfy({ $0 == nil || $1 != nil }) else { return nodes.append(node) }
      for (id, tensor) in zip(node.outputs, tensors) { if let id, let tensor { setConstant(id, tensor) } }
    }
  }

  func info(_ id: ValueID?) -> ValueInfo? { id.flatMap { infos[$0.index] } }

  mutating func setConstant(_ id: ValueID, _ tensor: Tensor) {
    graph.constants[id] = tensor
    infos[id.index] = ValueInfo(type: tensor.type, shape: tensor.shape, constant: tensor)
  }

  mutating func addValue(_ name: String) -> ValueID {
    infos.append(nil)
    return graph.addValue(name: name)
  }

  mutating func addConstant(_ name: String, _ tensor: Tensor) -> ValueID {
    let id = addValue(name)
    setConstant(id, tensor)
    return id
  }

  private func worthKeeping(_ outputs: [ValueInfo], _ inputs: [ValueInfo?]) -> Bool {
    func bytes(_ info: ValueInfo?) -> Int { info.map { $0.type.byteCount($0.shape.reduce(1, *)) } ?? 0 }
    let produced = outputs.reduce(0) { $0 + bytes($1) }
    let consumed = inputs.reduce(0) { $0 + bytes($1) }
    return produced <= Self.freeByteCount + Self.growthLimit * consumed
  }

  /// The branch of an If whose condition is known.
  private func takenBranch(_ node: Node) throws -> Graph? {
    guard let condition = info(node.inputs.first ?? nil)?.constant, condition.type == .bool, condition.count == 1 else {
      return nil
    }
    let name = condition.bytes[0] != 0 ? "then_branch" : "else_branch"
    guard case .graph(let branch)? = node.attributes[name] else {
      throw Failure(.corrupt, "graph attribute '\(name)' is missing")
    }
    guard branch.outputs.count >= node.outputs.count else {
      throw Failure(.corrupt, "'\(name)' has fewer outputs than the node")
    }
    return branch
  }

  /// Puts the nodes of `branch` in place of `node`.
  private mutating func inline(_ branch: Graph, for node: Node) {
    var renamed: [ValueID: ValueID] = [:]
    for (outer, local) in branch.captures { renamed[local] = outer }
    for index in branch.values.indices where renamed[ValueID(index)] == nil {
      let record = branch.values[index]
      renamed[ValueID(index)] = graph.addValue(name: "\(node.name)/\(record.name)", type: record.type)
      infos.append(nil)
    }
    for (id, tensor) in branch.constants { if let target = renamed[id] { setConstant(target, tensor) } }
    var inner = branch.nodes.map { $0.renamed(renamed, prefix: node.name + "/") }
    for (output, source) in zip(node.outputs, branch.outputs) {
      guard let output else { continue }
      inner.append(
        Node(
          name: node.name, operatorType: "Identity", version: max(16, node.version), inputs: [renamed[source]],
          outputs: [output]))
    }
    pending.append(contentsOf: inner.reversed())
  }

  /// Passes read shapes from the values' declared types.
  private mutating func writeTypes() {
    for (index, info) in infos.enumerated() {
      if let info { graph.values[index].type = .tensor(info.type, shape: info.shape.map { .fixed($0) }) }
    }
  }
}

extension Node {
  /// The node over other values.
  fileprivate func renamed(_ map: [ValueID: ValueID], prefix: String) -> Node {
    var copy = self
    copy.name = prefix + name
    copy.inputs = inputs.map { $0.flatMap { map[$0] } }
    copy.outputs = outputs.map { $0.flatMap { map[$0] } }
    func moved(_ graph: Graph) -> Graph {
      var result = graph
      result.captures = graph.captures.map { (map[$0.outer] ?? $0.outer, $0.local) }
      return result
    }
    for (name, attribute) in attributes {
      switch attribute {
      case .graph(let graph): copy.attributes[name] = .graph(moved(graph))
      case .graphs(let graphs): copy.attributes[name] = .graphs(graphs.map(moved))
      default: break
      }
    }
    return copy
  }
}
