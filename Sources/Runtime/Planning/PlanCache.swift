import Graph
import Operators
import Support
import Synchronization

/// Makes plans of one model and keeps the last few.
final class PlanCache: @unchecked Sendable {
  /// Different input shapes in use at the same time: guidance in one batch and two, a few picture sizes.
  private static let capacity = 4

  let graph: Graph
  private let precision: Precision
  private let prepared: PreparedOperators
  private struct Entry: @unchecked Sendable {
    var key: String
    var plan: Plan
  }
  private struct Contents: @unchecked Sendable { var entries: [Entry] = [] }
  /// Held while a plan is made, so that threads which start together share it.
  private let contents = Mutex(Contents())

  /// `graph`: as loaded. What depends on the file alone is folded here, once.
  init(_ source: Graph, precision: Precision = .float32, pool: ThreadPool) throws {
    self.precision = precision
    var graph = source
    PrecisionPass.promoteHalf(in: &graph)
    let executor = EagerExecutor(pool: pool, checkCancelled: {})
    self.graph = try Specialization.specialize(graph, inputs: Self.declared(graph), executor: executor).graph
    prepared = PreparedOperators(constants: self.graph.constants.values)
  }

  /// Inputs whose whole shape is declared are known before any run.
  private static func declared(_ graph: Graph) -> [ValueID: ValueInfo] {
    var infos: [ValueID: ValueInfo] = [:]
    for id in graph.inputs {
      guard case .tensor(let type, let dimensions?) = graph.values[id.index].type else { continue }
      let shape = dimensions.compactMap { dimension -> Int? in
        if case .fixed(let size) = dimension { return size }
        return nil
      }
      if shape.count == dimensions.count { infos[id] = ValueInfo(type: type, shape: shape) }
    }
    return infos
  }

  /// The plan for inputs like `inputs` and the outputs at `wanted` (positions in the graph's outputs). `constantInputs`:
  /// positions of inputs that seldom change between runs; `repeatedInputs`: of those whose two halves are equal in all runs of
  /// the plan.
  func plan(
    for inputs: [Value?], wanted: [Int], constantInputs: [Int] = [], repeatedInputs: [Int] = [], pool: ThreadPool,
    checkCancelled: @escaping () throws -> Void
  ) throws -> Plan {
    var key = "\(pool.threads)|\(wanted)|\(constantInputs)|\(repeatedInputs)"
    for value in inputs {
      if case .tensor(let tensor)? = value { key += "|\(tensor.type.rawValue)\(tensor.shape)" } else { key += "|?" }
    }
    return try contents.withLock { contents in
      if let index = contents.entries.firstIndex(where: { $0.key == key }) {
        let entry = contents.entries.remove(at: index)
        contents.entries.append(entry)
        return entry.plan
      }
      let plan = try make(inputs, wanted, constantInputs, repeatedInputs, pool, checkCancelled)
      if contents.entries.count >= Self.capacity { contents.entries.removeFirst() }
      contents.entries.append(Entry(key: key, plan: plan))
      return plan
    }
  }

  private func make(
    _ inputs: [Value?], _ wanted: [Int], _ constantInputs: [Int], _ repeatedInputs: [Int], _ pool: ThreadPool,
    _ checkCancelled: @escaping () throws -> Void
  ) throws -> Plan {
    var source = graph
    source.outputs = wanted.map { graph.outputs[$0] }
    var infos: [ValueID: ValueInfo] = [:]
    for (id, value) in zip(source.inputs, inputs) {
      if case .tensor(let tensor)? = value, tensor.type != .string {
        infos[id] = ValueInfo(type: tensor.type, shape: tensor.shape)
      }
    }
    let executor = EagerExecutor(pool: pool, checkCancelled: checkCancelled)
    var plain = try Specialization.specialize(source, inputs: infos, executor: executor).graph
    if !repeatedInputs.isEmpty { SharedHalvesPass.apply(to: &plain, inputs: repeatedInputs.map { source.inputs[$0] }) }
    var fused = plain
    FusionPasses.apply(to: &fused, precision: precision)
    // A fused operator may refuse what its parts can do; the plain graph is the answer then.
    do {
      let specialized = try Specialization.specialize(fused, inputs: infos, executor: executor)
      return try PlanBuilder.build(
        specialized, prepared: prepared, constantInputs: constantInputs, pool: pool, checkCancelled: checkCancelled)
    } catch let failure as Failure where failure.status == .unsupported {
      var reduced = plain
      ReducedPrecisionPass.apply(precision, to: &reduced)
      let specialized = try Specialization.specialize(reduced, inputs: infos, executor: executor)
      return try PlanBuilder.build(
        specialized, prepared: prepared, constantInputs: constantInputs, pool: pool, checkCancelled: checkCancelled)
    }
  }
}
