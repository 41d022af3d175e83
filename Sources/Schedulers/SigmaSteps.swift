import Glibc
import Support

/// Sigma at every point of a run and the timesteps there, for the schedulers of k-diffusion (Karras et al. 2022),
/// whose latents are `x0 + sigma * epsilon`.
struct SigmaSteps {
  let options: TrainingOptions
  /// One per step.
  var timesteps: [Double]
  /// One per step, and the one after the last.
  var sigmas: [Double]

  /// The options that only some classes have.
  struct Features {
    var canRescale = false
    var canInterpolateLogLinear = false
    var hasFinalSigma = false
    var hasSigmaLimits = false
    var hasContinuousTimesteps = false
    /// Karras, exponential and beta sigmas.
    var hasSigmaSpacing = true
    var betaStart = 0.0001
    var betaEnd = 0.02
  }

  init(_ configuration: SchedulerConfiguration, steps: Int, _ features: Features) throws(Failure) {
    options = try TrainingOptions(
      configuration, betaStart: features.betaStart, betaEnd: features.betaEnd, spacing: .linspace,
      canRescale: features.canRescale)
    var schedule = try NoiseSchedule(options, configuration)
    if options.rescaleZeroSNR { schedule.liftTerminalAlpha() }
    let table = try SigmaTable(schedule)
    timesteps = Timesteps.inclusive(options, steps: steps, rounded: false)
    sigmas = timesteps.map { table.sigma(at: $0) }
    if features.canInterpolateLogLinear {
      switch try configuration.text("interpolation_type") ?? "linear" {
      case "linear": break
      case "log_linear":
        // One more point than steps: the run then ends at the smallest trained sigma.
        sigmas = Timesteps.linspace(log(table.minimum), log(table.maximum), steps + 1).reversed().map { exp($0) }
      case let other:
        throw configuration.failure(
          .unsupported, "interpolation_type '\(other)' is not supported (known: linear, log_linear)")
      }
    }
    let spacing = features.hasSigmaSpacing ? try configuration.sigmaSpacing() : .trained
    var (smallest, largest) = (sigmas.last ?? table.minimum, sigmas.first ?? table.maximum)
    if features.hasSigmaLimits {
      smallest = try configuration.optionalNumber("sigma_min") ?? smallest
      largest = try configuration.optionalNumber("sigma_max") ?? largest
      guard smallest > 0, largest > 0, smallest.isFinite, largest.isFinite else {
        throw configuration.failure(.outOfRange, "sigma_min and sigma_max must be positive")
      }
    }
    if let spaced = SigmaTable.sequence(spacing, from: largest, to: smallest, steps: steps) {
      sigmas = spaced
      timesteps = spaced.map { Double(Float(table.timestep(of: $0))) }
    }
    let final: FinalSigma = features.hasFinalSigma ? try configuration.name("final_sigmas_type", default: .zero) : .zero
    if sigmas.count == steps { sigmas.append(final == .zero ? 0 : table.minimum) }
    if features.hasContinuousTimesteps, try configuration.text("timestep_type") == "continuous",
      options.prediction == .velocity
    {
      timesteps = sigmas.prefix(steps).map { 0.25 * log($0) }
    }
    guard sigmas.prefix(steps).allSatisfy({ $0 > 0 && $0.isFinite }) else {
      throw configuration.failure(.outOfRange, "the noise schedule reaches zero before the last step")
    }
  }

  /// The largest sigma, or for leading spacing, which starts below the end of training, the norm that includes the
  /// unit signal.
  var initialNoiseSigma: Double {
    let largest = sigmas.max() ?? 1
    return options.spacing == .leading ? (largest * largest + 1).squareRoot() : largest
  }

  /// The plan of a solver that makes one call per step.
  func plan(className: String, drawsNoise: Bool = false, clamp: OriginalClamp = .none) -> SolverPlan {
    SolverPlan(
      className: className, steps: timesteps.count, timesteps: timesteps,
      signalScales: timesteps.map { _ in 1 }, noiseScales: Array(sigmas.prefix(timesteps.count)),
      initialNoiseSigma: initialNoiseSigma, scalesModelInput: true, drawsNoise: drawsNoise,
      prediction: options.prediction, clamp: clamp)
  }
}

extension Solver {
  /// `dx/dsigma = (x - x0) / sigma` at a sigma: k-diffusion's derivative, which is the predicted noise.
  func derivative(sigma: Double) -> LinearForm {
    let original = plan.prediction.original(signal: 1, noise: sigma)
    return LinearForm(sample: (1 - original.sample) / sigma, output: -original.output / sigma)
  }
}
