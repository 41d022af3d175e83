import Support
import Testing

@testable import Schedulers

struct SchedulerFactoryTests {
  /// The configuration of Stable Diffusion 1.x, as its repository has it.
  static func stableDiffusion() throws -> SchedulerConfiguration {
    try SchedulerConfiguration(json: [
      "_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0", "beta_end": 0.012,
      "beta_schedule": "scaled_linear", "beta_start": 0.00085, "num_train_timesteps": 1000, "set_alpha_to_one": false,
      "skip_prk_steps": true, "steps_offset": 1, "trained_betas": .null, "clip_sample": false,
    ])
  }

  static func status(_ body: () throws -> Void) -> Status? {
    do {
      try body()
      return nil
    } catch {
      return (error as? Failure)?.status
    }
  }

  /// Nil where the schedule has no room for that many steps.
  static func makeUnlessOutOfRange(
    _ name: String, _ configuration: SchedulerConfiguration, steps: Int
  ) throws -> (any Scheduler)? {
    let result = Result { try SchedulerFactory.make(className: name, configuration: configuration, steps: steps) }
    if case .failure(let error) = result, (error as? Failure)?.status == .outOfRange { return nil }
    return try result.get()
  }

  @Test("A configuration made for one class loads into every class and short name", arguments: SchedulerFactory.names)
  func everyName(name: String) throws {
    let scheduler = try SchedulerFactory.make(className: name, configuration: Self.stableDiffusion(), steps: 10)
    #expect(scheduler.steps == 10)
    #expect(scheduler.timesteps.count >= 10)
    #expect(scheduler.stepIndex(call: scheduler.timesteps.count - 1) == 9)
    #expect(zip(scheduler.timesteps, scheduler.timesteps.dropFirst()).allSatisfy { $0 >= $1 })
  }

