import Adaptive
import Graph
import Runtime
import Schedulers
import Support
import Synchronization

/// One run at a time on a shared pipeline.
public final class Session: Sendable {
  public let pipeline: StableDiffusionPipeline
  private let isBusy = Atomic<Bool>(false)

  public init(pipeline: StableDiffusionPipeline) { self.pipeline = pipeline }

  /// Text to image. Throws `.cancelled` when a callback or the token ends the run; the session stays usable.
  public func generate(
    prompt: String, options: GenerationOptions = GenerationOptions(), callbacks: RunCallbacks = RunCallbacks()
  ) throws -> GenerationResult {
    guard isBusy.compareExchange(expected: false, desired: true, ordering: .acquiringAndReleasing).exchanged else {
      throw Failure(.invalidArgument, "the session is in use by another run; make one session per thread")
    }
    defer { isBusy.store(false, ordering: .releasing) }
    let run = Run(pipeline: pipeline, plan: try RunPlan(options, pipeline: pipeline), callbacks: callbacks)
    return try run.generate(prompt: prompt)
  }
}

/// Time per stage of one run.
private final class StageTimes {
  var milliseconds: [Stage: Double] = [:]
}

/// The walk of one run: text, policy, sampling, decoding.
struct Run {
  let pipeline: StableDiffusionPipeline
  let plan: RunPlan
  let callbacks: RunCallbacks
  private let start = Clock.milliseconds()
  private let profiler: Profiler?
  private let runOptions: RunOptions
  private let times = StageTimes()

  init(pipeline: StableDiffusionPipeline, plan: RunPlan, callbacks: RunCallbacks) {
    self.pipeline = pipeline
    self.plan = plan
    self.callbacks = callbacks
    profiler = plan.options.profile ? Profiler() : nil
    runOptions = RunOptions(
      pool: pipeline.pool, checkCancelled: { try callbacks.checkCancelled() }, profiler: profiler)
  }

  private func timed<Result>(_ stage: Stage, _ body: () throws -> Result) rethrows -> Result {
    let begin = Clock.milliseconds()
    defer { times.milliseconds[stage, default: 0] += Clock.milliseconds() - begin }
    return try body()
  }

  func generate(prompt: String) throws -> GenerationResult {
    // A wrong scheduler name or number of steps must not cost a text encoding.
    try validateScheduler()
    let tokenizer = try pipeline.tokenizer.get()
    let tokens = try tokenizer.tokenize(prompt)
    let network = try pipeline.noisePredictor.get()
    let isGuided = plan.guidanceScale > 1 && !network.embedsGuidance
    let texts = try encode(tokens, negative: isGuided ? try tokenizer.tokenize(plan.options.negativePrompt) : nil)
    let decision = try decide(tokens, texts.prompt)
    let scheduler = try makeScheduler(steps: decision.steps)
    let (latents, steps) = try denoise(
      scheduler,
      predictor: GuidedPredictor(
        network: network, prompt: texts.prompt.conditioning, negative: texts.negative?.conditioning,
        shape: plan.latentShape, scale: plan.guidanceScale, rescale: plan.options.guidanceRescale,
        batching: plan.options.guidanceBatching, options: runOptions))
    let images = plan.options.decode ? try decode(latents) : []
    let report = GenerationReport(
      seed: plan.seed, scheduler: scheduler.className, width: plan.width, height: plan.height,
      count: plan.options.count, guidanceScale: plan.guidanceScale, promptTokens: tokens.tokens.count,
      promptWindow: tokens.ids.count, decision: decision, steps: steps,
      stageMilliseconds: times.milliseconds, totalMilliseconds: Clock.milliseconds() - start,
      warnings: warnings(tokens), operators: profiler.map(GenerationReport.operators))
    return GenerationResult(images: images, latents: latents, report: report)
  }

  private func warnings(_ tokens: TokenizedPrompt) -> [String] {
    guard tokens.isTruncated else { return [] }
    let warning = "the prompt has \(tokens.tokens.count) tokens; the model sees the first \(tokens.ids.count)"
    callbacks.log?(.warning, "tokenizer", warning)
    return [warning]
  }

