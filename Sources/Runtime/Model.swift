import Graph
import Operators
import Support

/// Name and declared ONNX type of a model input or output.
public struct TensorDescription: Sendable, Hashable {
  public var name: String
  public var type: DeclaredType

  public init(name: String, type: DeclaredType) {
    self.name = name
    self.type = type
  }
}

/// How a model is loaded.
public struct ModelOptions: Sendable {
  /// Runs use this pool unless `RunOptions.pool` names another; nil: a pool of one thread per available processor.
  public var pool: ThreadPool?
  /// Plan the graph (fold, fuse, assign memory). Off: every node runs as the file writes it; slow, for checking.
  public var optimized = true

  public init(pool: ThreadPool? = nil, optimized: Bool = true) {
    self.pool = pool
    self.optimized = optimized
  }
}

/// What one run may say.
public struct RunOptions {
  public var pool: ThreadPool?
  /// Polled between nodes and inside long kernels; throws `.cancelled` when the run's token has fired.
  public var checkCancelled: (() throws -> Void)?
  /// Receives the time of every node.
  public var profiler: Profiler?

  public init(pool: ThreadPool? = nil, checkCancelled: (() throws -> Void)? = nil, profiler: Profiler? = nil) {
    self.pool = pool
    self.checkCancelled = checkCancelled
    self.profiler = profiler
  }
}

/// An ONNX model ready to run. Immutable from outside; several threads may run it at the same time.
public final class Model: @unchecked Sendable {
  public let inputs: [TensorDescription]
  public let outputs: [TensorDescription]

  /// Loads the ONNX file at `path`. Every operator without an implementation is reported here, never at run time.
  public init(path: String, options: ModelOptions = ModelOptions()) throws {
    throw Failure(.unsupported, "not implemented yet")
  }

  /// Runs the model. `feeds` holds one tensor per input name; `outputs` nil asks for all outputs.
  public func run(
    _ feeds: [String: Tensor], outputs: [String]? = nil, options: RunOptions = RunOptions()
  ) throws -> [String: Tensor] {
    throw Failure(.unsupported, "not implemented yet")
  }
}
