import Graph
import Operators
import Support
import Synchronization

/// The memory of one run: the arena, and every step's tensors over it. Used by one run at a time.
final class PlanContext {
  let arena: HeapBlock
  var inputs: [[Tensor?]]
  var outputs: [[Tensor?]]
  /// Results of dynamic steps by value index; empty in plans without any.
  var environment: [Value?]

  private struct Binding {
    var step: Int
    var slot: Int
    var isOutput: Bool
    var shape: [Int]
  }
  /// Places that change with every run, by graph input or output.
  private var inputBindings: [[Binding]]
  private var outputBindings: [[Binding]]

  init(_ plan: Plan) throws {
    arena = try HeapBlock(byteCount: plan.arenaByteCount)
    inputs = []
    outputs = []
    environment = plan.hasDynamicSteps ? Array(repeating: nil, count: plan.graph.values.count) : []
    inputBindings = Array(repeating: [], count: plan.graph.inputs.count)
    outputBindings = Array(repeating: [], count: plan.graph.outputs.count)
    for (index, step) in plan.steps.enumerated() {
      inputs.append(step.inputs.enumerated().map { place($1, step: index, slot: $0, isOutput: false) })
      outputs.append(step.outputs.enumerated().map { place($1, step: index, slot: $0, isOutput: true) })
    }
  }

  /// The operand's tensor, or nil with a note to fill it in when the run begins.
  private func place(_ operand: Plan.Operand?, step: Int, slot: Int, isOutput: Bool) -> Tensor? {
    guard let operand else { return nil }
    let binding = Binding(step: step, slot: slot, isOutput: isOutput, shape: operand.shape)
    switch operand.storage {
    case .constant(let tensor): return tensor
    case .input(let index): inputBindings[index].append(binding)
    case .output(let index): outputBindings[index].append(binding)
    case .arena: return tensor(operand)
    }
    return nil
  }

  /// A tensor over arena or constant memory.
  func tensor(_ operand: Plan.Operand) -> Tensor? {
    switch operand.storage {
    case .constant(let tensor): return tensor
    case .arena(let offset):
      let count = operand.type.byteCount(operand.shape.reduce(1, *))
      return Tensor(
        type: operand.type, shape: operand.shape,
        bytes: UnsafeMutableRawBufferPointer(start: arena.bytes.baseAddress.map { $0 + offset }, count: count),
        owner: arena)
    case .input, .output: return nil
    }
  }

  func bindInput(_ index: Int, _ tensor: Tensor) { bind(inputBindings[index], tensor) }
  func bindOutput(_ index: Int, _ tensor: Tensor) { bind(outputBindings[index], tensor) }

  private func bind(_ bindings: [Binding], _ tensor: Tensor?) {
    for binding in bindings {
      let view = tensor?.reshaped(binding.shape)
      if binding.isOutput {
        outputs[binding.step][binding.slot] = view
      } else {
        inputs[binding.step][binding.slot] = view
      }
    }
  }

  /// Lets go of everything that belongs to the caller.
  func release() {
    for bindings in inputBindings { bind(bindings, nil) }
    for bindings in outputBindings { bind(bindings, nil) }
    for index in environment.indices { environment[index] = nil }
  }
}

/// Contexts between runs. Keeps as many as ever ran at the same time, within a bound.
final class ContextShelf: @unchecked Sendable {
  private static let maximumIdle = 4
  private struct Contents: @unchecked Sendable { var contexts: [PlanContext] = [] }
  private let contents = Mutex(Contents())

  func take() -> PlanContext? { contents.withLock { $0.contexts.popLast() } }

  func put(_ context: PlanContext) {
    context.release()
    contents.withLock { if $0.contexts.count < Self.maximumIdle { $0.contexts.append(context) } }
  }
}
