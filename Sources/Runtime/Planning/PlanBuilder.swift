import Graph
import Operators
import Support
import Synchronization

/// Turns a specialised graph into a plan: makes and prepares operators, decides which values share memory.
struct PlanBuilder {
  private let graph: Graph
  private let infos: [ValueInfo?]
  private let prepared: PreparedOperators
  private let threads: Int
  private let pool: ThreadPool
  private let constantInputs: [Int]
  /// Drafts at the front that depend on constant inputs alone.
  private var preludeCount = 0
  private let registry: OperatorRegistry

  private struct Draft {
    enum Work {
      case planned(any Operator, scratchByteCount: Int)
      case dynamic(CompiledNode)
    }
    var node: Node
    var work: Work
    /// The node's inputs, then what its subgraphs capture.
    var inputs: [ValueID?]
    var outputs: [ValueID?]

    var isDynamic: Bool {
      if case .dynamic = work { return true }
      return false
    }
  }
  private var drafts: [Draft] = []

  /// Union of values that share memory, by value index.
  private var root: [Int]
  private enum Kind { case constant, input(Int), intermediate, output(Int), dynamic }
  /// Valid at roots.
  private var kind: [Kind]
  private var firstStep: [Int]
  private var lastStep: [Int]

  static func build(
    _ specialized: Specialization, prepared: PreparedOperators, constantInputs: [Int] = [], pool: ThreadPool,
    checkCancelled: () throws -> Void, registry: OperatorRegistry = .standard
  ) throws -> Plan {
    var builder = PlanBuilder(
      specialized, prepared: prepared, constantInputs: constantInputs, pool: pool, registry: registry)
    try builder.makeDrafts(checkCancelled)
    try builder.prepareOperators(checkCancelled)
    builder.hoistInvariant()
    builder.measureLifetimes()
    builder.shareInPlace()
    let results = builder.placeResults()
    return builder.plan(results)
  }

  private init(
    _ specialized: Specialization, prepared: PreparedOperators, constantInputs: [Int], pool: ThreadPool,
    registry: OperatorRegistry
  ) {
    self.pool = pool
    self.constantInputs = constantInputs
    threads = pool.threads
    graph = specialized.graph
    infos = specialized.infos
    self.prepared = prepared
    self.registry = registry
    root = Array(graph.values.indices)
    kind = infos.map { $0 == nil ? .dynamic : .intermediate }
    for id in graph.constants.keys { kind[id.index] = .constant }
    for (index, id) in graph.inputs.enumerated() where infos[id.index] != nil { kind[id.index] = .input(index) }
    firstStep = Array(repeating: Int.max, count: graph.values.count)
    lastStep = Array(repeating: -1, count: graph.values.count)
  }

  /// True for absent values and for those that the plan keeps in memory of its own.
  private func isStatic(_ id: ValueID?) -> Bool {
    guard let id else { return true }
    guard let info = infos[id.index], info.type != .string else { return false }
    if case .dynamic = kind[find(id.index)] { return false }
    return true
  }

  // MARK: Steps

  private mutating func makeDrafts(_ checkCancelled: () throws -> Void) throws {
    var read = Set(graph.outputs)
    for node in graph.nodes { read.formUnion(node.reads) }
    for node in graph.nodes {
      try checkCancelled()
      do {
        try draft(node, read: read)
      } catch let failure as Failure {
        throw failure.adding(node: node.name, operatorType: node.qualifiedOperator)
      }
    }
  }

