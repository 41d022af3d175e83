import Foundation
import Support
import Testing

@testable import Schedulers

/// Trajectories recorded from diffusers (`Tests/Fixtures/schedulers/make_schedulers.py`).
struct TrajectoryTests {
  /// diffusers rounds its coefficients to float32; ours are Double. The bound is the library's promise.
  static let tolerance = 1e-4

  static let fixture: JSON? = {
    let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Fixtures/schedulers/trajectories.json").path
    return try? JSON.parse(file: path)
  }()

  static let classNames = [
    "DDIMScheduler", "DDPMScheduler", "PNDMScheduler", "LMSDiscreteScheduler", "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler", "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler", "UniPCMultistepScheduler", "LCMScheduler", "TCDScheduler",
    "FlowMatchEulerDiscreteScheduler",
  ]

  /// The network of the script: elementwise, of the scaled latents and the timestep.
  static func network(_ x: Double, _ t: Double) -> Double { 0.6 * sin(x + 0.003 * t) + 0.35 * x }

  static func configuration(_ item: JSON) throws -> SchedulerConfiguration {
    var members: [String: JSON] = [:]
    if let base = item["base"]?.string, let options = fixture?["bases"]?[base]?.object { members = options }
    for (key, value) in try #require(item["options"]?.object) { members[key] = value }
    return try SchedulerConfiguration(json: .object(members))
  }

  struct Run {
    var latents: [Float]
    var original: [Float]
    var draws: Int
  }

  static func run(_ scheduler: any Scheduler, count: Int, images: Int, seed: UInt64) throws -> Run {
    var generator = TorchGenerator(seed: seed)
    var latents = generator.normal(count: count).map { Float(Double($0) * scheduler.initialNoiseSigma) }
    var original = [Float](repeating: 0, count: count)
    var noise = [Float](repeating: 0, count: count)
    var draws = 0
    try scheduler.begin(elementCount: count, imageCount: images)
    for (call, timestep) in scheduler.timesteps.enumerated() {
      let scale = scheduler.modelInputScale(call: call)
      let output = latents.map { Float(network(Double($0) * scale, timestep)) }
      try output.withUnsafeBufferPointer { output in
        try latents.withUnsafeMutableBufferPointer { latents in
          try original.withUnsafeMutableBufferPointer { original in
            try noise.withUnsafeMutableBufferPointer { noise in
              try scheduler.step(
                call: call, modelOutput: output, sample: latents,
                noise: {
                  draws += 1
                  generator.fillNormal(noise)
                  return UnsafeBufferPointer(noise)
                }, predictedOriginal: original)
            }
          }
        }
      }
    }
    return Run(latents: latents, original: original, draws: draws)
  }

  static func relativeError(_ values: [Float], _ expected: [Double]) -> Double {
    var (difference, norm) = (0.0, 0.0)
    for (value, target) in zip(values, expected) {
      difference += (Double(value) - target) * (Double(value) - target)
      norm += target * target
    }
    return values.count == expected.count ? (difference / max(norm, 1e-30)).squareRoot() : .infinity
  }

  @Test("Every recorded combination of options ends where diffusers ends", arguments: classNames)
  func trajectories(className: String) throws {
    let fixture = try #require(Self.fixture)
    let shape = try #require(fixture["shape"]?.array).compactMap(\.int)
    let seed = UInt64(try #require(fixture["seed"]?.int))
    let cases = try #require(fixture["cases"]?.array).filter { $0["class"]?.string == className }
    #expect(cases.count > 10)
    var worst = 0.0
    for item in cases {
      let label = "\(item["options"]?.text ?? "") base \(item["base"]?.text ?? "none") steps \(item["steps"]?.int ?? 0)"
      let scheduler: any Scheduler
      do {
        scheduler = try SchedulerFactory.make(
          className: className, configuration: try Self.configuration(item), steps: try #require(item["steps"]?.int),
          eta: item["eta"]?.double, dynamicShift: item["mu"]?.double)
      } catch {
        Issue.record("\(label): \(error)")
        continue
      }
      let expectedTimesteps = try #require(item["timesteps"]?.array).compactMap(\.double)
      let sameTimesteps =
        scheduler.timesteps.count == expectedTimesteps.count
        && zip(scheduler.timesteps, expectedTimesteps).allSatisfy { abs($0 - $1) <= 1e-3 }
      #expect(sameTimesteps, "\(label): timesteps \(scheduler.timesteps), expected \(expectedTimesteps)")
      guard sameTimesteps else { continue }
      let sigma = try #require(item["sigma"]?.double)
      #expect(abs(scheduler.initialNoiseSigma - sigma) <= 1e-5 * sigma, "\(label): initial sigma")
      let run = try Self.run(scheduler, count: shape.reduce(1, *), images: shape[0], seed: seed)
      #expect(run.draws == 0 || scheduler.drawsNoise, "\(label): noise drawn unannounced")
      let expected = try #require(item["latents"]?.array).compactMap(\.double)
      let stored = stride(from: 0, to: run.latents.count, by: 3).map { run.latents[$0] }
      let error = Self.relativeError(stored, expected)
      #expect(error <= Self.tolerance, "\(label): relative error \(error)")
      worst = max(worst, error)
      if let original = item["original"]?.array?.compactMap(\.double) {
        let error = Self.relativeError(Array(run.original.prefix(original.count)), original)
        #expect(error <= 10 * Self.tolerance, "\(label): predicted original differs by \(error)")
      }
    }
    print("\(className): \(cases.count) trajectories, largest relative error \(worst)")
  }
}
