import Adaptive
import Glibc
import Graph
import Runtime
import Support
import Synchronization

/// Text to image with Stable Diffusion 1.x and 2.x: the weights and settings of one pipeline folder.
///
/// Immutable after opening; any number of sessions on any threads share it.
public final class StableDiffusionPipeline: Sendable {
  let folder: PipelineFolder
  let pool: ThreadPool
  /// Of the denoising network; text encoder and decoder take `Precision.aroundNetwork`.
  public let precision: Precision
  let tokenizer: LazyComponent<PromptTokenizer>
  let textEncoder: LazyComponent<TextEncoder>
  let noisePredictor: LazyComponent<NoisePredictor>
  let decoder: LazyComponent<LatentDecoder>
  let policy: LearnedStepPolicy?
  let policies: StepPolicyFactory
  /// What runs of each form took on this machine.
  let speeds = Mutex<[RunForm: RunSpeed]>([:])
  /// Things a user wants to know although the pipeline works.
  public let warnings: [String]

  /// Steps of a run that nobody decides about, as diffusers.
  static let defaultSteps = 50
  /// Guidance scale of a run that names none, as diffusers.
  static let defaultGuidanceScale = 7.5

  /// Reads `path/model_index.json` and every component (with `lazy`, only their JSON files and the policy).
  public init(path: String, options: PipelineOptions, callbacks: RunCallbacks) throws {
    guard !path.isEmpty else { throw Failure(.invalidArgument, "the pipeline path is empty") }
    try callbacks.report(.load, 0, of: 5, "configuration")
    let folder = try PipelineFolder(path: path)
    let pool = options.makePool()
    self.folder = folder
    self.pool = pool
    let precision = options.precision
    self.precision = precision
    warnings = folder.warnings
    for warning in warnings { callbacks.log?(.warning, "pipeline", warning) }
    tokenizer = LazyComponent { try PromptTokenizer(folder: folder) }
    textEncoder = LazyComponent { try TextEncoder(folder: folder, pool: pool, precision: precision.aroundNetwork) }
    noisePredictor = LazyComponent { try NoisePredictor(folder: folder, pool: pool, precision: precision) }
    decoder = LazyComponent { try LatentDecoder(folder: folder, pool: pool, precision: precision.aroundNetwork) }

    try callbacks.report(.load, 0, of: 5, "policy")
    let policyFolder = path + "/policy"
    policy =
      access(policyFolder + "/policy.json", F_OK) == 0
      ? try LearnedStepPolicy(folder: policyFolder, textHiddenSize: folder.hiddenSize, pool: pool) : nil
    policies = StepPolicyFactory(
      folder: policyFolder, learned: policy, textHiddenSize: folder.hiddenSize, pool: pool)
    if !options.lazy {
      try callbacks.report(.load, 1, of: 5, "tokenizer")
      _ = try tokenizer.get()
      try callbacks.report(.load, 2, of: 5, "text_encoder")
      _ = try textEncoder.get()
      try callbacks.report(.load, 3, of: 5, "unet")
      _ = try noisePredictor.get()
      try callbacks.report(.load, 4, of: 5, "vae_decoder")
      _ = try decoder.get()
    }
    try callbacks.report(.load, 5, of: 5, "ready")
  }

  /// Tokens of a text: `input_ids` and `attention_mask` int64 (1, window), `token_ids` int64 (n).
  public func tokenize(_ text: String) throws -> [(name: String, tensor: Tensor)] {
    let prompt = try tokenizer.get().tokenize(text)
    let window = [1, prompt.ids.count]
    return [
      ("input_ids", try Tensor(type: .int64, shape: window, values: prompt.ids.map(Int64.init))),
      ("attention_mask", try Tensor(type: .int64, shape: window, values: prompt.mask.map(Int64.init))),
      ("token_ids", try Tensor(int64: prompt.tokens.map(Int64.init))),
    ]
  }

  /// Guidance scale of a run that names none.
  public var guidanceScale: Double { policy?.guidanceScale ?? Self.defaultGuidanceScale }

  /// Guidance interval of a run that names none.
  var guidanceInterval: GuidanceInterval {
    GuidanceInterval(start: policy?.guidanceStart ?? 0, stop: policy?.guidanceStop ?? 1)
  }

  /// Pixels of a run that names none.
  public var width: Int { folder.latentWidth * folder.vaeScale }
  public var height: Int { folder.latentHeight * folder.vaeScale }

  /// Facts for people and tools.
  public var information: JSON {
    .object([
      "class": JSON(folder.className),
      "path": JSON(folder.path),
      "components": .array(
        ["tokenizer", "text_encoder", "unet", "vae_decoder", "scheduler"] + (policy == nil ? [] : ["policy"])),
      "scheduler": folder.scheduler.className.map { JSON($0) } ?? .null,
      "width": JSON(width),
      "height": JSON(height),
      "latent_channels": JSON(folder.latentChannels),
      "latent_height": JSON(folder.latentHeight),
      "latent_width": JSON(folder.latentWidth),
      "vae_scale": JSON(folder.vaeScale),
      "scaling_factor": JSON(folder.scalingFactor),
      "hidden_size": folder.hiddenSize.map { JSON($0) } ?? .null,
      "guidance_scale": JSON(guidanceScale),
      "guidance_start": JSON(guidanceInterval.start),
      "guidance_stop": JSON(guidanceInterval.stop),
      "default_steps": JSON(Self.defaultSteps),
      "policy": policy.map { JSON($0.name) } ?? .null,
      "step_set": policy.map { .array($0.stepSet.map { JSON($0) }) } ?? .null,
      "precision": JSON(precision.rawValue),
      "threads": JSON(pool.threads),
      "warnings": .array(warnings.map { JSON($0) }),
    ])
  }
}

extension StableDiffusionPipeline {
  /// Operations of one network call at the pipeline's own size on `batch` latents; `branch`: of the network's outer part
  /// from that skip connection on.
  public func multiplyAccumulates(batch: Int, branch: Int? = nil) throws -> MultiplyAccumulates {
    let network = try noisePredictor.get()
    let encoder = try textEncoder.get().encode(
      try tokenizer.get().tokenize(""), clipSkip: 0, options: RunOptions(pool: pool))
    return try network.multiplyAccumulates(
      batch: batch, latentShape: [1, folder.latentChannels, folder.latentHeight, folder.latentWidth],
      states: encoder.conditioning.shape, branch: branch)
  }
}
