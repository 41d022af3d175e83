import Adaptive
import Foundation
import Graph
import Runtime
import Schedulers
import Support
import Testing

@testable import Pipelines

/// Whole runs of the tiny pipeline with rules and caches.
@Suite struct SkipRunTests {
  let pipeline: StableDiffusionPipeline

  init() throws { pipeline = try Fixtures.open() }

  func generate(
    _ scheduler: String? = nil, steps: Int = 12, skip: String = "", cache: String = "", count: Int = 1,
    trace: ((Int, UnsafeBufferPointer<Float>, UnsafeBufferPointer<Float>) -> Void)? = nil
  ) throws -> GenerationResult {
    var options = GenerationOptions()
    options.steps = .fixed(steps)
    options.scheduler = scheduler
    options.seed = 3
    options.count = count
    options.decode = false
    options.skip = skip.isEmpty ? nil : try SkipSettings(skip)
    options.cache = cache.isEmpty ? nil : try FeatureCacheSettings(cache)
    var callbacks = RunCallbacks()
    callbacks.trace = trace
    return try Session(pipeline: pipeline).generate(prompt: "a cat", options: options, callbacks: callbacks)
  }

  static let schedulers = [
    "ddim", "euler", "euler_a", "dpmpp_2m", "dpmpp_2m_sde", "unipc", "pndm", "lcm", "heun", "ddpm", "lms", "dpmpp_2s",
  ]

  /// Every rule runs with every solver, skips something, and the report tells what.
  @Test(arguments: schedulers)
  func everyRuleWithEveryScheduler(_ scheduler: String) throws {
    for rule in [
      "third-order:delta=100", "third-order-vector:delta=100", "every:n=3", "every:n=3,order=0,of=velocity", "zeus",
      "easycache:threshold=100", "ucache:threshold=100", "sada", "step-control:tolerance=10",
      "step-control:controller=third-order,tolerance=10", "every:n=2,of=original,in=timestep", "every:in=sigma",
    ] {
      let result = try generate(scheduler, skip: rule)
      let report = result.report
      #expect(report.networkCalls < report.steps.count, "\(rule)")
      #expect(report.mask.count == report.steps.count && report.mask.first == "R")
      #expect(report.json["mask"]?.string == report.mask)
      #expect(report.json["skip"]?.string == rule)
      #expect(result.latents.isFinite)
    }
  }

  /// Equal masks give equal latents, whatever rule made them.
  @Test func reportedMasksReplay() throws {
    let made = try generate(steps: 16, skip: "third-order:delta=0.05")
    let replayed = try generate(steps: 16, skip: "fixed-mask:mask=\(made.report.mask),correct=false")
    #expect(replayed.report.mask == made.report.mask)
    #expect(withExtendedLifetime((made, replayed)) { made.latents.bytes.elementsEqual(replayed.latents.bytes) })
  }

  @Test func aMaskOfRunsChangesNothing() throws {
    for scheduler in ["ddim", "dpmpp_2m", "euler", "unipc"] {
      let plain = try generate(scheduler)
      let masked = try generate(scheduler, skip: "fixed-mask:mask=RRRRRRRRRRRR")
      #expect(PictureQuality.relativeError(masked.latents, plain.latents) == 0)
    }
  }