  @Test("The configuration's own class is taken where the run names none")
  func ownClass() throws {
    let scheduler = try SchedulerFactory.make(configuration: Self.stableDiffusion(), steps: 4)
    #expect(scheduler.className == "PNDMScheduler")
    // One improved Euler step, then three multistep ones.
    #expect(scheduler.timesteps == [751, 501, 501, 251, 1])
    #expect(scheduler.timesteps.indices.map { scheduler.stepIndex(call: $0) } == [0, 0, 1, 2, 3])
    #expect(
      Self.status { _ = try SchedulerFactory.make(configuration: SchedulerConfiguration(), steps: 4) } == .corrupt)
  }

  @Test("Short names fix the options they stand for")
  func shortNames() throws {
    let plain = try SchedulerFactory.make(className: "dpmpp_2m", configuration: Self.stableDiffusion(), steps: 10)
    let karras = try SchedulerFactory.make(
      className: "dpmpp_2m_karras", configuration: Self.stableDiffusion(), steps: 10)
    #expect(plain.className == "DPMSolverMultistepScheduler" && karras.className == plain.className)
    #expect(plain.timesteps != karras.timesteps)
    #expect(
      try !SchedulerFactory.make(className: "dpmpp_2m", configuration: Self.stableDiffusion(), steps: 5).drawsNoise)
    #expect(
      try SchedulerFactory.make(className: "dpmpp_2m_sde", configuration: Self.stableDiffusion(), steps: 5).drawsNoise)
  }

  @Test("Unknown names are told the known ones", arguments: ["", "DDIM", "ddim_karras", "euler_karras_karras", "x"])
  func unknown(name: String) throws {
    let failure = try #require(throws: Failure.self) {
      _ = try SchedulerFactory.make(className: name, configuration: Self.stableDiffusion(), steps: 5)
    }
    #expect(failure.status == .unknownName)
    #expect(failure.description.contains("EulerDiscreteScheduler") && failure.description.contains("dpmpp_2m_karras"))
    #expect(!SchedulerFactory.isKnown(name))
  }

  @Test("Step counts outside the schedule are out of range", arguments: [0, -1, 1001, Int.min, Int.max])
  func stepRange(steps: Int) throws {
    for name in SchedulerFactory.names {
      #expect(
        Self.status {
          _ = try SchedulerFactory.make(className: name, configuration: Self.stableDiffusion(), steps: steps)
        } == .outOfRange)
    }
  }

  @Test("Every step count from 1 to 1000 gives finite latents or a refusal", arguments: TrajectoryTests.classNames)
  func everyStepCount(name: String) throws {
    for steps in [1, 2, 3, 4, 5, 7, 14, 15, 16, 61, 100, 333, 499, 500, 501, 769, 998, 999, 1000] {
      for sigmas in ["", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"] {
        for final in ["zero", "sigma_min"] {
          var configuration = try Self.stableDiffusion()
          if !sigmas.isEmpty { configuration[sigmas] = true }
          configuration["final_sigmas_type"] = .string(final)
          configuration["steps_offset"] = 0
          guard let scheduler = try Self.makeUnlessOutOfRange(name, configuration, steps: steps) else { continue }
          let run = try TrajectoryTests.run(scheduler, count: 32, images: 2, seed: 1)
          #expect(run.latents.allSatisfy { $0.isFinite }, "\(name) \(steps) \(sigmas) \(final)")
          #expect(run.original.allSatisfy { $0.isFinite })
        }
      }
    }
  }

  /// What diffusers itself answers with NaN or an exception has a limit that can be computed.
  @Test(
    "A clean end has finite limits in every solver",
    arguments: ["dpmsolver++", "dpmsolver", "sde-dpmsolver++", "sde-dpmsolver"])
  func cleanEnd(algorithm: String) throws {
    for order in 1...3 where !(order == 3 && algorithm == "sde-dpmsolver") {
      for kind in ["midpoint", "heun", "bh1", "bh2"] {
        for original in [true, false] {
          for name in ["DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler", "UniPCMultistepScheduler"]
          where !(algorithm == "sde-dpmsolver" && name == "DPMSolverSinglestepScheduler") {
            var configuration = try Self.stableDiffusion()
            configuration["algorithm_type"] = .string(algorithm)
            configuration["solver_type"] = .string(kind)
            configuration["solver_order"] = JSON(order)
            configuration["predict_x0"] = .bool(original)
            configuration["lower_order_final"] = false
            let scheduler = try SchedulerFactory.make(className: name, configuration: configuration, steps: 7)
            let run = try TrajectoryTests.run(scheduler, count: 32, images: 1, seed: 3)
            #expect(run.latents.allSatisfy { abs($0) < 100 }, "\(name) \(algorithm) \(order) \(kind) \(original)")
          }
        }
      }
    }
  }

  /// One wrong option: its value, and how it is refused by the schedulers named.
  struct Wrong: CustomTestStringConvertible {
    var key: String
    var value: JSON
    var status: Status
    var names: [String]
    var testDescription: String { "\(key) = \(value.text)" }
  }

  static let wrong: [Wrong] = [
    Wrong(
      key: "beta_schedule", value: "cubic", status: .unsupported,
      names: TrajectoryTests.classNames.dropLast(1).map { $0 }),
    Wrong(key: "beta_start", value: "low", status: .corrupt, names: ["ddim", "euler", "unipc"]),
    Wrong(key: "beta_end", value: 7, status: .outOfRange, names: ["ddim", "euler", "unipc"]),
    Wrong(key: "num_train_timesteps", value: 0, status: .outOfRange, names: SchedulerFactory.names),
    Wrong(key: "num_train_timesteps", value: 1e18, status: .outOfRange, names: SchedulerFactory.names),
    Wrong(key: "num_train_timesteps", value: 10.5, status: .corrupt, names: SchedulerFactory.names),
    Wrong(key: "num_train_timesteps", value: "many", status: .corrupt, names: SchedulerFactory.names),
    Wrong(key: "trained_betas", value: [0.1, 0.2], status: .corrupt, names: ["ddim", "euler", "dpmpp_2m"]),
    Wrong(key: "trained_betas", value: [0.1, "x"], status: .corrupt, names: ["ddim", "euler", "dpmpp_2m"]),
    Wrong(key: "trained_betas", value: "none", status: .corrupt, names: ["ddim", "euler", "dpmpp_2m"]),
    Wrong(key: "prediction_type", value: "noise", status: .unsupported, names: ["ddim", "euler", "unipc"]),
    Wrong(key: "prediction_type", value: "flow_prediction", status: .unsupported, names: ["ddim", "euler", "unipc"]),
    Wrong(key: "timestep_spacing", value: "random", status: .unsupported, names: ["ddim", "euler", "unipc"]),
    Wrong(key: "steps_offset", value: -1, status: .outOfRange, names: ["ddim", "euler", "unipc"]),
    Wrong(key: "steps_offset", value: 1000, status: .outOfRange, names: ["ddim", "ddpm", "pndm"]),
    Wrong(key: "use_karras_sigmas", value: "yes", status: .corrupt, names: ["euler", "dpmpp_2m", "unipc"]),
    Wrong(key: "final_sigmas_type", value: "one", status: .unsupported, names: ["euler", "dpmpp_2m", "unipc"]),
    Wrong(key: "interpolation_type", value: "cubic", status: .unsupported, names: ["euler"]),
    Wrong(key: "solver_order", value: 9, status: .outOfRange, names: ["DPMSolverMultistepScheduler", "unipc"]),
    Wrong(key: "solver_type", value: "rk4", status: .unsupported, names: ["dpmpp_2m", "unipc"]),
    Wrong(key: "algorithm_type", value: "ode", status: .unsupported, names: ["DPMSolverMultistepScheduler"]),
    Wrong(key: "variance_type", value: "learned_range", status: .unsupported, names: ["ddpm", "dpmpp_2m"]),
    Wrong(key: "original_inference_steps", value: 5000, status: .outOfRange, names: ["lcm", "tcd"]),
    Wrong(key: "original_inference_steps", value: 5, status: .outOfRange, names: ["lcm", "tcd"]),
    Wrong(key: "sigma_min", value: -1, status: .outOfRange, names: ["euler", "unipc"]),
    Wrong(key: "lambda_min_clipped", value: 1e9, status: .outOfRange, names: ["dpmpp_2m", "dpmpp_2s"]),
    Wrong(key: "rescale_betas_zero_snr", value: true, status: .unsupported, names: ["ddpm", "lcm"]),
    Wrong(key: "sample_max_value", value: 0, status: .outOfRange, names: []),
    Wrong(key: "use_dynamic_shifting", value: true, status: .invalidArgument, names: ["flow_euler"]),
    Wrong(key: "solver_p", value: ["_class_name": "x"], status: .unsupported, names: ["unipc"]),
  ]

  @Test("Options that cannot be followed are refused by name", arguments: wrong)
  func wrongOptions(wrong: Wrong) throws {
    for name in wrong.names {
      var configuration = try Self.stableDiffusion()
      configuration[wrong.key] = wrong.value
      if wrong.key == "rescale_betas_zero_snr" { configuration["timestep_spacing"] = "trailing" }
      let failure = #expect(throws: Failure.self, "\(name)") {
        _ = try SchedulerFactory.make(className: name, configuration: configuration, steps: 10)
      }
      #expect(failure?.status == wrong.status, "\(name): \(failure?.description ?? "")")
    }
    #expect(Self.status { _ = try SchedulerConfiguration(json: [1]) } == .corrupt)
    var both = try Self.stableDiffusion()
    (both["use_karras_sigmas"], both["use_beta_sigmas"]) = (true, true)
    #expect(
      Self.status { _ = try SchedulerFactory.make(className: "euler", configuration: both, steps: 5) }
        == .invalidArgument)
  }

  @Test("Validation finds what no number of steps can cure, and nothing else")
  func validation() throws {
    for name in SchedulerFactory.names {
      try SchedulerFactory.validate(className: name, configuration: Self.stableDiffusion())
    }
    // Without skip_prk_steps four steps are the least.
    try SchedulerFactory.validate(
      configuration: SchedulerConfiguration(json: ["_class_name": "PNDMScheduler", "num_train_timesteps": 50]))
    #expect(
      Self.status { try SchedulerFactory.validate(className: "x", configuration: Self.stableDiffusion()) }
        == .unknownName)
    var wrong = try Self.stableDiffusion()
    wrong["prediction_type"] = "noise"
    #expect(Self.status { try SchedulerFactory.validate(className: "euler", configuration: wrong) } == .unsupported)
    wrong = try Self.stableDiffusion()
    wrong["beta_end"] = 7
    #expect(Self.status { try SchedulerFactory.validate(className: "euler", configuration: wrong) } == .outOfRange)
  }

  @Test("eta outside 0...1 is out of range", arguments: [-0.1, 1.1, .nan, .infinity])
  func etaRange(eta: Double) throws {
    #expect(
      Self.status {
        _ = try SchedulerFactory.make(className: "ddim", configuration: Self.stableDiffusion(), steps: 5, eta: eta)
      } == .outOfRange)
  }

  @Test("Noisy latents at a call have that call's signal and noise", arguments: SchedulerFactory.names)
  func addNoise(name: String) throws {
    let scheduler = try SchedulerFactory.make(className: name, configuration: Self.stableDiffusion(), steps: 10)
    let (clean, noise): ([Float], [Float]) = ([1, 2, 0], [0, 1, 4])
    for call in scheduler.timesteps.indices {
      var output: [Float] = [.nan, .nan, .nan]
      try clean.withUnsafeBufferPointer { clean in
        try noise.withUnsafeBufferPointer { noise in
          try output.withUnsafeMutableBufferPointer {
            try scheduler.addNoise(call: call, original: clean, noise: noise, output: $0)
          }
        }
      }
      let (signal, deviation) = (scheduler.signalScale(call: call), scheduler.noiseScale(call: call))
      #expect(output == [Float(signal), Float(2 * signal + deviation), Float(4 * deviation)])
      // The network sees unit variance for unit variance latents, but for flow matching, which does not preserve it.
      let variance =
        (signal * signal + deviation * deviation) * scheduler.modelInputScale(call: call)
        * scheduler.modelInputScale(call: call)
      if scheduler.className != "FlowMatchEulerDiscreteScheduler" { #expect(abs(variance - 1) < 1e-6) }
    }
  }

  @Test("Calls out of order, wrong sizes and wrong starts are refused; the scheduler stays usable")
  func misuse() throws {
    for name in SchedulerFactory.names {
      let scheduler = try SchedulerFactory.make(className: name, configuration: Self.stableDiffusion(), steps: 6)
      var latents = [Float](repeating: 0.5, count: 8)
      let output = [Float](repeating: 0.25, count: 8)
      func step(_ call: Int, count: Int = 8, noiseCount: Int = 8) -> Status? {
        Self.status {
          try output.prefix(count).withUnsafeBufferPointer { output in
            try latents.withUnsafeMutableBufferPointer { latents in
              try scheduler.step(
                call: call, modelOutput: output, sample: latents,
                noise: { () throws(Failure) in UnsafeBufferPointer(rebasing: output.prefix(noiseCount)) })
            }
          }
        }
      }
      #expect(step(0) == .invalidArgument)
      #expect(Self.status { try scheduler.begin(elementCount: 8, imageCount: 3) } == .invalidArgument)
      #expect(Self.status { try scheduler.begin(elementCount: 0, imageCount: 1) } == .invalidArgument)
      #expect(Self.status { try scheduler.begin(elementCount: 8, imageCount: 1, firstCall: 99) } == .outOfRange)
      #expect(Self.status { try scheduler.begin(elementCount: 8, imageCount: 1, firstCall: -1) } == .outOfRange)
      for call in scheduler.timesteps.indices.dropFirst()
      where scheduler.stepIndex(call: call) == scheduler.stepIndex(call: call - 1) {
        #expect(
          Self.status { try scheduler.begin(elementCount: 8, imageCount: 1, firstCall: call) } == .invalidArgument)
      }
      try scheduler.begin(elementCount: 8, imageCount: 2)
      #expect(step(1) == .invalidArgument)
      #expect(step(0, count: 7) == .shapeMismatch)
      for call in scheduler.timesteps.indices { #expect(step(call) == nil) }
      #expect(step(scheduler.timesteps.count) == .invalidArgument)
      try scheduler.begin(elementCount: 8)
      #expect(step(0) == nil)
    }
  }

  @Test("A second run with one scheduler repeats the first", arguments: SchedulerFactory.names)
  func repeats(name: String) throws {
    let scheduler = try SchedulerFactory.make(className: name, configuration: Self.stableDiffusion(), steps: 9)
    let first = try TrajectoryTests.run(scheduler, count: 24, images: 2, seed: 5)
    let second = try TrajectoryTests.run(scheduler, count: 24, images: 2, seed: 5)
    #expect(first.latents == second.latents)
  }

  /// With the true noise as the network's output every exact solver follows the straight line to the clean latents.
  @Test("Runs that start in the middle arrive where full runs do", arguments: SchedulerFactory.names)
  func startsInTheMiddle(name: String) throws {
    let scheduler = try SchedulerFactory.make(
      className: name, configuration: Self.stableDiffusion(), steps: 12, eta: 0)
    guard !scheduler.drawsNoise else { return }
    let clean = (0..<16).map { Float($0) / 8 - 1 }
    let noise = (0..<16).map { Float(($0 * 7) % 16) / 8 - 1 }
    // A call that opens a step, which every scheduler has at step 6.
    let first = try #require(scheduler.timesteps.indices.first { scheduler.stepIndex(call: $0) == 6 })
    var latents = [Float](repeating: 0, count: 16)
    try clean.withUnsafeBufferPointer { clean in
      try noise.withUnsafeBufferPointer { noise in
        try latents.withUnsafeMutableBufferPointer {
          try scheduler.addNoise(call: first, original: clean, noise: noise, output: $0)
        }
      }
    }
    try scheduler.begin(elementCount: 16, imageCount: 1, firstCall: first)
    let isFlow = scheduler.className == "FlowMatchEulerDiscreteScheduler"
    let output = isFlow ? zip(noise, clean).map { $0 - $1 } : noise
    for call in scheduler.timesteps.indices[first...] {
      try output.withUnsafeBufferPointer { output in
        try latents.withUnsafeMutableBufferPointer {
          try scheduler.step(call: call, modelOutput: output, sample: $0) { () throws(Failure) in
            throw Failure(.internalError, "no noise expected")
          }
        }
      }
    }
    // DDIM and PNDM stop at the first trained timestep here (set_alpha_to_one is false), whose noise is 0.03.
    for (value, target) in zip(latents, clean) { #expect(abs(value - target) < 0.06, "\(latents)") }
  }
}
