import Adaptive
import Graph
import Support

/// How a pipeline or model is opened.
public struct PipelineOptions: Sendable {
  /// 0: one per available processor.
  public var threads = 0
  public var precision = Precision.float32
  public var lazy = false
  /// Inputs of a model, not a pipeline, whose elements seldom change from run to run.
  public var constantInputs: [String] = []
  /// Inputs of a model, not a pipeline, whose second half along the first axis equals the first.
  public var repeatedInputs: [String] = []

  public init() {}

  public func makePool() -> ThreadPool { threads == 0 ? ThreadPool() : ThreadPool(threads: threads) }
}

/// How many sampling steps a run takes.
public enum StepCount: Sendable, Equatable {
  /// The policy decides.
  case auto
  case fixed(Int)
}

/// Whether the guided and the unguided prediction come from one network call or from two.
public enum GuidanceBatching: String, Sendable, CaseIterable {
  case auto
  case joint
  case separate
}

/// What one run may say. Defaults are those of the C interface.
public struct GenerationOptions: Sendable {
  public var negativePrompt = ""
  public var steps = StepCount.auto
  /// Nil: the pipeline's own policy where it has one.
  public var policy: PolicySpecification?
  /// Where the learned policy decides, 0…1; nil: as trained.
  public var policyQuality: Double?
  /// Time for the whole run; 0: no limit.
  public var deadlineMilliseconds = 0.0
  /// Nil: the pipeline's own scheduler.
  public var scheduler: String?
  /// Nil: the pipeline's own, else 7.5.
  public var guidanceScale: Double?
  /// Where in the noise schedule guidance begins and ends, 0 at pure noise, 1 at the clean picture; nil: the pipeline's
  /// own, else 0 and 1.
  public var guidanceStart: Double?
  public var guidanceStop: Double?
  public var guidanceRescale = 0.0
  public var guidanceBatching = GuidanceBatching.auto
  /// Nil: drawn at random.
  public var seed: UInt64?
  public var count = 1
  /// Pixels; nil: the model's own size.
  public var width: Int?
  public var height: Int?
  /// Nil: the scheduler's own.
  public var eta: Double?
  public var clipSkip = 0
  /// float32 (count, channels, height, width) of standard normal values; nil: drawn.
  public var latents: Tensor?
  /// Nil: the network runs at every step.
  public var skip: SkipSettings?
  /// Nil: the whole network runs.
  public var cache: FeatureCacheSettings?
  /// dB against the full run; picks steps, skip rule and cache from the pipeline's `adaptive.json` where the run names none.
  public var quality: Double?
  public var decode = true
  /// Latent pixels of the tiles that pictures are decoded in; 0: whole pictures.
  public var vaeTiling = 0
  public var profile = false

  public init() {}
}