  private mutating func draft(_ node: Node, read: Set<ValueID>) throws {
    let outputs = node.outputs.map { $0.flatMap { read.contains($0) ? $0 : nil } }
    let isDynamic = !node.inputs.allSatisfy(isStatic) || !outputs.allSatisfy(isStatic) || node.hasSubgraphs
    guard !isDynamic,
      case .planned(let make)? = registry.entry(
        domain: node.domain, name: node.operatorType, version: node.version)?.implementation
    else {
      var problems: [Failure] = []
      let compiled = try CompiledNode(node, registry: registry, freedAfter: [], problems: &problems)
      if let first = problems.first { throw first }
      let captured = node.reads.dropFirst(node.inputs.compactMap { $0 }.count)
      drafts.append(
        Draft(node: node, work: .dynamic(compiled), inputs: node.inputs + captured.map { $0 }, outputs: node.outputs))
      // Whatever its shape turns out to be, it exists as a value only.
      for id in node.outputs { if let id { kind[id.index] = .dynamic } }
      return
    }
    let made = try make(node)
    // A view reads what lies there already.
    if made.isView, let source = node.inputs.first ?? nil, let output = outputs.first ?? nil,
      let from = infos[source.index], let to = infos[output.index], from.type == to.type,
      from.shape.reduce(1, *) == to.shape.reduce(1, *), outputs.dropFirst().allSatisfy({ $0 == nil })
    {
      root[output.index] = find(source.index)
      return
    }
    drafts.append(
      Draft(node: node, work: .planned(made, scratchByteCount: 0), inputs: node.inputs, outputs: outputs))
  }

  /// Packs weights, several nodes at a time: most of the work of loading a model.
  private mutating func prepareOperators(_ checkCancelled: () throws -> Void) throws {
    struct Outcome {
      var work: (any Operator)?
      var failure: (any Error)?
    }
    let drafts = drafts
    let outcomes = Mutex([Outcome](repeating: Outcome(), count: drafts.count))
    let next = Atomic<Int>(0)
    let failed = Atomic<Bool>(false)
    pool.run(chunks: max(1, min(threads, drafts.count))) { _ in
      while !failed.load(ordering: .relaxed) {
        let index = next.add(1, ordering: .relaxed).oldValue
        guard index < drafts.count else { return }
        guard case .planned(let made, _) = drafts[index].work else { continue }
        var outcome = Outcome()
        do {
          try checkCancelled()
          let inputs = drafts[index].node.inputs.map { $0.flatMap { infos[$0.index] } }
          let work = try prepared.prepare(made, node: drafts[index].node, inputs: inputs, threads: threads)
          outcome.work = try work.bound(to: inputs, threads: threads) ?? work
        } catch {
          outcome.failure = error
          failed.store(true, ordering: .relaxed)
        }
        outcomes.withLock { [outcome] in $0[index] = outcome }
      }
    }
    for (index, outcome) in outcomes.withLock({ $0 }).enumerated() {
      let node = drafts[index].node
      if let failure = outcome.failure as? Failure {
        throw failure.adding(node: node.name, operatorType: node.qualifiedOperator)
      }
      if let error = outcome.failure { throw error }
      guard let implementation = outcome.work else { continue }
      let inputs = node.inputs.map { $0.flatMap { infos[$0.index] } }
      let scratch = max(0, implementation.scratchByteCount(for: inputs, threads: threads))
      self.drafts[index].work = .planned(implementation, scratchByteCount: scratch)
    }
  }

  /// Moves what depends on constant inputs alone to the front. Plans with dynamic steps stay as they are.
  private mutating func hoistInvariant() {
    guard !constantInputs.isEmpty, !drafts.contains(where: \.isDynamic) else { return }
    let given = Set(constantInputs.map { graph.inputs[$0].index })
    // Values that no other input reaches; those that a constant input reaches.
    var fixed = Set(graph.constants.keys.map(\.index)).union(given)
    var reached = given
    var isFixed = [Bool](repeating: false, count: drafts.count)
    for (index, draft) in drafts.enumerated() {
      let inputs = draft.inputs.compactMap { $0.map { find($0.index) } }
      guard inputs.allSatisfy(fixed.contains), !Specialization.random.contains(draft.node.operatorType) else {
        continue
      }
      isFixed[index] = true
      let outputs = draft.outputs.compactMap { $0.map { find($0.index) } }
      fixed.formUnion(outputs)
      if inputs.contains(where: reached.contains) { reached.formUnion(outputs) }
    }
    // Besides what a constant input reaches, only what that needs.
    var needed = Set<Int>()
    var isHoisted = [Bool](repeating: false, count: drafts.count)
    for (index, draft) in drafts.enumerated().reversed() where isFixed[index] {
      let outputs = draft.outputs.compactMap { $0.map { find($0.index) } }
      guard outputs.contains(where: { reached.contains($0) || needed.contains($0) }) else { continue }
      isHoisted[index] = true
      needed.formUnion(draft.inputs.compactMap { $0.map { find($0.index) } })
    }
    let indices = drafts.indices.filter { isHoisted[$0] } + drafts.indices.filter { !isHoisted[$0] }
    drafts = indices.map { drafts[$0] }
    preludeCount = isHoisted.filter { $0 }.count
  }

