import Schedulers
import Support

/// A pipeline folder in the Optimum layout, as its JSON files describe it. Reads no weights.
struct PipelineFolder: Sendable {
  /// Classes whose sampling loop is that of Stable Diffusion 1.x and 2.x.
  static let knownClasses = [
    "StableDiffusionPipeline", "OnnxStableDiffusionPipeline", "ORTStableDiffusionPipeline",
    "OVStableDiffusionPipeline", "LatentConsistencyModelPipeline", "ORTLatentConsistencyModelPipeline",
  ]

  let path: String
  let className: String
  let scheduler: SchedulerConfiguration
  /// Things that do not stop loading but that a user wants to know.
  let warnings: [String]

  /// Text encoder: features per token; nil when its configuration does not say.
  let hiddenSize: Int?
  /// Tokens the text encoder has positions and embeddings for; nil when its configuration does not say.
  let maximumPositions: Int?
  let vocabularySize: Int?
  /// Layer normalisation epsilon of the text encoder.
  let textNormEpsilon: Double
  /// Whether padding is masked in the text encoder.
  let usesAttentionMask: Bool

  /// Latent channels, and the model's own latent height and width.
  let latentChannels: Int
  let latentHeight: Int
  let latentWidth: Int
  let crossAttentionSize: Int?
  /// Features of the guidance embedding of distilled models (LCM); nil for others.
  let timeConditionSize: Int?

  /// Pixels per latent pixel, along each axis.
  let vaeScale: Int
  /// latents = (encoded - shift) * scaling.
  let scalingFactor: Double
  let shiftFactor: Double

  init(path: String) throws(Failure) {
    self.path = path
    let index = try Self.index(in: path)
    guard let className = try index.text("_class_name") else {
      throw Failure(.corrupt, "'_class_name' is missing", file: index.file)
    }
    guard Self.knownClasses.contains(className) else {
      throw Failure(
        .unsupported, "pipelines of class '\(className)' are not supported", file: index.file,
        expected: "one of \(Self.knownClasses.joined(separator: ", "))", actual: className)
    }
    self.className = className
    var warnings: [String] = []

    let schedulerFile = path + "/scheduler/scheduler_config.json"
    let schedulerJSON = try ConfigurationFile(schedulerFile, component: "scheduler").json
    do {
      scheduler = try SchedulerConfiguration(json: schedulerJSON, file: schedulerFile)
    } catch {
      throw error.adding(component: "scheduler", file: schedulerFile)
    }
    if let name = scheduler.className {
      if !SchedulerFactory.isKnown(name) {
        warnings.append("scheduler class '\(name)' is not known; runs must name another one")
      }
    } else {
      warnings.append("scheduler_config.json names no class; runs must name a scheduler")
    }
    self.warnings = warnings

    let text = try ConfigurationFile(path + "/text_encoder/config.json", component: "text_encoder")
    hiddenSize = try text.integer("hidden_size", in: 1...65536)
    maximumPositions = try text.integer("max_position_embeddings", in: 2...65536)
    vocabularySize = try text.integer("vocab_size", in: 1...(1 << 24))
    textNormEpsilon = try text.number("layer_norm_eps") ?? 1e-5
    usesAttentionMask = try text.flag("use_attention_mask") ?? false

    let unet = try ConfigurationFile(path + "/unet/config.json", component: "unet")
    latentChannels = try unet.integer("in_channels", in: 1...4096) ?? 4
    if let outputs = try unet.integer("out_channels", in: 1...8192), outputs != latentChannels {
      throw Failure(
        .unsupported, "the network predicts another number of channels than it reads", component: "unet",
        file: unet.file, expected: "\(latentChannels) channels", actual: "\(outputs)")
    }
    crossAttentionSize =
      try unet.json["cross_attention_dim"]?.array == nil
      ? unet.integer("cross_attention_dim", in: 1...65536) : nil
    timeConditionSize = try unet.integer("time_cond_proj_dim", in: 2...65536)
    if let addition = try unet.text("addition_embed_type") {
      throw Failure(
        .unsupported, "additional embeddings of type '\(addition)' (as SDXL uses) are not supported", component: "unet",
        file: unet.file)
    }
    (latentHeight, latentWidth) = try Self.sampleSize(unet)
    if let hiddenSize, let crossAttentionSize, hiddenSize != crossAttentionSize {
      throw Failure(
        .shapeMismatch, "the text encoder's features do not fit the network's cross_attention_dim", component: "unet",
        file: unet.file, expected: "\(hiddenSize)", actual: "\(crossAttentionSize)")
    }

    let vae = try ConfigurationFile(path + "/vae_decoder/config.json", component: "vae_decoder")
    vaeScale = try Self.vaeScale(vae)
    // Diffusers' default, that of Stable Diffusion 1.x.
    scalingFactor = try vae.number("scaling_factor") ?? 0.18215
    shiftFactor = try vae.number("shift_factor") ?? 0
    guard scalingFactor != 0 else {
      throw Failure(.outOfRange, "'scaling_factor' must not be 0", component: "vae_decoder", file: vae.file)
    }
    if let channels = try vae.integer("latent_channels", in: 1...4096), channels != latentChannels {
      throw Failure(
        .shapeMismatch, "the decoder's latent channels do not fit the network's", component: "vae_decoder",
        file: vae.file, expected: "\(latentChannels)", actual: "\(channels)")
    }
  }

  private static func index(in path: String) throws(Failure) -> ConfigurationFile {
    do {
      return try ConfigurationFile(path + "/model_index.json", component: "pipeline")
    } catch let failure where failure.status == .notFound {
      throw Failure(
        .notFound, "no pipeline folder (model_index.json is missing)", component: "pipeline",
        file: path + "/model_index.json")
    }
  }

  /// `sample_size`: one number or [height, width]; 64 where absent, as Stable Diffusion.
  private static func sampleSize(_ unet: ConfigurationFile) throws(Failure) -> (height: Int, width: Int) {
    let range = 1...4096
    if let sizes = unet.json["sample_size"]?.array {
      guard sizes.count == 2, let height = sizes[0].int, let width = sizes[1].int, range.contains(height),
        range.contains(width)
      else { throw unet.wrong("sample_size", expected: "[height, width]", .array(sizes)) }
      return (height, width)
    }
    let size = try unet.integer("sample_size", in: range) ?? 64
    return (size, size)
  }

  /// 2 to the number of downsamplings, one less than the levels of `block_out_channels`.
  private static func vaeScale(_ vae: ConfigurationFile) throws(Failure) -> Int {
    guard let value = vae.json["block_out_channels"], !value.isNull else { return 8 }
    guard let levels = value.array, (1...8).contains(levels.count) else {
      throw vae.wrong("block_out_channels", expected: "a list of 1 to 8 numbers", value)
    }
    return 1 << (levels.count - 1)
  }
}
