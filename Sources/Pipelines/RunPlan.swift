import Glibc
import Graph
import Support

/// What a run will do, checked against the pipeline before any work.
struct RunPlan {
  /// (count, channels, height, width).
  var latentShape: [Int]
  var width: Int
  var height: Int
  var seed: UInt64
  var guidanceScale: Double
  var guidanceInterval: GuidanceInterval
  var options: GenerationOptions

  /// Elements of all latents together; far beyond any picture.
  static let maximumLatentElements = 1 << 28

  init(_ options: GenerationOptions, pipeline: StableDiffusionPipeline) throws(Failure) {
    let folder = pipeline.folder
    let given = options.latents?.shape
    if let given, given.count != 4 {
      throw Failure(
        .shapeMismatch, "initial latents must have four dimensions", expected: "(count, channels, height, width)",
        actual: "\(given)")
    }
    width =
      options.width ?? given.map { $0[3].multipliedReportingOverflow(by: folder.vaeScale).partialValue }
      ?? pipeline.width
    height =
      options.height ?? given.map { $0[2].multipliedReportingOverflow(by: folder.vaeScale).partialValue }
      ?? pipeline.height
    for (name, size) in [("width", width), ("height", height)] {
      guard size >= folder.vaeScale, size <= 16384, size % folder.vaeScale == 0 else {
        throw Failure(
          .outOfRange, "\(name) does not fit this model", expected: "a multiple of \(folder.vaeScale) up to 16384",
          actual: "\(size)")
      }
    }
    latentShape = [options.count, folder.latentChannels, height / folder.vaeScale, width / folder.vaeScale]
    if let given, given != latentShape {
      throw Failure(
        .shapeMismatch, "initial latents have another shape than the run", expected: "\(latentShape)",
        actual: "\(given)")
    }
    let elements = try CheckedSize.product(latentShape, of: "latents")
    guard elements <= Self.maximumLatentElements else {
      throw Failure(
        .outOfMemory, "the latents of this run are too large", expected: "at most \(Self.maximumLatentElements) values",
        actual: "\(latentShape)")
    }
    if let latents = options.latents, !latents.isFinite {
      throw Failure(.notFinite, "initial latents hold NaN or infinity")
    }
    seed = options.seed ?? Self.randomSeed()
    guidanceScale = options.guidanceScale ?? pipeline.guidanceScale
    guidanceInterval = try Self.interval(options, pipeline: pipeline)
    self.options = options
  }

  static func interval(
    _ options: GenerationOptions, pipeline: StableDiffusionPipeline
  ) throws(Failure) -> GuidanceInterval {
    var interval = pipeline.guidanceInterval
    if let start = options.guidanceStart { interval.start = start }
    if let stop = options.guidanceStop { interval.stop = stop }
    guard interval.start <= interval.stop else {
      throw Failure(
        .outOfRange, "guidance would stop before it starts", expected: "guidance_start ≤ guidance_stop",
        actual: "\(interval.start) and \(interval.stop)")
    }
    return interval
  }

  /// 32 bits, as many as torch's generator uses.
  private static func randomSeed() -> UInt64 {
    var generator = SystemRandomNumberGenerator()
    return UInt64(UInt32(truncatingIfNeeded: generator.next()))
  }
}
