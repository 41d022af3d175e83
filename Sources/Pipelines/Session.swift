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
    // Wrong settings must not cost a text encoding.
    let calibrated = try calibratedEntry()
    let options = try calibratedOptions(calibrated)
    let policy = try stepPolicy()
    try validate(options, stepCounts: stepCounts(policy, calibrated))
    let network = try pipeline.noisePredictor.get()
    if let cache = options.cache { try network.cuts.check(branch: cache.branch) }
    let tokenizer = try pipeline.tokenizer.get()
    let tokens = try tokenizer.tokenize(prompt)
    let isGuided = plan.guidanceScale > 1 && !network.embedsGuidance
    let texts = try encode(tokens, negative: isGuided ? try tokenizer.tokenize(plan.options.negativePrompt) : nil)
    var decision = calibratedDecision(try decide(policy, prompt, tokens, texts.prompt), calibrated)
    let predictor = { (images: Int) throws -> GuidedPredictor in
      try GuidedPredictor(
        network: network, prompt: texts.prompt.conditioning, negative: texts.negative?.conditioning,
        shape: [images] + plan.latentShape.dropFirst(), scale: plan.guidanceScale,
        rescale: plan.options.guidanceRescale, batching: plan.options.guidanceBatching, options: runOptions)
    }
    if plan.options.deadlineMilliseconds > 0 {
      decision = try limited(decision, predictor: { try predictor(plan.options.count) })
    }
    let scheduler = try makeScheduler(steps: decision.steps)
    let skip = try SkipRun(
      options: options, network: network, scheduler: scheduler,
      elementCount: plan.latentShape.reduce(1, *),
      makeScheduler: { [decision] in try makeScheduler(steps: decision.steps) })
    let (latents, steps) = try denoise(scheduler, predictor: predictor, skip: skip)
    let images = plan.options.decode ? try decode(latents) : []
    remember(steps)
    let report = GenerationReport(
      seed: plan.seed, scheduler: scheduler.className, precision: pipeline.precision, width: plan.width,
      height: plan.height,
      skip: options.skip?.text, cache: options.cache?.text, count: plan.options.count,
      guidanceScale: plan.guidanceScale, guidanceStart: plan.guidanceInterval.start,
      guidanceStop: plan.guidanceInterval.stop, promptTokens: tokens.tokens.count,
      promptWindow: tokens.ids.count, decision: decision, steps: steps,
      stageMilliseconds: times.milliseconds, totalMilliseconds: Clock.milliseconds() - start,
      warnings: warnings(tokens), operators: profiler.map(GenerationReport.operators))
    return GenerationResult(images: images, latents: latents, report: report)
  }

  /// The calibrated way that the option `quality` asks for.
  private func calibratedEntry() throws(Failure) -> AdaptiveProfile.Entry? {
    guard let quality = plan.options.quality else { return nil }
    let folder = pipeline.folder.path
    guard let profile = try AdaptiveProfile(folder: folder) else {
      throw Failure(
        .notFound, "the option 'quality' needs a calibration; `adadiff calibrate` writes it", component: "adaptive",
        file: "\(folder)/\(AdaptiveProfile.fileName)")
    }
    return profile.entry(quality: quality)
  }

  /// A step count that nobody chose is the calibrated one; a policy's choice is kept, and plain entries bound it.
  private func calibratedDecision(_ decision: StepDecision, _ entry: AdaptiveProfile.Entry?) -> StepDecision {
    guard let entry, plan.options.steps == .auto else { return decision }
    guard decision.policy == "scheduler_default" || entry.isPlain && decision.steps > entry.steps else {
      return decision
    }
    return StepDecision(steps: entry.steps, policy: "calibrated", reason: "\(entry.name) reaches the quality")
  }

  private func calibratedOptions(_ entry: AdaptiveProfile.Entry?) throws(Failure) -> GenerationOptions {
    var options = plan.options
    guard let entry, options.skip == nil, options.cache == nil else { return options }
    // A mask keeps its shape where the policy or the caller takes another number of steps.
    let stretches = entry.skip.hasPrefix("fixed-mask:") && !entry.skip.contains("resample=")
    if !entry.skip.isEmpty { options.skip = try SkipSettings(entry.skip + (stretches ? ",resample=true" : "")) }
    if !entry.cache.isEmpty { options.cache = try FeatureCacheSettings(entry.cache) }
    return options
  }

  /// Tokenizes, encodes and decides; no deadline, since nothing is run.
  func decision(for prompt: String) throws -> StepDecision {
    let policy = try stepPolicy()
    let tokens = try pipeline.tokenizer.get().tokenize(prompt)
    return try decide(policy, prompt, tokens, encode(tokens, negative: nil).prompt)
  }

  private func warnings(_ tokens: TokenizedPrompt) -> [String] {
    guard tokens.isTruncated else { return [] }
    let warning = "the prompt has \(tokens.tokens.count) tokens; the model sees the first \(tokens.ids.count)"
    callbacks.log?(.warning, "tokenizer", warning)
    return [warning]
  }

  /// Who decides where the caller left the steps open; nil: nobody.
  private func stepPolicy() throws -> (any StepPolicy)? {
    guard plan.options.steps == .auto else { return nil }
    guard let wanted = plan.options.policy else { return pipeline.policy }
    return try pipeline.policies.policy(wanted)
  }

  /// Every number of steps that the run may come to take.
  private func stepCounts(_ policy: (any StepPolicy)?, _ entry: AdaptiveProfile.Entry?) -> [Int] {
    var counts = [entry?.steps ?? StableDiffusionPipeline.defaultSteps]
    if case .fixed(let steps) = plan.options.steps {
      counts = [steps]
    } else if let policy {
      counts = policy.choices(default: StableDiffusionPipeline.defaultSteps)
      if let entry, entry.isPlain { counts = counts.map { min($0, entry.steps) } }
    }
    // A deadline may cut any of them short.
    return plan.options.deadlineMilliseconds > 0 ? Array(1...(counts.max() ?? 1)) : counts
  }

  /// Throws what scheduler and skip rule would throw for any of `stepCounts`.
  private func validate(_ options: GenerationOptions, stepCounts: [Int]) throws(Failure) {
    do throws(Failure) {
      try SchedulerFactory.validate(
        className: options.scheduler, configuration: pipeline.folder.scheduler, eta: options.eta)
    } catch {
      throw error.adding(component: "scheduler")
    }
    for steps in stepCounts {
      do throws(Failure) {
        try SkipRun.validate(options: options, scheduler: try makeScheduler(steps: steps))
      } catch  where options.steps != .fixed(steps) {
        var failure = error
        failure.message += " (this run may take \(steps) steps)"
        throw failure
      }
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

  /// Per call, whether guidance is on.
  private func guidedCalls(_ scheduler: any Scheduler) throws -> [Bool] {
    let network = try pipeline.noisePredictor.get()
    guard plan.guidanceScale > 1, !network.embedsGuidance else {
      return scheduler.timesteps.map { _ in false }
    }
    let trained = try pipeline.folder.scheduler.trainTimesteps
    return scheduler.timesteps.map { plan.guidanceInterval.contains(timestep: $0, trainingTimesteps: trained) }
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

  private func decide(
    _ policy: (any StepPolicy)?, _ prompt: String, _ tokens: TokenizedPrompt, _ text: TextEncoder.Encoding
  ) throws -> StepDecision {
    if case .fixed(let steps) = plan.options.steps {
      return StepDecision(steps: steps, policy: "fixed", reason: "the caller set the number of steps")
    }
    let question = StepQuestion(
      lastHiddenState: text.lastHiddenState,
      attentionMask: try Tensor(type: .int64, shape: [1, tokens.mask.count], values: tokens.mask.map(Int64.init)),
      defaultSteps: StableDiffusionPipeline.defaultSteps, prompt: prompt, seed: plan.seed,
      quality: plan.options.policyQuality)
    guard let policy else {
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

  /// The decision with no more steps than the deadline leaves time for, by the speed of earlier runs of this form, else
  /// by a short measurement.
  private func limited(
    _ decision: StepDecision, predictor: () throws -> GuidedPredictor
  ) throws -> StepDecision {
    try timed(.policy) {
      let deadline = plan.options.deadlineMilliseconds
      let form = RunForm(plan)
      let kinds = try Set([1, decision.steps].flatMap { try guidedCalls(makeScheduler(steps: $0)) })
      let known = pipeline.speeds.withLock { $0[form] }.flatMap { $0.milliseconds(kinds) == nil ? nil : $0 }
      let speed = try known ?? measuredSpeed(predictor(), kinds: kinds)
      let decoding = plan.options.decode ? speed.decodeMilliseconds * Double(plan.options.count) : 0
      let left = deadline * RunSpeed.usableShare - (Clock.milliseconds() - start) - decoding
      let fitting = try speed.stepsFitting(into: left, atMost: decision.steps) {
        try guidedCalls(makeScheduler(steps: $0))
      }
      if fitting == 0 {
        callbacks.log?(.warning, "policy", "the deadline of \(deadline) ms is too short even for one step")
      }
      let possible = max(1, fitting)
      var limited = decision.limited(to: possible)
      limited.facts["deadline_ms"] = deadline
      limited.facts["guided_call_ms"] = speed.guidedCallMilliseconds
      limited.facts["plain_call_ms"] = speed.plainCallMilliseconds
      limited.facts["decode_ms"] = decoding
      limited.facts["left_ms"] = left
      limited.facts["steps_possible"] = Double(possible)
      return limited
    }
  }

  /// Runs network and decoder on noise: once to prepare them, once on the clock.
  private func measuredSpeed(_ predictor: GuidedPredictor, kinds: Set<Bool>) throws -> RunSpeed {
    try callbacks.report(.policy, 0, of: 1, "measuring speed")
    let latents = try Tensor(type: .float32, shape: plan.latentShape)
    var generator = TorchGenerator(seed: 0)
    generator.fillNormal(latents.buffer(Float.self))
    var speed = RunSpeed(decodeMilliseconds: 0)
    var begin = 0.0
    for isGuided in kinds {
      for _ in 0..<2 {
        begin = Clock.milliseconds()
        _ = try predictor.predict(latents: latents, inputScale: 1, timestep: 500, isGuided: isGuided)
      }
      let milliseconds = Clock.milliseconds() - begin
      if isGuided { speed.guidedCallMilliseconds = milliseconds } else { speed.plainCallMilliseconds = milliseconds }
    }
    guard plan.options.decode else { return speed }
    let decoder = try pipeline.decoder.get()
    // The first decoding is slower than those to come; it is only measured again where that costs little.
    for _ in 0..<2 {
      begin = Clock.milliseconds()
      _ = try decoder.decode(
        latents, image: 0, scale: pipeline.folder.vaeScale, tile: plan.options.vaeTiling, options: runOptions)
      speed.decodeMilliseconds = Clock.milliseconds() - begin
      if speed.decodeMilliseconds > 0.05 * plan.options.deadlineMilliseconds { break }
    }
    return speed
  }

  /// Keeps what this run took for the deadlines of later ones.
  private func remember(_ steps: [StepRecord]) {
    guard plan.options.decode else { return }
    func mean(isGuided: Bool) -> Double? {
      // The first call of a kind also makes its plan.
      let calls = steps.filter { $0.action == .run && $0.isGuided == isGuided }.dropFirst().map(\.milliseconds)
      return calls.isEmpty ? nil : calls.reduce(0, +) / Double(calls.count)
    }
    let (guided, plain) = (mean(isGuided: true), mean(isGuided: false))
    guard guided != nil || plain != nil else { return }
    let decoding = (times.milliseconds[.decode] ?? 0) / Double(plan.options.count)
    pipeline.speeds.withLock {
      var speed = $0[RunForm(plan)] ?? RunSpeed(decodeMilliseconds: decoding)
      speed.guidedCallMilliseconds = guided ?? speed.guidedCallMilliseconds
      speed.plainCallMilliseconds = plain ?? speed.plainCallMilliseconds
      speed.decodeMilliseconds = decoding
      $0[RunForm(plan)] = speed
    }
  }

  private func decode(_ latents: Tensor) throws -> [Tensor] {
    let decoder = try pipeline.decoder.get()
    let count = plan.options.count
    return try timed(.decode) {
      try callbacks.report(.decode, 0, of: count)
      return try (0..<count).map { image in
        let pixels = try decoder.decode(
          latents, image: image, scale: pipeline.folder.vaeScale, tile: plan.options.vaeTiling, options: runOptions)
        try callbacks.report(.decode, image + 1, of: count)
        return pixels
      }
    }
  }

  /// The sampling loop. Returns the final latents and what every call did.
  private func denoise(
    _ scheduler: any Scheduler, predictor: @escaping (Int) throws -> GuidedPredictor, skip: SkipRun?
  ) throws -> (latents: Tensor, steps: [StepRecord]) {
    try timed(.denoise) {
      try Sampling(
        plan: plan, callbacks: callbacks, scheduler: scheduler, predictor: predictor(plan.options.count),
        isGuided: guidedCalls(scheduler), skip: skip, makePredictor: predictor
      ).run()
    }
  }
}
