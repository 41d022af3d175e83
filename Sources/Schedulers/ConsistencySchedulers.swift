import Support

/// The timesteps of distilled models: every `original_inference_steps`-th training step, evenly thinned to `steps`.
private func distilledTimesteps(
  _ configuration: SchedulerConfiguration, train: Int, steps: Int
) throws(Failure) -> [Double] {
  let original = try configuration.integer("original_inference_steps", default: 50, in: 1...train)
  guard steps <= original else {
    throw Failure(
      .outOfRange, "more steps than the distillation schedule has (original_inference_steps)",
      expected: "1 to \(original)", actual: "\(steps)")
  }
  let stride = train / original
  let spacing = Double(original) / Double(steps)
  return (0..<steps).map { Double((original - Int(Double($0) * spacing)) * stride - 1) }
}

/// Multistep consistency sampling (Luo et al. 2023).
final class LCMScheduler: Solver {
  private let alphas: AlphaSteps
  private let timestepScaling: Double

  init(_ configuration: SchedulerConfiguration, steps: Int) throws(Failure) {
    let options = try TrainingOptions(
      configuration, betaStart: 0.00085, betaEnd: 0.012, betaSchedule: .scaledLinear, spacing: .leading,
      canRescale: true)
    let schedule = try NoiseSchedule(options, configuration)
    let timesteps = try distilledTimesteps(configuration, train: options.trainTimesteps, steps: steps)
    alphas = try AlphaSteps(schedule, timesteps: timesteps, next: timesteps.dropFirst() + timesteps.suffix(1), final: 1)
    timestepScaling = try configuration.number("timestep_scaling", default: 10, in: 0...1e6)
    try super.init(
      plan: alphas.plan(
        className: "LCMScheduler", steps: steps, prediction: options.prediction,
        clamp: try configuration.clamp(thresholding: true, clipDefault: false), drawsNoise: steps > 1))
  }

  override var historyDepth: Int { 1 }

  override func update(
    call: Int, callsMade: Int, output: UnsafePointer<Float>, sample: UnsafeMutablePointer<Float>,
    noise: () throws(Failure) -> UnsafePointer<Float>
  ) throws(Failure) {
    let original = try history().push()
    storeOriginal(call: call, output: output, sample: sample, into: original)
    // Boundary conditions of the consistency function, sigma_data = 0.5.
    let scaled = timesteps[call] * timestepScaling
    let skip = 0.25 / (scaled * scaled + 0.25)
    let out = scaled / (scaled * scaled + 0.25).squareRoot()
    guard call + 1 < timesteps.count else {
      return sum(into: sample, Term(out, original), Term(skip, sample))
    }
    let signal = alphas.next[call].squareRoot()
    sum(
      into: sample, Term(signal * out, original), Term(signal * skip, sample),
      Term((1 - alphas.next[call]).squareRoot(), try noise()))
  }
}

/// Trajectory consistency sampling (Zheng et al. 2024); `eta` is the paper's gamma.
final class TCDScheduler: Solver {
  private let alphas: AlphaSteps
  private let schedule: NoiseSchedule
  private let eta: Double

  init(_ configuration: SchedulerConfiguration, steps: Int, eta: Double) throws(Failure) {
    let options = try TrainingOptions(
      configuration, betaStart: 0.00085, betaEnd: 0.012, betaSchedule: .scaledLinear, spacing: .leading,
      canRescale: true)
    schedule = try NoiseSchedule(options, configuration)
    let timesteps = try distilledTimesteps(configuration, train: options.trainTimesteps, steps: steps)
    alphas = try AlphaSteps(schedule, timesteps: timesteps, next: timesteps.dropFirst() + [0], final: 1)
    self.eta = eta
    try super.init(
      plan: alphas.plan(
        className: "TCDScheduler", steps: steps, prediction: options.prediction, clamp: .none,
        drawsNoise: eta > 0 && steps > 1))
  }

  override func update(
    call: Int, callsMade: Int, output: UnsafePointer<Float>, sample: UnsafeMutablePointer<Float>,
    noise: () throws(Failure) -> UnsafePointer<Float>
  ) throws(Failure) {
    let next = call + 1 < timesteps.count ? timesteps[call + 1] : 0
    // Single precision, so that the integer falls where torch's does.
    let target = try schedule.alpha(at: Double((Float(1 - eta) * Float(next)).rounded(.down)))
    let (signal, deviation) = (plan.signalScales[call], plan.noiseScales[call])
    let original = plan.prediction.original(signal: signal, noise: deviation)
    let epsilon = plan.prediction.epsilon(signal: signal, noise: deviation)
    let (a, b) = (target.squareRoot(), (1 - target).squareRoot())
    let form = LinearForm(
      sample: a * original.sample + b * epsilon.sample, output: a * original.output + b * epsilon.output)
    guard eta > 0, call + 1 < timesteps.count else {
      return sum(into: sample, Term(form.sample, sample), Term(form.output, output))
    }
    let ratio = alphas.next[call] / target
    let keep = ratio.squareRoot()
    sum(
      into: sample, Term(keep * form.sample, sample), Term(keep * form.output, output),
      Term(max(0, 1 - ratio).squareRoot(), try noise()))
  }
}
