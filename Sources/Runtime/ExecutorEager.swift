import Glibc
import Graph
import Operators
import Support

/// Runs a graph node by node, every output in memory of its own, freed after its last use.
///
/// The reference for what a graph means: main graphs when planning is off, and subgraphs of control flow always.
struct EagerExecutor {
  let pool: ThreadPool
  let checkCancelled: () throws -> Void
  var profiler: Profiler?
  /// Nesting of subgraphs, bounded so that recursion cannot exhaust the stack.
  var depth = 0

  /// Runs `compiled`; `captured` in the order of `graph.captures`, `inputs` in the order of `graph.inputs`.
  func run(_ compiled: CompiledGraph, captured: [Value], inputs: [Value?]) throws -> [Value] {
    guard depth < GraphLimits.subgraphDepth else { throw Failure(.unsupported, "subgraphs nest too deeply") }
    let graph = compiled.graph
    var environment = [Value?](repeating: nil, count: graph.values.count)
    guard inputs.count <= graph.inputs.count, captured.count == graph.captures.count else {
      throw Failure(
        .corrupt, "a subgraph gets the wrong number of inputs", expected: "\(graph.inputs.count)",
        actual: "\(inputs.count)")
    }
    for (id, tensor) in graph.constants { environment[id.index] = .tensor(tensor) }
    for (capture, value) in zip(graph.captures, captured) { environment[capture.local.index] = value }
    for (id, value) in zip(graph.inputs, inputs) { environment[id.index] = value }
    for step in compiled.steps {
      try checkCancelled()
      do {
        try run(step, &environment)
      } catch let failure as Failure {
        throw failure.adding(node: step.node.name, operatorType: step.node.qualifiedOperator)
      }
    }
    return try graph.outputs.map { id in
      guard let value = environment[id.index] else {
        throw Failure(.corrupt, "output '\(graph.values[id.index].name)' was not produced")
      }
      return value
    }
  }

  func run(_ step: CompiledNode, _ environment: inout [Value?]) throws {
    let start = profiler == nil ? 0 : monotonicSeconds()
    let inputs = step.node.inputs.map { $0.flatMap { environment[$0.index] } }
    let outputs = try evaluate(step, inputs, environment)
    for (id, value) in zip(step.node.outputs, outputs) { if let id { environment[id.index] = value } }
    for value in step.freedAfter { environment[value] = nil }
    profiler?.add(step.node, seconds: monotonicSeconds() - start)
  }

  /// The outputs of one node; `environment` serves what its subgraphs capture.
  func evaluate(_ step: CompiledNode, _ inputs: [Value?], _ environment: [Value?]) throws -> [Value?] {
    switch step.implementation {
    case .planned(let implementation):
      // Identity has planned memory for tensors, and passes sequences and optionals on.
      if let onValues = implementation as? any DynamicOperator, inputs.contains(where: { $0?.isTensor == false }) {
        return try onValues.evaluate(inputs, context: RunContext(pool: pool, checkCancelled: checkCancelled))
      }
      let tensors = try inputs.map { value -> Tensor? in
        switch value {
        case nil: return nil
        case .tensor(let tensor)?: return tensor
        // Operators that take tensors also take optionals that hold one.
        case .optional(.tensor(let tensor)?)?: return tensor
        default: throw Failure(.typeMismatch, "a tensor is required", actual: "a sequence or an empty optional")
        }
      }
      return try Self.compute(
        implementation, tensors, wanted: step.node.outputs, pool: pool, checkCancelled: checkCancelled
      ).map { $0.map { .tensor($0) } }
    case .dynamic(let implementation):
      var context = RunContext(pool: pool, checkCancelled: checkCancelled)
      if !step.subgraphs.isEmpty {
        context.runSubgraph = { name, values in
          guard let subgraph = step.subgraphs[name] else {
            throw Failure(.corrupt, "the node has no subgraph '\(name)'")
          }
          let captured = try subgraph.graph.captures.map { capture in
            guard let value = environment[capture.outer.index] else {
              throw Failure(.internalError, "a captured value is missing")
            }
            return value
          }
          var inner = self
          inner.depth += 1
          return try inner.run(subgraph, captured: captured, inputs: values)
        }
      }
      return try implementation.evaluate(inputs, context: context)
    }
  }

  /// Runs one planned operator on tensors, in fresh memory.
  static func compute(
    _ implementation: any Operator, _ inputs: [Tensor?], wanted: [ValueID?], pool: ThreadPool,
    checkCancelled: @escaping () throws -> Void
  ) throws -> [Tensor?] {
    let infos = inputs.map { $0.map { ValueInfo(type: $0.type, shape: $0.shape, constant: $0) } }
    guard let described = try implementation.outputs(for: infos) else {
      throw Failure(.internalError, "the operator does not know its output shapes although every input is known")
    }
    if implementation.isView, let source = inputs.first ?? nil, let info = described.first, info.type == source.type {
      return [source.reshaped(info.shape)]
    }
    var outputs: [Tensor?] = []
    for (index, info) in described.enumerated() {
      let used = index < wanted.count && wanted[index] != nil
      outputs.append(used ? try Tensor(type: info.type, shape: info.shape) : nil)
    }
    for index in described.count..<max(described.count, wanted.count) where wanted[index] != nil {
      throw Failure(.corrupt, "the operator has no output \(index)")
    }
    let scratchByteCount = implementation.scratchByteCount(for: infos, threads: pool.threads)
    let scratch = scratchByteCount > 0 ? try HeapBlock(byteCount: scratchByteCount) : nil
    let context = RunContext(
      pool: pool, scratch: scratch?.bytes ?? .init(start: nil, count: 0), checkCancelled: checkCancelled)
    try withExtendedLifetime(scratch) {
      try implementation.run(inputs: inputs, outputs: outputs, context: context)
    }
    return outputs
  }
}

/// Limits of what the engine runs.
enum GraphLimits {
  static let subgraphDepth = 64
}

/// Seconds of a clock that only goes forward.
func monotonicSeconds() -> Double {
  var now = timespec()
  clock_gettime(CLOCK_MONOTONIC, &now)
  return Double(now.tv_sec) + Double(now.tv_nsec) * 1e-9
}

extension Value {
  fileprivate var isTensor: Bool { if case .tensor = self { true } else { false } }
}
