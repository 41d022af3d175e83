import Support

/// Euler's method on the probability flow (Karras et al. 2022, algorithm 2 without churn; `sample_euler`).
final class EulerDiscreteScheduler: Solver {
  private let sigmas: [Double]

  init(_ configuration: SchedulerConfiguration, steps: Int) throws(Failure) {
    let schedule = try SigmaSteps(
      configuration, steps: steps,
      .init(
        canRescale: true, canInterpolateLogLinear: true, hasFinalSigma: true, hasSigmaLimits: true,
        hasContinuousTimesteps: true))
    sigmas = schedule.sigmas
    try super.init(plan: schedule.plan(className: "EulerDiscreteScheduler"))
  }

  override var keepsOutputsOnly: Bool { true }

  override func update(
    call: Int, callsMade: Int, output: UnsafePointer<Float>, sample: UnsafeMutablePointer<Float>,
    noise: () throws(Failure) -> UnsafePointer<Float>
  ) throws(Failure) {
    let derivative = derivative(sigma: sigmas[call])
    let dt = sigmas[call + 1] - sigmas[call]
    sum(into: sample, Term(1 + dt * derivative.sample, sample), Term(dt * derivative.output, output))
  }
}

/// Euler steps that go below the next noise level and add fresh noise up to it (`sample_euler_ancestral`).
final class EulerAncestralDiscreteScheduler: Solver {
  private let sigmas: [Double]

  init(_ configuration: SchedulerConfiguration, steps: Int) throws(Failure) {
    let schedule = try SigmaSteps(configuration, steps: steps, .init(canRescale: true, hasSigmaSpacing: false))
    sigmas = schedule.sigmas
    try super.init(plan: schedule.plan(className: "EulerAncestralDiscreteScheduler", drawsNoise: true))
  }

  override var keepsOutputsOnly: Bool { true }

  override func update(
    call: Int, callsMade: Int, output: UnsafePointer<Float>, sample: UnsafeMutablePointer<Float>,
    noise: () throws(Failure) -> UnsafePointer<Float>
  ) throws(Failure) {
    let (from, to) = (sigmas[call], sigmas[call + 1])
    let up = to * max(0, 1 - to * to / (from * from)).squareRoot()
    let down = to * to / from
    let derivative = derivative(sigma: from)
    let dt = down - from
    sum(
      into: sample, Term(1 + dt * derivative.sample, sample), Term(dt * derivative.output, output),
      Term(up, try noise()))
  }
}
