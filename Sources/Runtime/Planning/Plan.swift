import Graph
import Operators
import Support

/// What to run for one set of input shapes: a flat list of prepared operators, and where every value lies.
final class Plan: @unchecked Sendable {
  /// Where a value of known shape lies during a run.
  enum Storage {
    case constant(Tensor)
    case input(Int)
    case output(Int)
    case arena(offset: Int)
  }

  struct Operand {
    var id: ValueID
    var type: DataType
    var shape: [Int]
    var storage: Storage
  }

  enum Work {
    case planned(any Operator, scratch: Range<Int>)
    /// Runs on values; `operands` in the step are then only those of known shape.
    case dynamic(CompiledNode)
  }

  /// What a step does, for profiles.
  struct Cost {
    var kernel: String?
    var multiplyAccumulates = 0
    /// Activations read and written; weights do not count.
    var byteCount = 0
  }

  /// A class, so that a run does not copy what it looks at.
  final class Step {
    let node: Node
    let work: Work
    /// The node's inputs, then what its subgraphs capture. Nil: absent, or known only at run time.
    let inputs: [Operand?]
    let inputIDs: [ValueID?]
    let outputs: [Operand?]
    let cost: Cost

    init(
      node: Node, work: Work, inputs: [Operand?], inputIDs: [ValueID?], outputs: [Operand?], cost: Cost = Cost()
    ) {
      self.node = node
      self.work = work
      self.inputs = inputs
      self.inputIDs = inputIDs
      self.outputs = outputs
      self.cost = cost
    }
  }

  /// How a result leaves the plan.
  enum Result {
    /// Written in place by its step.
    case written
    /// Lies elsewhere (an input, a constant, another output's memory) and is copied.
    case copied(Operand)
    case dynamic(ValueID)
  }

  let graph: Graph
  let steps: [Step]
  let results: [Result]
  /// Types and shapes of the results that are tensors of known shape.
  let resultInfos: [ValueInfo?]
  let arenaByteCount: Int
  /// The first steps, which depend on constant inputs alone; what later steps read of theirs lives to the end of a run.
  let preludeCount: Int
  /// Positions of the graph inputs that the prelude reads.
  let constantInputs: [Int]
  /// Values kept by a step for later dynamic steps, by value index.
  let hasDynamicSteps: Bool

  init(
    graph: Graph, steps: [Step], results: [Result], resultInfos: [ValueInfo?], arenaByteCount: Int,
    preludeCount: Int = 0, constantInputs: [Int] = []
  ) {
    self.graph = graph
    self.steps = steps
    self.results = results
    self.resultInfos = resultInfos
    self.arenaByteCount = arenaByteCount
    self.preludeCount = preludeCount
    self.constantInputs = constantInputs
    hasDynamicSteps = steps.contains {
      if case .dynamic = $0.work { return true }
      return false
    }
  }

  /// Contexts of finished runs, ready for the next.
  private let idle = ContextShelf()

  func takeContext() throws -> PlanContext { try idle.take() ?? PlanContext(self) }
  func giveBack(_ context: PlanContext) { idle.put(context) }
}
