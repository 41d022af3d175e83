import Adaptive
import Graph
import Support

/// One line of an evaluation: how the pictures are made.
public struct EvaluationRow: Sendable {
  public var name: String
  /// Nil: as many as the full run.
  public var steps: Int?
  public var skip: String
  public var cache: String

  public init(_ name: String, steps: Int? = nil, skip: String = "", cache: String = "") {
    self.name = name
    self.steps = steps
    self.skip = skip
    self.cache = cache
  }
}

/// What one row's pictures cost and how far they are from the full run's.
public struct EvaluationResult: Sendable {
  public var row: EvaluationRow
  /// Per prompt.
  public var psnr: [Double] = []
  public var latentError: [Double] = []
  public var calls: [Int] = []
  public var partialCalls: [Int] = []
  /// Predictions of the whole network and of its outer part, two at a guided call.
  public var predictions: [Int] = []
  public var partialPredictions: [Int] = []
  /// Of the sampling loop.
  public var milliseconds: [Double] = []
  public var masks: [String] = []
  /// Per call: mean over the first prompts of ‖latents - full run's‖ / ‖full run's‖; rows with the full run's schedule.
  public var errorByCall: [Double] = []

  public var json: JSON {
    func interval(_ values: [Double]) -> JSON {
      let interval = MeanInterval(values)
      return .object(["mean": JSON(interval.mean), "half_width": JSON(interval.halfWidth)])
    }
    return .object([
      "name": JSON(row.name), "skip": JSON(row.skip), "cache": JSON(row.cache),
      "steps": row.steps.map { JSON($0) } ?? .null,
      "psnr": interval(psnr), "latent_error": interval(latentError),
      "network_calls": interval(calls.map(Double.init)), "partial_calls": interval(partialCalls.map(Double.init)),
      "predictions": interval(predictions.map(Double.init)),
      "denoise_ms": interval(milliseconds),
      // Null: the picture is the full run's.
      "psnr_by_prompt": .array(psnr.map { $0.isFinite ? JSON($0) : .null }),
      "latent_error_by_prompt": .array(latentError.map { JSON($0) }),
      "network_calls_by_prompt": .array(calls.map { JSON($0) }),
      "partial_calls_by_prompt": .array(partialCalls.map { JSON($0) }),
      "predictions_by_prompt": .array(predictions.map { JSON($0) }),
      "denoise_ms_by_prompt": .array(milliseconds.map { JSON($0) }),
      "masks": .array(masks.map { JSON($0) }), "error_by_call": .array(errorByCall.map { JSON($0) }),
    ])
  }
}

/// Runs rows against full runs of the same prompts and noise.
public final class SkipEvaluation {
  public let prompts: [String]
  private let session: Session
  private let options: GenerationOptions
  private let steps: Int
  private var references: [GenerationResult] = []
  /// Of the first prompts: latents before each call.
  private var referenceLatents: [[[Float]]] = []
  private static let tracedPrompts = 8

  /// `options` name scheduler, guidance, first seed and steps of the full run.
  public init(
    prompts: [String], pipeline: StableDiffusionPipeline, options: GenerationOptions, callbacks: RunCallbacks
  ) throws {
    guard !prompts.isEmpty else { throw Failure(.invalidArgument, "an evaluation needs prompts") }
    guard case .fixed(let steps) = options.steps else {
      throw Failure(.invalidArgument, "an evaluation needs a fixed number of steps")
    }
    self.prompts = prompts
    self.options = options
    self.steps = steps
    session = Session(pipeline: pipeline)
    for index in prompts.indices {
      var latents: [[Float]] = []
      let result = try run(index, EvaluationRow("full"), callbacks) { latents.append($0) }
      references.append(result)
      if index < Self.tracedPrompts { referenceLatents.append(latents) }
    }
  }

  /// The full run, as a row of its own.
  public var full: EvaluationResult {
    var result = EvaluationResult(row: EvaluationRow("full"))
    for reference in references { append(reference, to: &result) }
    return result
  }

  public func picture(_ prompt: Int) -> Tensor? { references[prompt].images.first }

  private func run(
    _ index: Int, _ row: EvaluationRow, _ callbacks: RunCallbacks, trace: (([Float]) -> Void)?
  ) throws -> GenerationResult {
    var single = options
    single.seed = (options.seed ?? 0) &+ UInt64(index)
    single.steps = .fixed(row.steps ?? steps)
    single.skip = row.skip.isEmpty ? nil : try SkipSettings(row.skip)
    single.cache = row.cache.isEmpty ? nil : try FeatureCacheSettings(row.cache)
    var traced = callbacks
    if let trace, index < Self.tracedPrompts { traced.trace = { _, latents, _ in trace(Array(latents)) } }
    return try session.generate(prompt: prompts[index], options: single, callbacks: traced)
  }

  private func append(_ result: GenerationResult, to row: inout EvaluationResult) {
    row.calls.append(result.report.networkCalls)
    row.partialCalls.append(result.report.partialCalls)
    row.predictions.append(result.report.predictions)
    row.partialPredictions.append(result.report.partialPredictions)
    row.milliseconds.append(result.report.stageMilliseconds[.denoise] ?? 0)
    row.masks.append(result.report.mask)
  }

  /// Makes the pictures of one row. `picture` receives each.
  public func evaluate(
    _ row: EvaluationRow, callbacks: RunCallbacks, picture: ((Int, Tensor) throws -> Void)? = nil
  ) throws -> EvaluationResult {
    var result = EvaluationResult(row: row)
    var errors: [[Double]] = []
    for index in prompts.indices {
      var latents: [[Float]] = []
      let made = try run(index, row, callbacks) { latents.append($0) }
      append(made, to: &result)
      if let image = made.images.first, let reference = references[index].images.first {
        result.psnr.append(PictureQuality.psnr(image, reference))
        try picture?(index, image)
      }
      result.latentError.append(PictureQuality.relativeError(made.latents, references[index].latents))
      if index < referenceLatents.count, latents.count == referenceLatents[index].count {
        errors.append(zip(latents, referenceLatents[index]).map(Self.relativeError))
      }
    }
    if let calls = errors.first?.count {
      result.errorByCall = (0..<calls).map { call in
        errors.reduce(0) { $0 + $1[call] } / Double(errors.count)
      }
    }
    return result
  }

  private static func relativeError(_ a: [Float], _ b: [Float]) -> Double {
    var (difference, size) = (0.0, 0.0)
    for (x, y) in zip(a, b) {
      difference += Double(x - y) * Double(x - y)
      size += Double(y) * Double(y)
    }
    return size > 0 ? (difference / size).squareRoot() : 0
  }
}
