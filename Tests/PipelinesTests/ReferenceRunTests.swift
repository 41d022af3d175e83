import Adaptive
import Foundation
import Graph
import Support
import Testing

@testable import Pipelines

/// One run of diffusers as `cases.json` describes it.
struct ReferenceCase: Decodable, Sendable, CustomStringConvertible {
  var name: String
  var prompt: String
  var negative_prompt: String?
  var seed: UInt64
  var steps: Int
  var guidance_scale: Double
  var guidance_rescale: Double?
  var count: Int?
  var width: Int?
  var height: Int?
  var eta: Double?
  var clip_skip: Int?
  var scheduler: String?
  var latent_shape: [Int]

  var description: String { name }

  var options: GenerationOptions {
    var options = GenerationOptions()
    options.negativePrompt = negative_prompt ?? ""
    options.seed = seed
    options.steps = .fixed(steps)
    options.guidanceScale = guidance_scale
    options.guidanceRescale = guidance_rescale ?? 0
    options.count = count ?? 1
    options.width = width
    options.height = height
    options.eta = eta
    options.clipSkip = clip_skip ?? 0
    options.scheduler = scheduler
    return options
  }

  static let all: [ReferenceCase] = {
    struct File: Decodable { var cases: [ReferenceCase] }
    let url = URL(fileURLWithPath: "\(Fixtures.tiny)/references/cases.json")
    return (try? JSONDecoder().decode(File.self, from: Data(contentsOf: url)).cases) ?? []
  }()
}

@Suite struct ReferenceRunTests {
  let pipeline: StableDiffusionPipeline

  init() throws { pipeline = try Fixtures.open() }

  @Test func casesAreThere() { #expect(ReferenceCase.all.count == 12) }

  /// Seed to latents and pixels: tokenizer, text encoder, generator, guidance, scheduler and decoder together.
  @Test(arguments: ReferenceCase.all)
  func matchesDiffusers(_ reference: ReferenceCase) throws {
    let result = try Session(pipeline: pipeline).generate(prompt: reference.prompt, options: reference.options)
    #expect(result.latents.shape == reference.latent_shape)
    let latents = Array(result.latents.buffer(Float.self))
    // The promise of the library; measured values are near 1e-5 (diffusers steps in float32, we in Double).
    let error = Fixtures.relativeError(latents, try Fixtures.floats("\(reference.name).latents"))
    #expect(error < 1e-3, "latents differ by \(error)")
    let pixels = result.images.flatMap { Array($0.buffer(UInt8.self)) }
    let expected = try Fixtures.bytes("\(reference.name).pixels")
    #expect(pixels.count == expected.count)
    // A value near .5 may round to the other side.
    let largest = zip(pixels, expected).map { abs(Int($0) - Int($1)) }.max() ?? 255
    #expect(largest <= 1)
  }

  @Test func separateGuidanceEqualsJoint() throws {
    let reference = try #require(ReferenceCase.all.first { $0.name == "negative" })
    var options = reference.options
    options.guidanceBatching = .separate
    let result = try Session(pipeline: pipeline).generate(prompt: reference.prompt, options: options)
    let error = Fixtures.relativeError(
      Array(result.latents.buffer(Float.self)), try Fixtures.floats("negative.latents"))
    #expect(error < 1e-3)
  }

  @Test func givenLatentsEqualDrawnOnes() throws {
    let reference = try #require(ReferenceCase.all.first { $0.name == "unguided" })
    var options = reference.options
    var generator = TorchGenerator(seed: reference.seed)
    options.latents = try Tensor(
      type: .float32, shape: reference.latent_shape,
      values: generator.normal(count: reference.latent_shape.reduce(1, *)))
    options.seed = 999
    let result = try Session(pipeline: pipeline).generate(prompt: reference.prompt, options: options)
    let error = Fixtures.relativeError(
      Array(result.latents.buffer(Float.self)), try Fixtures.floats("unguided.latents"))
    #expect(error < 1e-3)
  }

  @Test func runsAreBitIdenticalForAnyNumberOfThreads() throws {
    let reference = try #require(ReferenceCase.all.first { $0.name == "two_images_wide" })
    let one = try Session(pipeline: pipeline).generate(prompt: reference.prompt, options: reference.options)
    var options = PipelineOptions()
    options.threads = 3
    let wide = try StableDiffusionPipeline(path: Fixtures.tiny, options: options, callbacks: RunCallbacks())
    let three = try Session(pipeline: wide).generate(prompt: reference.prompt, options: reference.options)
    #expect(Array(one.latents.buffer(UInt32.self)) == Array(three.latents.buffer(UInt32.self)))
    #expect(zip(one.images, three.images).allSatisfy { Array($0.buffer(UInt8.self)) == Array($1.buffer(UInt8.self)) })
  }

  @Test func policyChoosesTheStepsOfTheReference() throws {
    struct Policy: Decodable {
      var prompt: String
      var probabilities: [Double]
      var steps: Int
    }
    struct File: Decodable { var policy: Policy }
    let url = URL(fileURLWithPath: "\(Fixtures.tiny)/references/cases.json")
    let expected = try JSONDecoder().decode(File.self, from: Data(contentsOf: url)).policy
    var options = GenerationOptions()
    options.seed = 1
    options.decode = false
    let report = try Session(pipeline: pipeline).generate(prompt: expected.prompt, options: options).report
    #expect(report.decision.policy == "tiny")
    #expect(report.decision.steps == expected.steps)
    #expect(report.decision.choices == [5, 10, 20, 50])
    // float32 logits
    #expect(zip(report.decision.probabilities, expected.probabilities).allSatisfy { abs($0 - $1) < 1e-5 })
    #expect(report.steps.count == expected.steps)
    #expect(report.guidanceScale == 5)
  }

  @Test func withoutPolicyTheDefaultIsTakenAndSaid() throws {
    try Fixtures.withCopy { folder in
      try FileManager.default.removeItem(atPath: folder + "/policy")
      var options = GenerationOptions()
      options.seed = 1
      options.decode = false
      let report = try Session(pipeline: Fixtures.open(folder)).generate(prompt: "a cat", options: options).report
      #expect(
        report.decision == StepDecision(steps: 50, policy: "scheduler_default", reason: "the pipeline has no policy"))
      #expect(report.guidanceScale == 7.5)
    }
  }

