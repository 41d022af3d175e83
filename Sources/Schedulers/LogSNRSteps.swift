import Glibc
import Support

/// One noise level as DPM-Solver writes it: latents `alpha * x0 + sigma * epsilon`, `lambda = log(alpha / sigma)`.
struct NoiseLevel {
  let alpha: Double
  let sigma: Double

  /// From k-diffusion's sigma, which is `sigma / alpha`.
  init(variancePreserving ratio: Double) {
    alpha = 1 / (ratio * ratio + 1).squareRoot()
    sigma = ratio * alpha
  }

  init(flow sigma: Double) {
    alpha = 1 - sigma
    self.sigma = sigma
  }

  /// Infinite without noise.
  var lambda: Double { log(alpha) - log(sigma) }
}

/// The schedule of the solvers that integrate in log-SNR (DPM-Solver, UniPC): noise levels at every point of a run.
struct LogSNRSteps {
  let options: TrainingOptions
  var timesteps: [Double]
  /// One per call, and the one after the last.
  var levels: [NoiseLevel]

  /// Which of diffusers' classes lays out the schedule: they differ in details that move timesteps.
  enum Family {
    case multistep
    case singlestep
    case unified
  }

  init(
    _ configuration: SchedulerConfiguration, steps: Int, mu: Double?, family: Family
  ) throws(Failure) {
    // The single-step solver knows only linspace.
    var adjusted = configuration
    if family == .singlestep { adjusted["timestep_spacing"] = "linspace" }
    let usesFlow = try configuration.flag("use_flow_sigmas")
    options = try TrainingOptions(
      adjusted, spacing: .linspace, canRescale: family != .singlestep, usesFlow: usesFlow)
    var schedule = try NoiseSchedule(options, configuration)
    if options.rescaleZeroSNR { schedule.liftTerminalAlpha() }
    let table = try SigmaTable(schedule)
    let train = options.trainTimesteps
    let last = family == .unified ? train : train - (try Self.clippedTimesteps(configuration, table))
    timesteps = try Timesteps.exclusive(options, last: last, steps: steps)
    var sigmas = timesteps.map { table.sigma(at: $0) }

    let spacing = try configuration.sigmaSpacing()
    var smallest = table.minimum
    var largest = table.maximum
    if family == .unified {
      smallest = try configuration.optionalNumber("sigma_min") ?? smallest
      largest = try configuration.optionalNumber("sigma_max") ?? largest
      guard smallest > 0, largest > 0, smallest.isFinite, largest.isFinite else {
        throw configuration.failure(.outOfRange, "sigma_min and sigma_max must be positive")
      }
    }
    let usesLu = family == .multistep ? try configuration.flag("use_lu_lambdas") : false
    var isSpaced = true
    if let spaced = SigmaTable.sequence(spacing, from: largest, to: smallest, steps: steps),
      spacing == .karras || !usesLu
    {
      sigmas = spaced
      timesteps = sigmas.map { table.timestep(of: $0) }
      if spacing == .karras, family != .multistep || options.betaSchedule != .squaredCosine {
        timesteps = timesteps.map { $0.rounded(.toNearestOrEven) }
      }
      if spacing == .karras, usesFlow, family == .unified {
        sigmas = sigmas.map { $0 / ($0 + 1) }
        timesteps = sigmas.map { $0 * Double(train) }
      }
    } else if usesLu {
      // Uniform in lambda, Lu et al. 2022.
      sigmas = Timesteps.linspace(log(table.maximum), log(table.minimum), steps).map { exp($0) }
      timesteps = sigmas.map { table.timestep(of: $0) }
      if options.betaSchedule != .squaredCosine { timesteps = timesteps.map { $0.rounded(.toNearestOrEven) } }
    } else if usesFlow {
      sigmas = try Self.flowSigmas(configuration, train: train, steps: steps, mu: mu, family: family)
      timesteps = sigmas.map { $0 * Double(train) }
    } else {
      isSpaced = false
    }
    // Integer timesteps, cut off and not rounded, as diffusers converts them.
    timesteps = timesteps.map { $0.rounded(.towardZero) }

    switch try configuration.name("final_sigmas_type", default: FinalSigma.zero) {
    case .zero: sigmas.append(0)
    case .minimum: sigmas.append(family == .unified && isSpaced ? sigmas.last ?? table.minimum : table.minimum)
    }
    guard sigmas.dropLast().allSatisfy({ $0 > 0 && $0.isFinite && (!usesFlow || $0 < 1) }) else {
      throw configuration.failure(.outOfRange, "the sigmas of this configuration leave the range of the noise schedule")
    }
    levels = sigmas.map { usesFlow ? NoiseLevel(flow: $0) : NoiseLevel(variancePreserving: $0) }
  }

  /// How many of the noisiest timesteps have a lambda below `lambda_min_clipped`.
  private static func clippedTimesteps(
    _ configuration: SchedulerConfiguration, _ table: SigmaTable
  ) throws(Failure) -> Int {
    let minimum = try configuration.optionalNumber("lambda_min_clipped") ?? -.infinity
    let count = table.sigmas.reversed().prefix { -log($0) < minimum }.count
    guard count < table.sigmas.count - 1 else {
      throw configuration.failure(.outOfRange, "lambda_min_clipped \(minimum) leaves no timesteps")
    }
    return count
  }

  private static func flowSigmas(
    _ configuration: SchedulerConfiguration, train: Int, steps: Int, mu: Double?, family: Family
  ) throws(Failure) -> [Double] {
    var shift = try configuration.number("flow_shift", default: 1, in: 1e-6...1e6)
    if try configuration.flag("use_dynamic_shifting") {
      guard let mu, mu.isFinite else {
        throw Failure(.invalidArgument, "use_dynamic_shifting needs the shift of the image size")
      }
      shift = exp(mu)
    }
    func shifted(_ sigma: Double) -> Double { shift * sigma / (1 + (shift - 1) * sigma) }
    guard family == .unified else {
      let alphas = Timesteps.linspace(1, 1 / Double(train), steps + 1)
      return alphas.dropFirst().reversed().map { shifted(1 - $0) }
    }
    var sigmas = Timesteps.linspace(1, 1 / Double(train), steps + 1).dropLast().map(shifted)
    if let terminal = try configuration.optionalNumber("shift_terminal"), terminal != 0, let last = sigmas.last {
      guard terminal > 0, terminal < 1, last < 1 else {
        throw configuration.failure(.outOfRange, "shift_terminal must lie between 0 and 1")
      }
      let scale = (1 - last) / (1 - terminal)
      sigmas = sigmas.map { 1 - (1 - $0) / scale }
    }
    // Pure noise has no finite log-SNR.
    if let first = sigmas.first, abs(first - 1) < 1e-6 { sigmas[0] = first - 1e-6 }
    return sigmas
  }

  func plan(className: String, clamp: OriginalClamp, drawsNoise: Bool = false) -> SolverPlan {
    SolverPlan(
      className: className, steps: timesteps.count, timesteps: timesteps,
      signalScales: levels.dropLast().map { $0.alpha }, noiseScales: levels.dropLast().map { $0.sigma },
      drawsNoise: drawsNoise, prediction: options.prediction, clamp: clamp)
  }
}
