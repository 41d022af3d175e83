import Adaptive
import Graph
import Support

/// What a call is doing; raw values are those of `adadiff_stage`.
public enum Stage: Int32, Sendable, CaseIterable {
  case load = 0
  case textEncode = 1
  case policy = 2
  case denoise = 3
  case decode = 4
  case collect = 5
  case train = 6
  case evaluate = 7

  public var name: String {
    switch self {
    case .load: "load"
    case .textEncode: "text_encode"
    case .policy: "policy"
    case .denoise: "denoise"
    case .decode: "decode"
    case .collect: "collect"
    case .train: "train"
    case .evaluate: "evaluate"
    }
  }
}

/// How far a stage is: `step` of `total` units are finished.
public struct Progress: Sendable {
  public var stage: Stage
  public var step: Int
  public var total: Int
  public var detail: String
}

/// The state after one network call. The tensors are float32 (count, channels, height, width), valid during the callback.
public struct Preview {
  public var step: Int
  public var total: Int
  public var timestep: Double
  public var latents: Tensor
  public var predictedOriginal: Tensor?
  public var action: StepAction
}

/// Raw values are those of `adadiff_log_level`.
public enum LogLevel: Int32, Sendable {
  case debug = 0
  case info = 1
  case warning = 2
  case error = 3
}

/// What the host wants to know and decide during one call. All are called on the calling thread, except `isCancelled`,
/// which worker threads poll.
public struct RunCallbacks {
  /// Throws to end the call.
  public var progress: ((Progress) throws -> Void)?
  public var preview: ((Preview) throws -> Void)?
  /// Inside the library: latents before each solver step and the output that the solver gets, valid during the call.
  package var trace:
    ((_ call: Int, _ latents: UnsafeBufferPointer<Float>, _ output: UnsafeBufferPointer<Float>) -> Void)?
  public var log: ((_ level: LogLevel, _ component: String, _ message: String) -> Void)?
  public var isCancelled: (() -> Bool)?

  public init() {}

  /// Throws `.cancelled` once the token has fired.
  public func checkCancelled() throws {
    if isCancelled?() == true { throw Failure(.cancelled, "the run was cancelled") }
  }

  public func report(_ stage: Stage, _ step: Int, of total: Int, _ detail: String = "") throws {
    try checkCancelled()
    try progress?(Progress(stage: stage, step: step, total: total, detail: detail))
  }
}
