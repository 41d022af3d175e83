import Support

/// Pseudo numerical methods for diffusion models (Liu et al. 2022): linear multistep on the noise prediction, after a
/// warm-up by Runge-Kutta steps (four calls each) or, with `skip_prk_steps`, by one improved Euler step (two calls).
final class PNDMScheduler: Solver {
  private let schedule: NoiseSchedule
  private let finalAlpha: Double
  /// Training steps per sampling step.
  private let stride: Int
  /// Leading calls that belong to Runge-Kutta steps.
  private let rungeKuttaCalls: Int

  private static let order = 4

  init(_ configuration: SchedulerConfiguration, steps: Int) throws(Failure) {
    let options = try TrainingOptions(configuration, spacing: .leading, canRescale: false)
    schedule = try NoiseSchedule(options, configuration)
    finalAlpha = try configuration.flag("set_alpha_to_one", default: false) ? 1 : schedule.alphasCumprod[0]
    stride = options.trainTimesteps / steps
    let points = Timesteps.inclusive(options, steps: steps, rounded: true)
    var timesteps: [Double]
    if try configuration.flag("skip_prk_steps") {
      // The second point twice: once to improve the first step, once for its own.
      timesteps = points
      if steps > 1 { timesteps.insert(points[1], at: 1) }
      rungeKuttaCalls = 0
    } else {
      guard steps >= Self.order else {
        throw Failure(
          .outOfRange, "PNDM without skip_prk_steps needs at least \(Self.order) steps", actual: "\(steps)")
      }
      // Each Runge-Kutta step: its point, the middle twice, the next point.
      let half = Double(stride / 2)
      timesteps = []
      for i in 0..<Self.order - 1 {
        let middle = points[i + 1] + half
        timesteps += [points[i], middle, middle, points[i + 1]]
      }
      timesteps += points[(Self.order - 1)...]
      rungeKuttaCalls = 4 * (Self.order - 1)
    }
    var alphas: [Double] = []
    for timestep in timesteps { alphas.append(try schedule.alpha(at: timestep)) }
    try super.init(
      plan: SolverPlan(
        className: "PNDMScheduler", steps: steps, timesteps: timesteps,
        signalScales: alphas.map { $0.squareRoot() }, noiseScales: alphas.map { (1 - $0).squareRoot() },
        prediction: options.prediction))
  }

  override func stepIndex(call: Int) -> Int {
    if rungeKuttaCalls > 0 { return call < rungeKuttaCalls ? call / 4 : call - rungeKuttaCalls + 3 }
    return max(0, call - 1)
  }

  // Four earlier outputs, the latents at the start of the step, the running Runge-Kutta sum.
  private var outputs: LatentHistory?
  private var start: LatentHistory?

  override func restart() {
    outputs?.clear()
    start?.clear()
  }

  override func update(
    call: Int, callsMade: Int, output: UnsafePointer<Float>, sample: UnsafeMutablePointer<Float>,
    noise: () throws(Failure) -> UnsafePointer<Float>
  ) throws(Failure) {
    if outputs?.elementCount != elementCount {
      outputs = try LatentHistory(depth: Self.order, elementCount: elementCount)
      start = try LatentHistory(depth: 2, elementCount: elementCount)
    }
    guard let outputs, let start else { throw Failure(.internalError, "PNDM has no history") }
    if call < rungeKuttaCalls {
      try rungeKutta(call, output, sample, outputs, start)
    } else {
      try multistep(call, callsMade, output, sample, outputs, start)
    }
  }

  /// One of the four calls of a Runge-Kutta step; all four move from the step's first latents.
  private func rungeKutta(
    _ call: Int, _ output: UnsafePointer<Float>, _ sample: UnsafeMutablePointer<Float>,
    _ outputs: LatentHistory, _ start: LatentHistory
  ) throws(Failure) {
    let phase = call % 4
    let previous = timesteps[call] - (phase % 2 == 0 ? Double(stride / 2) : 0)
    let weights = [1 / 6.0, 1 / 3.0, 1 / 3.0, 1 / 6.0]
    if phase == 0 {
      outputs.push().update(from: output, count: elementCount)
      let total = start.push()
      sum(into: total, Term(weights[0], output))
      start.push().update(from: sample, count: elementCount)
    } else {
      sum(into: start[1], Term(1, start[1]), Term(weights[phase], output))
    }
    let from = timesteps[call - phase]
    let estimate = phase == 3 ? UnsafePointer(start[1]) : output
    try move(start[0], from: from, to: previous, outputs: [Term(1, estimate)], into: sample)
  }

  private func multistep(
    _ call: Int, _ callsMade: Int, _ output: UnsafePointer<Float>, _ sample: UnsafeMutablePointer<Float>,
    _ outputs: LatentHistory, _ start: LatentHistory
  ) throws(Failure) {
    let timestep = timesteps[call]
    if call == 1, callsMade == 1, rungeKuttaCalls == 0 {
      // The first step again, with the mean of the outputs at both of its ends.
      try move(
        start[0], from: timestep + Double(stride), to: timestep,
        outputs: [Term(0.5, output), Term(0.5, outputs[0])], into: sample)
      return
    }
    outputs.push().update(from: output, count: elementCount)
    if callsMade == 0 { start.push().update(from: sample, count: elementCount) }
    // Adams-Bashforth weights, newest first.
    let weights: [Double]
    switch outputs.filled {
    case 1: weights = [1]
    case 2: weights = [3 / 2.0, -1 / 2.0]
    case 3: weights = [23 / 12.0, -16 / 12.0, 5 / 12.0]
    default: weights = [55 / 24.0, -59 / 24.0, 37 / 24.0, -9 / 24.0]
    }
    let terms = weights.indices.map { Term(weights[$0], outputs[$0]) }
    try move(sample, from: timestep, to: timestep - Double(stride), outputs: terms, into: sample)
  }

  /// Formula 9: from `x` at one timestep to another along the combined output.
  private func move(
    _ x: UnsafeMutablePointer<Float>, from: Double, to: Double, outputs: [Term],
    into sample: UnsafeMutablePointer<Float>
  ) throws(Failure) {
    let current = try schedule.alpha(at: from)
    let next = to < 0 ? finalAlpha : try schedule.alpha(at: to)
    let scale = (next / current).squareRoot()
    let denominator = current * (1 - next).squareRoot() + (current * (1 - current) * next).squareRoot()
    let weight = -(next - current) / denominator
    let form = plan.prediction.epsilon(signal: current.squareRoot(), noise: (1 - current).squareRoot())
    sum(
      into: sample,
      [Term(scale + weight * form.sample, x)] + outputs.map { Term(weight * form.output * $0.weight, $0.values) })
  }
}
