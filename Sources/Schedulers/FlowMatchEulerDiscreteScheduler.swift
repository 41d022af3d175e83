import Glibc
import Support

/// Euler's method for rectified flow (Esser et al. 2024): latents are `(1 - sigma) x0 + sigma noise`, the network
/// predicts `noise - x0`.
final class FlowMatchEulerDiscreteScheduler: Solver {
  private let sigmas: [Double]
  private let stochastic: Bool

  /// - Parameter mu: the resolution-dependent shift, needed with `use_dynamic_shifting`.
  init(_ configuration: SchedulerConfiguration, steps: Int, mu: Double?) throws(Failure) {
    let train = Double(
      try configuration.integer("num_train_timesteps", default: 1000, in: 1...TrainingOptions.maximumTrainTimesteps))
    let shift = try configuration.number("shift", default: 1, in: 1e-6...1e6)
    let dynamic = try configuration.flag("use_dynamic_shifting")
    // The trained range is itself shifted, then the run's sigmas are shifted again, as diffusers does.
    func shifted(_ sigma: Double) -> Double { shift * sigma / (1 + (shift - 1) * sigma) }
    let largest = dynamic ? 1 : shifted(1)
    let smallest = dynamic ? 1 / train : shifted(1 / train)
    var sigmas = Timesteps.linspace(largest * train, smallest * train, steps).map { $0 / train }
    if dynamic {
      guard let mu, mu.isFinite else {
        throw Failure(.invalidArgument, "use_dynamic_shifting needs the shift of the image size")
      }
      switch try configuration.text("time_shift_type") ?? "exponential" {
      case "exponential": sigmas = sigmas.map { exp(mu) / (exp(mu) + (1 / $0 - 1)) }
      case "linear": sigmas = sigmas.map { mu / (mu + (1 / $0 - 1)) }
      case let other:
        throw configuration.failure(
          .unsupported, "time_shift_type '\(other)' is not supported (known: exponential, linear)")
      }
    } else {
      sigmas = sigmas.map(shifted)
    }
    if let terminal = try configuration.optionalNumber("shift_terminal"), terminal != 0, let last = sigmas.last {
      guard terminal > 0, terminal < 1, last < 1 else {
        throw configuration.failure(.outOfRange, "shift_terminal must lie between 0 and 1")
      }
      let scale = (1 - last) / (1 - terminal)
      sigmas = sigmas.map { 1 - (1 - $0) / scale }
    }
    if let first = sigmas.first, let last = sigmas.last,
      let spaced = SigmaTable.sequence(try configuration.sigmaSpacing(), from: first, to: last, steps: steps)
    {
      sigmas = spaced
    }
    let inverted = try configuration.flag("invert_sigmas")
    if inverted { sigmas = sigmas.map { 1 - $0 } }
    self.sigmas = sigmas + [inverted ? 1 : 0]
    stochastic = try configuration.flag("stochastic_sampling")
    try super.init(
      plan: SolverPlan(
        className: "FlowMatchEulerDiscreteScheduler", steps: steps,
        timesteps: sigmas.map { Double(Float($0 * train)) }, signalScales: sigmas.map { 1 - $0 },
        noiseScales: sigmas, drawsNoise: stochastic, prediction: .flow))
  }

  override var keepsOutputsOnly: Bool { true }

  override func update(
    call: Int, callsMade: Int, output: UnsafePointer<Float>, sample: UnsafeMutablePointer<Float>,
    noise: () throws(Failure) -> UnsafePointer<Float>
  ) throws(Failure) {
    let (sigma, next) = (sigmas[call], sigmas[call + 1])
    if stochastic {
      sum(
        into: sample, Term(1 - next, sample), Term(-(1 - next) * sigma, output), Term(next, try noise()))
    } else {
      sum(into: sample, Term(1, sample), Term(next - sigma, output))
    }
  }
}

extension SchedulerFactory {
  /// `mu` for `use_dynamic_shifting`: linear in the number of image tokens between the configured ends.
  public static func dynamicShift(
    imageTokens: Int, _ configuration: SchedulerConfiguration
  ) throws(Failure) -> Double {
    let baseTokens = try configuration.number("base_image_seq_len", default: 256, in: 1...1e9)
    let maximumTokens = try configuration.number("max_image_seq_len", default: 4096, in: 1...1e9)
    let baseShift = try configuration.number("base_shift", default: 0.5, in: -100...100)
    let maximumShift = try configuration.number("max_shift", default: 1.15, in: -100...100)
    guard maximumTokens != baseTokens else { return baseShift }
    let slope = (maximumShift - baseShift) / (maximumTokens - baseTokens)
    return Double(imageTokens) * slope + baseShift - slope * baseTokens
  }
}