  // MARK: Memory

  private func find(_ index: Int) -> Int {
    var current = index
    while root[current] != current { current = root[current] }
    return current
  }

  private func byteCount(_ index: Int) -> Int {
    infos[index].map { $0.type.byteCount($0.shape.reduce(1, *)) } ?? 0
  }

  private mutating func measureLifetimes() {
    func touch(_ id: ValueID?, _ step: Int, _ builder: inout PlanBuilder) {
      guard let id else { return }
      let index = builder.find(id.index)
      builder.firstStep[index] = min(builder.firstStep[index], step)
      builder.lastStep[index] = max(builder.lastStep[index], step)
    }
    for (step, draft) in drafts.enumerated() {
      for id in draft.inputs + draft.outputs { touch(id, step, &self) }
      // What a dynamic step reads may live on in a sequence or a view: keep it to the end of the run.
      if draft.isDynamic { for id in draft.inputs { touch(id, drafts.count, &self) } }
    }
    // What the prelude leaves for the other steps outlives the run.
    for draft in drafts.dropFirst(preludeCount) {
      for id in draft.inputs {
        if let id, firstStep[find(id.index)] < preludeCount { touch(id, drafts.count, &self) }
      }
    }
    // A result that has to be copied out at the end must still be there.
    for id in graph.outputs { touch(id, drafts.count, &self) }
  }

  /// Lets an output take over the memory of an input that is read here for the last time.
  private mutating func shareInPlace() {
    for (step, draft) in drafts.enumerated() {
      guard case .planned(let implementation, _) = draft.work, let output = draft.outputs.first ?? nil else { continue }
      let target = find(output.index)
      guard case .intermediate = kind[target], byteCount(target) > 0 else { continue }
      for slot in implementation.inPlaceInputs where slot < draft.inputs.count {
        guard let input = draft.inputs[slot] else { continue }
        let source = find(input.index)
        guard case .intermediate = kind[source], source != target, lastStep[source] == step, firstStep[source] < step,
          byteCount(source) == byteCount(target), byteCount(input.index) == byteCount(source),
          draft.inputs.enumerated().allSatisfy({ other, id in
            other == slot || id.map { find($0.index) != source } ?? true
          }),
          draft.outputs.dropFirst().allSatisfy({ $0.map { find($0.index) != source } ?? true })
        else { continue }
        root[target] = source
        lastStep[source] = max(lastStep[source], lastStep[target])
        break
      }
    }
  }

  /// Every result gets a buffer of its own, which its memory group is computed in where that is possible.
  private mutating func placeResults() -> [Plan.Result] {
    graph.outputs.enumerated().map { position, id in
      guard infos[id.index] != nil else { return .dynamic(id) }
      let group = find(id.index)
      switch kind[group] {
      case .dynamic: return .dynamic(id)
      case .intermediate where byteCount(group) == byteCount(id.index) && firstStep[group] >= preludeCount:
        kind[group] = .output(position)
        return .written
      default: return .copied(Plan.Operand(id: id, type: .float32, shape: [], storage: .input(0)))
      }
    }
  }