  private func validateScheduler() throws {
    do throws(Failure) {
      try SchedulerFactory.validate(
        className: plan.options.scheduler, configuration: pipeline.folder.scheduler, eta: plan.options.eta)
      if case .fixed(let steps) = plan.options.steps { _ = try makeScheduler(steps: steps) }
    } catch {
      throw error.adding(component: "scheduler")
    }
  }

  private func makeScheduler(steps: Int) throws(Failure) -> any Scheduler {
    do throws(Failure) {
      return try SchedulerFactory.make(
        className: plan.options.scheduler, configuration: pipeline.folder.scheduler, steps: steps, eta: plan.options.eta
      )
    } catch {
      throw error.adding(component: "scheduler")
    }
  }

  private func encode(
    _ tokens: TokenizedPrompt, negative: TokenizedPrompt?
  ) throws -> (prompt: TextEncoder.Encoding, negative: TextEncoder.Encoding?) {
    let encoder = try pipeline.textEncoder.get()
    let total = negative == nil ? 1 : 2
    return try timed(.textEncode) {
      try callbacks.report(.textEncode, 0, of: total, "prompt")
      let prompt = try encoder.encode(tokens, clipSkip: plan.options.clipSkip, options: runOptions)
      try callbacks.report(.textEncode, 1, of: total, negative == nil ? "done" : "negative prompt")
      let encodedNegative = try negative.map {
        // As diffusers: the negative prompt always takes the last hidden state.
        try encoder.encode($0, clipSkip: 0, options: runOptions)
      }
      if negative != nil { try callbacks.report(.textEncode, 2, of: total, "done") }
      return (prompt, encodedNegative)
    }
  }

  private func decide(_ tokens: TokenizedPrompt, _ text: TextEncoder.Encoding) throws -> StepDecision {
    if case .fixed(let steps) = plan.options.steps {
      return StepDecision(steps: steps, policy: "fixed", reason: "the caller set the number of steps")
    }
    let question = StepQuestion(
      lastHiddenState: text.lastHiddenState,
      attentionMask: try Tensor(type: .int64, shape: [1, tokens.mask.count], values: tokens.mask.map(Int64.init)),
      defaultSteps: StableDiffusionPipeline.defaultSteps)
    let policy: any StepPolicy
    switch (plan.options.policy, pipeline.policy) {
    case (StepPolicyNames.fixed?, _): policy = FixedStepPolicy()
    case (_, let learned?): policy = learned
    case (StepPolicyNames.learned?, nil):
      throw Failure(
        .notFound, "the pipeline has no learned policy", component: "policy",
        file: pipeline.folder.path + "/policy/policy.json")
    case (_, nil):
      return StepDecision(
        steps: question.defaultSteps, policy: "scheduler_default", reason: "the pipeline has no policy")
    }
    let checkCancelled = { [callbacks] in try callbacks.checkCancelled() }
    return try timed(.policy) {
      try callbacks.report(.policy, 0, of: 1, policy.name)
      let decision = try policy.decide(question, checkCancelled: checkCancelled)
      try callbacks.report(.policy, 1, of: 1, "\(decision.steps) steps")
      return decision
    }
  }

  private func decode(_ latents: Tensor) throws -> [Tensor] {
    let decoder = try pipeline.decoder.get()
    let count = plan.options.count
    return try timed(.decode) {
      try callbacks.report(.decode, 0, of: count)
      return try (0..<count).map { image in
        let pixels = try decoder.decode(latents, image: image, scale: pipeline.folder.vaeScale, options: runOptions)
        try callbacks.report(.decode, image + 1, of: count)
        return pixels
      }
    }
  }

  /// The sampling loop. Returns the final latents and what every call did.
  private func denoise(
    _ scheduler: any Scheduler, predictor: GuidedPredictor
  ) throws -> (latents: Tensor, steps: [StepRecord]) {
    try timed(.denoise) {
      try Sampling(plan: plan, callbacks: callbacks, scheduler: scheduler, predictor: predictor).run()
    }
  }
}