  /// With DDIM, repeating a noise prediction is exactly one longer step: half the steps on the same grid.
  @Test func reuseWithDDIMIsALongerStep() throws {
    var outputs: [[Float]] = []
    _ = try generate("ddim", skip: "every:n=2,order=0,correct=false") { _, _, output in outputs.append(Array(output)) }
    for call in stride(from: 0, to: outputs.count, by: 2) { #expect(outputs[call] == outputs[call + 1]) }
  }

  /// A solver whose outputs are corrected ends where it would have gone with the corrected outputs: a network that is a
  /// polynomial in log-SNR, whatever the latents, is followed exactly although most calls are skipped.
  @Test(arguments: ["ddim", "euler", "dpmpp_2m", "dpmpp_2m_sde", "ddpm", "euler_a"], ["epsilon", "v_prediction"])
  func correctionIsExactForPolynomials(_ scheduler: String, _ prediction: String) throws {
    let (steps, count) = (20, 6)
    func run(_ skip: String) throws -> [Float] {
      let configuration = try stableDiffusionSchedule(prediction)
      func make() throws -> any Scheduler {
        try SchedulerFactory.make(className: scheduler, configuration: configuration, steps: steps)
      }
      let solver = try make()
      let context = SkipContext(
        calls: steps, schedulerClass: solver.className, allowsCorrection: solver.allowsCorrection,
        hasFeatureCache: false, images: 1)
      let trajectory = try SkipTrajectory(
        settings: SkipSettings(skip), context: context, scheduler: solver, response: try make(), offset: 0,
        count: count)
      var generator = TorchGenerator(seed: 1)
      var sample = [Float](repeating: 0, count: count)
      sample.withUnsafeMutableBufferPointer { generator.fillNormal($0) }
      for index in sample.indices { sample[index] *= Float(solver.initialNoiseSigma) }
      try solver.begin(elementCount: count, imageCount: 1)
      for call in 0..<steps {
        let form = solver.epsilonForm(call: call)
        let ratio = solver.signalScale(call: call) / solver.noiseScale(call: call)
        let decision = trajectory.decide(call: call, sample: &sample)
        var output = [Float](repeating: 0, count: count)
        if decision.action == .run {
          for index in 0..<count {
            // ε = cubic in log-SNR, one per element.
            let x = log(ratio) / 5
            let epsilon = Double(index) * 0.1 + x - 0.5 * x * x + Double(index - 3) * 0.3 * x * x * x
            output[index] = Float((epsilon - form.sample * Double(sample[index])) / form.output)
          }
          try trajectory.learn(call: call, sample: &sample, output: &output)
        } else {
          try trajectory.predict(decision, call: call, sample: &sample, into: &output)
        }
        var noise = [Float](repeating: 0, count: count)
        noise.withUnsafeMutableBufferPointer { generator.fillNormal($0) }
        try noise.withUnsafeBufferPointer { noise in
          try output.withUnsafeBufferPointer { output in
            try sample.withUnsafeMutableBufferPointer { sample in
              try solver.step(
                call: call, modelOutput: output, sample: sample,
                noise: { () throws(Failure) -> UnsafeBufferPointer<Float> in noise })
            }
          }
        }
        trajectory.finish(call: call, sample: &sample)
      }
      return sample
    }
    let full = try run("fixed-mask:mask=RRRRRRRRRRRRRRRRRRRR")
    // Degree 2 from three calls, degree 3 with the call that ends each stretch.
    let corrected = try run("fixed-mask:mask=RRR00R00R00R0R000RRR,order=2,correct=true")
    let uncorrected = try run("fixed-mask:mask=RRR00R00R00R0R000RRR,order=2,correct=false")
    let error = Fixtures.relativeError(corrected, full)
    // Single precision over twenty steps.
    #expect(error < 2e-5)
    #expect(Fixtures.relativeError(uncorrected, full) > 20 * error)
  }

  /// Each image of a batch gets the decisions and the latents it has alone.
  @Test func imagesOfABatchDecideByThemselves() throws {
    let rule = "third-order:delta=0.03,per_image=true"
    let batch = try generate(steps: 16, skip: rule, count: 3)
    let actions = batch.report.steps.map(\.imageActions)
    #expect(actions.allSatisfy { $0.count == 3 })
    for (step, images) in zip(batch.report.steps, actions) {
      #expect(images.contains(step.action))
      #expect(step.action != .reuse || images.allSatisfy { $0 == .reuse })
    }
    // All images together have one decision.
    #expect(try generate(steps: 16, skip: "third-order", count: 3).report.steps.allSatisfy { $0.imageActions.isEmpty })
  }

  @Test func protectedCallsRun() throws {
    let mask = try generate(skip: "every:n=12,protect_last=3").report.mask
    #expect(mask.suffix(3) == "RRR" && mask.contains("E"))
  }

  @Test func budgetBoundsTheCalls() throws {
    for budget in 4...8 {
      let report = try generate(steps: 20, skip: "step-control:tolerance=1e-9,budget=\(budget)").report
      #expect(report.networkCalls <= budget)
      #expect(report.mask.last == "R")
    }
  }

  // MARK: Feature cache

  /// A partial step on a feature that was kept a moment ago computes what the whole network computes.
  @Test func theOuterNetworkEqualsTheWholeOnAFreshFeature() throws {
    let network = try pipeline.noisePredictor.get()
    #expect(network.cuts.names.count > 2)
    var generator = TorchGenerator(seed: 0)
    let sample = try Tensor(type: .float32, shape: [2, 4, 8, 8])
    generator.fillNormal(sample.buffer(Float.self))
    let hidden = pipeline.folder.hiddenSize ?? 32
    let states = try Tensor(type: .float32, shape: [2, 77, hidden])
    generator.fillNormal(states.buffer(Float.self))
    for branch in network.cuts.names.indices {
      let cache = FeatureCache(branch: branch)
      func predict(_ part: NetworkPart) throws -> Tensor {
        try network.predict(
          sample: sample, timestep: 500, states: network.prepared(states: states), condition: nil, part: part,
          options: RunOptions(pool: pipeline.pool))
      }
      let whole = try predict(.whole)
      let kept = try predict(.keeping(cache))
      let outer = try predict(.outer(cache))
      // Other fusions and layouts round differently.
      #expect(PictureQuality.relativeError(kept, whole) < 1e-5)
      #expect(PictureQuality.relativeError(outer, whole) < 1e-5)
    }
  }

  @Test func partialStepsFollowTheSchedule() throws {
    let report = try generate(cache: "deepcache:interval=3").report
    #expect(report.mask == "RPPRPPRPPRPP")
    #expect(report.networkCalls == 4 && report.partialCalls == 8)
    let mixed = try generate(skip: "fixed-mask:mask=RPSRPERPPRRR", cache: "deepcache:interval=4").report
    #expect(mixed.mask == "RPSRPERPPRRR")
  }

  @Test func branchesThatDoNotExistAreRefused() {
    #expect { _ = try generate(cache: "deepcache:branch=99") } throws: {
      ($0 as? Failure)?.status == .outOfRange && "\($0)".contains("branch 0…")
    }
  }
}
