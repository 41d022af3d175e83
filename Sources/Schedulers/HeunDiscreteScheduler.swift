import Support

/// Heun's second order method (Karras et al. 2022, algorithm 1): two calls per step, one for the last.
final class HeunDiscreteScheduler: Solver {
  private let sigmas: [Double]

  init(_ configuration: SchedulerConfiguration, steps: Int) throws(Failure) {
    var features = SigmaSteps.Features()
    (features.betaStart, features.betaEnd) = (0.00085, 0.012)
    let schedule = try SigmaSteps(configuration, steps: steps, features)
    sigmas = schedule.sigmas
    // Call 2k is at point k, call 2k + 1 checks the Euler step at point k + 1.
    let calls = 2 * steps - 1
    let clamp = try configuration.clamp(thresholding: false, clipDefault: false)
    var plan = schedule.plan(className: "HeunDiscreteScheduler", clamp: clamp)
    plan.timesteps = (0..<calls).map { schedule.timesteps[($0 + 1) / 2] }
    plan.signalScales = (0..<calls).map { _ in 1 }
    plan.noiseScales = (0..<calls).map { schedule.sigmas[($0 + 1) / 2] }
    plan.steps = steps
    try super.init(plan: plan)
  }

  override func stepIndex(call: Int) -> Int { call / 2 }

  /// Newest: the latents at the start of the step; before it: the derivative there, then the one at its end.
  override var historyDepth: Int { 3 }

  override func update(
    call: Int, callsMade: Int, output: UnsafePointer<Float>, sample: UnsafeMutablePointer<Float>,
    noise: () throws(Failure) -> UnsafePointer<Float>
  ) throws(Failure) {
    let history = try history()
    let point = call / 2
    let dt = sigmas[point + 1] - sigmas[point]
    if call % 2 == 0 {
      let derivative = history.push()
      storeEpsilon(call: call, output: output, sample: sample, into: derivative, clamped: true)
      history.push().update(from: sample, count: elementCount)
      sum(into: sample, Term(1, sample), Term(dt, derivative))
    } else {
      let (start, first) = (history[0], history[1])
      let second = history.push()
      storeEpsilon(call: call, output: output, sample: sample, into: second, clamped: true)
      sum(into: sample, Term(1, start), Term(dt / 2, first), Term(dt / 2, second))
    }
  }
}
