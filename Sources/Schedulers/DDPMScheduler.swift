import Support

/// Ancestral sampling of denoising diffusion probabilistic models (Ho et al. 2020).
final class DDPMScheduler: Solver {
  /// `variance_type`, for networks that do not predict the variance.
  enum Variance: String, CaseIterable {
    case fixedSmall = "fixed_small"
    case fixedSmallLog = "fixed_small_log"
    case fixedLarge = "fixed_large"
  }

  private let alphas: AlphaSteps
  private let variance: Variance

  init(_ configuration: SchedulerConfiguration, steps: Int) throws(Failure) {
    let options = try TrainingOptions(configuration, spacing: .leading, canRescale: true)
    let schedule = try NoiseSchedule(options, configuration)
    let timesteps = Timesteps.inclusive(options, steps: steps, rounded: true)
    alphas = try AlphaSteps(schedule, timesteps: timesteps, next: timesteps.dropFirst() + [-1], final: 1)
    variance = try configuration.name("variance_type", default: .fixedSmall)
    try super.init(
      plan: alphas.plan(
        className: "DDPMScheduler", steps: steps, prediction: options.prediction,
        clamp: try configuration.clamp(thresholding: true, clipDefault: true), drawsNoise: true))
  }

  override var historyDepth: Int { 1 }
  override var keepsOutputsOnly: Bool { true }

  /// x' = √ᾱ' β / (1 - ᾱ) x0 + √α (1 - ᾱ') / (1 - ᾱ) x + σ z, formula 7.
  override func update(
    call: Int, callsMade: Int, output: UnsafePointer<Float>, sample: UnsafeMutablePointer<Float>,
    noise: () throws(Failure) -> UnsafePointer<Float>
  ) throws(Failure) {
    let (current, next) = (alphas.current[call], alphas.next[call])
    let alpha = current / next
    let beta = 1 - alpha
    let original = try history().push()
    storeOriginal(call: call, output: output, sample: sample, into: original)
    var terms = [
      Term(next.squareRoot() * beta / (1 - current), original),
      Term(alpha.squareRoot() * (1 - next) / (1 - current), sample),
    ]
    if timesteps[call] > 0 {
      // Never exactly zero, as in diffusers.
      let small = max(1e-20, (1 - next) / (1 - current) * beta)
      terms.append(Term((variance == .fixedLarge ? beta : small).squareRoot(), try noise()))
    }
    sum(into: sample, terms)
  }
}
