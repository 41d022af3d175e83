import Graph
import Support

/// What a run carries: tensors, and the sequences and optionals that some exporters write.
public indirect enum Value: Sendable {
  case tensor(Tensor)
  case sequence([Value])
  case optional(Value?)
}

/// An operator whose output shapes follow from input types, shapes and shape-like constant inputs.
///
/// Made once per node by the registry (attributes are parsed and checked there), shared by threads, holds no run state.
public protocol Operator: Sendable {
  /// Checks input types and shapes and describes every output. Returns nil when a shape depends on elements that are not
  /// known yet (`constant` is nil); called again at run time with every `constant` present, where it must not return nil.
  /// Throws `Failure` (.typeMismatch, .shapeMismatch, .unsupported, …) that says expected and actual.
  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]?

  /// Computes outputs into preallocated memory of the described types and shapes. Inputs have been checked by
  /// `outputs(for:)`. An output is nil when the model does not use it. Must not keep references.
  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws

  /// Inputs whose memory output 0 may overwrite (same byte count), in order of preference.
  var inPlaceInputs: [Int] { get }

  /// True when output 0 is input 0's memory under another shape (Reshape, Squeeze, Identity, …); `run` is then not called
  /// if the planner can alias.
  var isView: Bool { get }

  /// Bytes of scratch memory `run` needs for these inputs, handed over as `context.scratch` (64-byte aligned).
  func scratchByteCount(for inputs: [ValueInfo?], threads: Int) -> Int

  /// A version of this operator prepared for constant inputs (packed weights, chosen kernel), or nil if there is nothing
  /// to gain. Called once per plan; the planner may then drop the constants listed in `consumedInputs` of the result.
  func prepared(for inputs: [ValueInfo?], threads: Int) throws -> (any Operator)?

  /// A version for inputs of exactly these types and shapes, where `run` would otherwise work out in every run, and with
  /// memory from the heap, what a plan can know. Nil, the default: there is nothing to gain.
  func bound(to inputs: [ValueInfo?], threads: Int) throws -> (any Operator)?

  /// Inputs whose original constant memory a prepared operator no longer reads.
  var consumedInputs: [Int] { get }

  /// What a prepared operator depends on besides attributes and constants: plans for other shapes share one whose key is
  /// the same (so that weights are packed once). Nil, the default: it depends on every input's shape.
  func preparationKey(for inputs: [ValueInfo?], threads: Int) -> String?

  /// The algorithm that `run` takes for these inputs, for profiles; nil where there is only one.
  func kernelName(for inputs: [ValueInfo?]) -> String?
}

extension Operator {
  public var inPlaceInputs: [Int] { [] }
  public var isView: Bool { false }
  public func scratchByteCount(for inputs: [ValueInfo?], threads: Int) -> Int { 0 }
  public func prepared(for inputs: [ValueInfo?], threads: Int) throws -> (any Operator)? { nil }
  public func bound(to inputs: [ValueInfo?], threads: Int) throws -> (any Operator)? { nil }
  public var consumedInputs: [Int] { [] }
  public func preparationKey(for inputs: [ValueInfo?], threads: Int) -> String? { nil }
  public func kernelName(for inputs: [ValueInfo?]) -> String? { nil }
}

/// An operator whose results depend on data (NonZero, Unique, Loop, If, sequences, optionals): always run on values.
public protocol DynamicOperator: Sendable {
  func evaluate(_ inputs: [Value?], context: RunContext) throws -> [Value?]
}

/// What operators may use while running.
public struct RunContext {
  public var pool: ThreadPool
  public var scratch: UnsafeMutableRawBufferPointer
  /// Runs a subgraph attribute of If/Loop/Scan/SequenceMap. `captured` values are bound by the executor.
  public var runSubgraph: (_ attribute: String, _ inputs: [Value]) throws -> [Value]
  /// Throws `.cancelled` once the run's cancel token has fired. Long kernels poll between tiles.
  public var checkCancelled: () throws -> Void

  public init(
    pool: ThreadPool, scratch: UnsafeMutableRawBufferPointer = .init(start: nil, count: 0),
    runSubgraph: @escaping (String, [Value]) throws -> [Value] = { name, _ in
      throw Failure(.internalError, "no subgraph '\(name)' is bound")
    },
    checkCancelled: @escaping () throws -> Void = {}
  ) {
    self.pool = pool
    self.scratch = scratch
    self.runSubgraph = runSubgraph
    self.checkCancelled = checkCancelled
  }
}
