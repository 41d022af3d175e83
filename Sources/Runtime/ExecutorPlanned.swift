import Graph
import Operators
import Support

/// Runs a plan: binds the caller's tensors, walks the flat list of steps, hands out the results.
struct PlanExecutor {
  let pool: ThreadPool
  let checkCancelled: () throws -> Void
  var profiler: Profiler?

  /// `inputs` in the order of the graph's inputs, of the types and shapes the plan was made for.
  func run(_ plan: Plan, inputs: [Value?], series: RunSeries? = nil) throws -> [Value] {
    guard let series, plan.preludeCount > 0 else {
      let context = try plan.takeContext()
      defer { plan.giveBack(context) }
      return try run(plan, inputs: inputs, context, from: 0)
    }
    var held = try series.take(plan)
    do {
      if held.matches(inputs) {
        let results = try run(plan, inputs: inputs, held.context, from: plan.preludeCount)
        series.put(held)
        return results
      }
      held.inputs = nil
      let results = try run(plan, inputs: inputs, held.context, from: 0)
      try held.remember(inputs)
      series.put(held)
      return results
    } catch {
      // Whatever the run had computed is forgotten with its memory.
      plan.giveBack(held.context)
      throw error
    }
  }

  /// Steps from `first` on.
  private func run(_ plan: Plan, inputs: [Value?], _ context: PlanContext, from first: Int) throws -> [Value] {
    for (index, value) in inputs.enumerated() {
      if case .tensor(let tensor)? = value { context.bindInput(index, try aligned(tensor)) }
      if plan.hasDynamicSteps { context.environment[plan.graph.inputs[index].index] = value }
    }
    var results: [Tensor?] = []
    for (index, result) in plan.results.enumerated() {
      guard let info = plan.resultInfos[index] else {
        results.append(nil)
        continue
      }
      if case .dynamic = result {
        results.append(nil)
        continue
      }
      let tensor = try Tensor(type: info.type, shape: info.shape)
      context.bindOutput(index, tensor)
      results.append(tensor)
    }
    for (index, step) in plan.steps.enumerated().dropFirst(first) {
      try checkCancelled()
      let start = profiler == nil ? 0 : monotonicSeconds()
      do {
        try run(step, index, context)
      } catch let failure as Failure {
        throw failure.adding(node: step.node.name, operatorType: step.node.qualifiedOperator)
      }
      profiler?.add(step.node, seconds: monotonicSeconds() - start, cost: step.cost)
    }
    return try plan.results.enumerated().map { index, result in
      switch result {
      case .dynamic(let id): return try detached(context.environment[id.index], context, plan, id)
      case .written, .copied:
        guard let tensor = results[index] else { throw Failure(.internalError, "a result has no memory") }
        if case .copied(let operand) = result { try copy(operand, to: tensor, inputs, results, context) }
        return .tensor(tensor)
      }
    }
  }

  private func run(_ step: Plan.Step, _ index: Int, _ context: PlanContext) throws {
    switch step.work {
    case .planned(let implementation, let scratch):
      let memory = UnsafeMutableRawBufferPointer(
        start: context.arena.bytes.baseAddress.map { $0 + scratch.lowerBound }, count: scratch.count)
      try implementation.run(
        inputs: context.inputs[index], outputs: context.outputs[index],
        context: RunContext(pool: pool, scratch: memory, checkCancelled: checkCancelled))
    case .dynamic(let compiled):
      for (id, tensor) in zip(step.inputIDs, context.inputs[index]) {
        if let id, let tensor { context.environment[id.index] = .tensor(tensor) }
      }
      var eager = EagerExecutor(pool: pool, checkCancelled: checkCancelled)
      eager.profiler = nil
      let inputs = step.node.inputs.map { $0.flatMap { context.environment[$0.index] } }
      let outputs = try eager.evaluate(compiled, inputs, context.environment)
      for (id, value) in zip(step.node.outputs, outputs) { if let id { context.environment[id.index] = value } }
    }
  }

  /// Operators load whole elements; a caller's memory at an odd address is copied once.
  private func aligned(_ tensor: Tensor) throws -> Tensor {
    let width = max(1, min(8, tensor.type.bitWidth / 8))
    guard Int(bitPattern: tensor.bytes.baseAddress) % width != 0 else { return tensor }
    let copy = try Tensor(type: tensor.type, shape: tensor.shape)
    copy.bytes.copyMemory(from: UnsafeRawBufferPointer(tensor.bytes))
    return copy
  }

  private func copy(
    _ operand: Plan.Operand, to target: Tensor, _ inputs: [Value?], _ results: [Tensor?], _ context: PlanContext
  ) throws {
    let source: Tensor?
    switch operand.storage {
    case .input(let index):
      if case .tensor(let tensor)? = inputs[index] { source = tensor } else { source = nil }
    case .output(let index): source = results[index]
    case .constant, .arena: source = context.tensor(operand)
    }
    guard let source, source.bytes.count == target.bytes.count else {
      throw Failure(.internalError, "a result lost its memory")
    }
    if source.type == .string { target.strings = source.strings }
    target.bytes.copyMemory(from: UnsafeRawBufferPointer(source.bytes))
  }

  /// A result of a dynamic step, copied where it lies in memory that the next run reuses.
  private func detached(_ value: Value?, _ context: PlanContext, _ plan: Plan, _ id: ValueID) throws -> Value {
    switch value {
    case .tensor(let tensor)?:
      guard tensor.owner === context.arena else { return .tensor(tensor) }
      let copy = try Tensor(type: tensor.type, shape: tensor.shape)
      copy.bytes.copyMemory(from: UnsafeRawBufferPointer(tensor.bytes))
      return .tensor(copy)
    case .sequence(let values)?: return .sequence(try values.map { try detached($0, context, plan, id) })
    case .optional(let inner)?:
      return .optional(try inner.map { try detached($0, context, plan, id) })
    case nil:
      throw Failure(.corrupt, "output '\(plan.graph.values[id.index].name)' was not produced")
    }
  }
}
