import Adaptive
import Graph
import Schedulers
import Support

/// Where the network runs during one run: the rule's trajectories and the feature cache's schedule.
final class SkipRun {
  let trajectories: [SkipTrajectory]
  private let cache: FeatureCache?
  private let wholeCalls: Set<Int>
  private var owesWholeCall = true
  private let perImage: Int?

  /// Nil where neither a rule nor a cache is asked for.
  init?(
    options: GenerationOptions, network: NoisePredictor, scheduler: any Scheduler, elementCount: Int,
    makeScheduler: () throws -> any Scheduler
  ) throws {
    guard options.skip != nil || options.cache != nil else { return nil }
    let images = options.count
    if let settings = options.cache {
      try network.cuts.check(branch: settings.branch)
      cache = FeatureCache(branch: settings.branch)
      wholeCalls = Set(settings.wholeCalls(of: scheduler.timesteps.count))
    } else {
      cache = nil
      wholeCalls = []
    }
    guard let skip = options.skip else {
      trajectories = []
      perImage = nil
      return
    }
    let context = Self.context(skip, options: options, scheduler: scheduler)
    let parts = skip.isPerImage ? images : 1
    let count = elementCount / parts
    perImage = skip.isPerImage && images > 1 ? count : nil
    trajectories = try (0..<parts).map { part in
      try SkipTrajectory(
        settings: skip, context: context, scheduler: scheduler,
        response: skip.corrects(context) ? try makeScheduler() : nil, offset: part * count, count: count)
    }
  }

  private static func context(
    _ skip: SkipSettings, options: GenerationOptions, scheduler: any Scheduler
  ) -> SkipContext {
    SkipContext(
      calls: scheduler.timesteps.count, schedulerClass: scheduler.className,
      allowsCorrection: scheduler.allowsCorrection, hasFeatureCache: options.cache != nil, images: options.count)
  }

  /// Throws what the run would throw, before any work.
  static func validate(options: GenerationOptions, scheduler: any Scheduler) throws(Failure) {
    guard let skip = options.skip else { return }
    _ = try skip.makeRule(context(skip, options: options, scheduler: scheduler))
  }

  /// The network's outputs follow another course from the next call on (guidance begins or ends): that call runs, and
  /// nothing from before is used again.
  func restart() {
    for trajectory in trajectories { trajectory.restart() }
    cache?.clear()
  }

  /// What every trajectory does at this call.
  func decide(call: Int, sample: UnsafeMutableBufferPointer<Float>) throws -> [SkipDecision] {
    guard let base = sample.baseAddress else { return [] }
    var decisions = trajectories.map { $0.decide(call: call, sample: UnsafePointer(base + $0.offset)) }
    if trajectories.isEmpty { decisions = [.run(cache == nil ? "every_step" : "whole")] }
    guard let cache else { return decisions }
    if wholeCalls.contains(call) { owesWholeCall = true }
    for index in decisions.indices {
      switch decisions[index].action {
      case .run where !trajectories.isEmpty && decisions[index].reason != "every_step":
        // A rule that asks for the whole network gets it, except where the cache's schedule thins its calls.
        if !owesWholeCall, cache.isFilled, decisions[index].reason != "mask" {
          decisions[index] = SkipDecision(.partial, "cached_feature")
        }
      case .run: if !owesWholeCall, cache.isFilled { decisions[index] = SkipDecision(.partial, "cached_feature") }
      case .partial: if !cache.isFilled { decisions[index] = .run("no_cached_feature") }
      case .reuse, .extrapolate: break
      }
    }
    if decisions.contains(where: { $0.action == .run }) { owesWholeCall = false }
    return decisions
  }

  /// The part of the network for a call that runs it.
  func part(_ decisions: [SkipDecision]) -> NetworkPart {
    guard let cache else { return .whole }
    return decisions.contains { $0.action == .run } ? .keeping(cache) : .outer(cache)
  }

  /// The images for which the network must run; nil: all.
  func imagesToRun(_ decisions: [SkipDecision]) -> [Int]? {
    guard perImage != nil else { return nil }
    let images = decisions.indices.filter { decisions[$0].action == .run }
    return images.count == decisions.count ? nil : images
  }

  var elementsPerImage: Int? { perImage }

  /// Teaches trajectories whose network ran, and fills in the outputs of the others.
  func complete(
    _ decisions: [SkipDecision], call: Int, sample: UnsafeMutableBufferPointer<Float>,
    output: UnsafeMutableBufferPointer<Float>
  ) throws {
    guard let latents = sample.baseAddress, let outputs = output.baseAddress else { return }
    for (trajectory, decision) in zip(trajectories, decisions) {
      let (x, out) = (latents + trajectory.offset, outputs + trajectory.offset)
      switch decision.action {
      case .run, .partial: try trajectory.learn(call: call, sample: x, output: out)
      case .reuse, .extrapolate: try trajectory.predict(decision, call: call, sample: x, into: out)
      }
    }
  }

  func note(call: Int, sample: UnsafeMutableBufferPointer<Float>, output: UnsafeBufferPointer<Float>) {
    guard let latents = sample.baseAddress, let outputs = output.baseAddress else { return }
    for trajectory in trajectories {
      trajectory.note(call: call, sample: latents + trajectory.offset, output: outputs + trajectory.offset)
    }
  }

  func finish(call: Int, sample: UnsafeMutableBufferPointer<Float>) {
    guard let latents = sample.baseAddress else { return }
    for trajectory in trajectories { trajectory.finish(call: call, sample: latents + trajectory.offset) }
  }

  /// What a step of several images is called in the report: the most expensive thing that one of them did.
  static func strongest(_ decisions: [SkipDecision]) -> SkipDecision {
    for action in [StepAction.run, .partial, .extrapolate] {
      if let decision = decisions.first(where: { $0.action == action }) { return decision }
    }
    return decisions.first ?? .run("every_step")
  }
}