  private func cost(of draft: Draft, _ implementation: any Operator) -> Plan.Cost {
    let inputs = draft.node.inputs.map { $0.flatMap { infos[$0.index] } }
    let outputs = draft.outputs.map { $0.flatMap { infos[$0.index] } }
    let activations = inputs.filter { $0?.constant == nil } + outputs
    return Plan.Cost(
      kernel: implementation.kernelName(for: inputs),
      multiplyAccumulates: (try? multiplyAccumulates(
        of: draft.node, inputs: inputs, output: outputs.first??.shape ?? [0])) ?? 0,
      byteCount: activations.reduce(0) { $0 + ($1.map { $0.type.byteCount($0.shape.reduce(1, *)) } ?? 0) })
  }

  private func plan(_ drafted: [Plan.Result]) -> Plan {
    var buffers: [MemoryPlanner.Buffer] = []
    var bufferOfRoot: [Int: Int] = [:]
    for index in graph.values.indices where root[index] == index && lastStep[index] >= 0 {
      guard case .intermediate = kind[index], firstStep[index] <= lastStep[index] else { continue }
      bufferOfRoot[index] = buffers.count
      buffers.append(.init(byteCount: byteCount(index), lifetime: firstStep[index]...lastStep[index]))
    }
    var scratchBuffers: [Int: Int] = [:]
    for (step, draft) in drafts.enumerated() {
      guard case .planned(_, let scratchByteCount) = draft.work, scratchByteCount > 0 else { continue }
      scratchBuffers[step] = buffers.count
      buffers.append(.init(byteCount: scratchByteCount, lifetime: step...step))
    }
    let (offsets, byteCount) = MemoryPlanner.assign(buffers)

    func operand(_ id: ValueID?) -> Plan.Operand? {
      guard let id, let info = infos[id.index] else { return nil }
      let group = find(id.index)
      switch kind[group] {
      case .dynamic: return nil
      case .constant:
        guard let tensor = graph.constants[ValueID(group)] else { return nil }
        return Plan.Operand(
          id: id, type: info.type, shape: info.shape, storage: .constant(tensor.reshaped(info.shape)))
      case .input(let position):
        return Plan.Operand(id: id, type: info.type, shape: info.shape, storage: .input(position))
      case .output(let position):
        return Plan.Operand(id: id, type: info.type, shape: info.shape, storage: .output(position))
      case .intermediate:
        guard let buffer = bufferOfRoot[group] else { return nil }
        return Plan.Operand(id: id, type: info.type, shape: info.shape, storage: .arena(offset: offsets[buffer]))
      }
    }
    let steps = drafts.enumerated().map { index, draft -> Plan.Step in
      var inputs = draft.inputs.map(operand)
      switch draft.work {
      case .dynamic(let compiled):
        return Plan.Step(
          node: draft.node, work: .dynamic(compiled), inputs: inputs, inputIDs: draft.inputs, outputs: [])
      case .planned(let implementation, let scratchByteCount):
        for slot in implementation.consumedInputs where inputs.indices.contains(slot) {
          guard let consumed = inputs[slot], case .constant = consumed.storage else { continue }
          // The operator has its own copy; only type and shape remain.
          inputs[slot]?.storage = .constant(
            Tensor(type: consumed.type, shape: consumed.shape, bytes: .init(start: nil, count: 0), owner: nil))
        }
        let start = scratchBuffers[index].map { offsets[$0] } ?? 0
        return Plan.Step(
          node: draft.node, work: .planned(implementation, scratch: start..<(start + scratchByteCount)), inputs: inputs,
          inputIDs: draft.inputs, outputs: draft.outputs.map(operand), cost: cost(of: draft, implementation))
      }
    }
    let results = zip(drafted, graph.outputs).map { result, id -> Plan.Result in
      guard case .copied = result else { return result }
      return operand(id).map { .copied($0) } ?? .dynamic(id)
    }
    return Plan(
      graph: graph, steps: steps, results: results, resultInfos: graph.outputs.map { infos[$0.index] },
      arenaByteCount: byteCount, preludeCount: preludeCount, constantInputs: constantInputs)
  }
}