  @Test func previewShowsTheLatentsOfEveryStep() throws {
    let reference = try #require(ReferenceCase.all.first { $0.name == "negative" })
    var callbacks = RunCallbacks()
    nonisolated(unsafe) var last: [Float] = []
    nonisolated(unsafe) var original: [Float] = []
    nonisolated(unsafe) var steps: [Int] = []
    callbacks.preview = { preview in
      steps.append(preview.step)
      last = Array(preview.latents.buffer(Float.self))
      original = preview.predictedOriginal.map { Array($0.buffer(Float.self)) } ?? []
    }
    let result = try Session(pipeline: pipeline).generate(
      prompt: reference.prompt, options: reference.options, callbacks: callbacks)
    #expect(steps == Array(0..<10))
    #expect(last == Array(result.latents.buffer(Float.self)))
    // After the last step little noise is left (its timestep is 1): both are nearly the same.
    #expect(Fixtures.relativeError(original, last) < 0.1)
  }

  @Test func cancellingLeavesTheSessionUsable() throws {
    let session = Session(pipeline: pipeline)
    var options = GenerationOptions()
    options.steps = .fixed(50)
    options.seed = 1
    var callbacks = RunCallbacks()
    nonisolated(unsafe) var fired = false
    nonisolated(unsafe) var steps = 0
    callbacks.isCancelled = { fired }
    callbacks.preview = { preview in
      steps = preview.step
      if preview.step == 3 { fired = true }
    }
    #expect { try session.generate(prompt: "a cat", options: options, callbacks: callbacks) } throws: {
      ($0 as? Failure)?.status == .cancelled
    }
    #expect(steps == 3)
    options.steps = .fixed(2)
    #expect(try session.generate(prompt: "a cat", options: options).report.steps.count == 2)
  }
}
