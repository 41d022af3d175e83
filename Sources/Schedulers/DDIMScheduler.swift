import Support

/// Denoising diffusion implicit models (Song et al. 2021). `eta` 0 is deterministic, 1 has DDPM's noise.
final class DDIMScheduler: Solver {
  private let alphas: AlphaSteps
  private let eta: Double

  init(_ configuration: SchedulerConfiguration, steps: Int, eta: Double) throws(Failure) {
    let options = try TrainingOptions(configuration, spacing: .leading, canRescale: true)
    let schedule = try NoiseSchedule(options, configuration)
    let timesteps = Timesteps.inclusive(options, steps: steps, rounded: true)
    let stride = Double(options.trainTimesteps / steps)
    alphas = try AlphaSteps(
      schedule, timesteps: timesteps, next: timesteps.map { $0 - stride },
      final: try configuration.flag("set_alpha_to_one", default: true) ? 1 : schedule.alphasCumprod[0])
    self.eta = eta
    try super.init(
      plan: alphas.plan(
        className: "DDIMScheduler", steps: steps, prediction: options.prediction,
        clamp: try configuration.clamp(thresholding: true, clipDefault: true), drawsNoise: eta > 0))
  }

  override var historyDepth: Int { 2 }
  override var keepsOutputsOnly: Bool { true }

  /// x' = √ᾱ' x0 + √(1 - ᾱ' - σ²) ε + σ z, formula 12.
  override func update(
    call: Int, callsMade: Int, output: UnsafePointer<Float>, sample: UnsafeMutablePointer<Float>,
    noise: () throws(Failure) -> UnsafePointer<Float>
  ) throws(Failure) {
    let (current, next) = (alphas.current[call], alphas.next[call])
    let variance = (1 - next) / (1 - current) * (1 - current / next)
    let deviation = eta * max(0, variance).squareRoot()
    let direction = max(0, 1 - next - deviation * deviation).squareRoot()
    let history = try history()
    let (original, epsilon) = (history.push(), history.push())
    storeOriginal(call: call, output: output, sample: sample, into: original)
    storeEpsilon(call: call, output: output, sample: sample, into: epsilon, clamped: false)
    var terms = [Term(next.squareRoot(), original), Term(direction, epsilon)]
    if eta > 0 { terms.append(Term(deviation, try noise())) }
    sum(into: sample, terms)
  }
}
