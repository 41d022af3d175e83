import Support

/// Linear multistep of order four on the derivatives, with coefficients integrated over the actual sigmas
/// (`sample_lms`).
final class LMSDiscreteScheduler: Solver {
  private let sigmas: [Double]
  private static let order = 4

  init(_ configuration: SchedulerConfiguration, steps: Int) throws(Failure) {
    let schedule = try SigmaSteps(configuration, steps: steps, .init())
    sigmas = schedule.sigmas
    try super.init(plan: schedule.plan(className: "LMSDiscreteScheduler"))
  }

  override var historyDepth: Int { Self.order }

  override func update(
    call: Int, callsMade: Int, output: UnsafePointer<Float>, sample: UnsafeMutablePointer<Float>,
    noise: () throws(Failure) -> UnsafePointer<Float>
  ) throws(Failure) {
    let history = try history()
    storeEpsilon(call: call, output: output, sample: sample, into: history.push(), clamped: false)
    let order = min(callsMade + 1, Self.order)
    let terms = (0..<order).map { Term(coefficient(call: call, order: order, term: $0), history[$0]) }
    sum(into: sample, [Term(1, sample)] + terms)
  }

  /// The integral from this sigma to the next of the Lagrange polynomial that is 1 at `sigmas[call - term]`.
  ///
  /// Two-point Gauss-Legendre quadrature is exact: the polynomial's degree is at most three.
  private func coefficient(call: Int, order: Int, term: Int) -> Double {
    let (start, end) = (sigmas[call], sigmas[call + 1])
    let (center, half) = ((start + end) / 2, (end - start) / 2)
    let offset = half / 3.0.squareRoot()
    return half * (lagrange(center - offset, call, order, term) + lagrange(center + offset, call, order, term))
  }

  private func lagrange(_ tau: Double, _ call: Int, _ order: Int, _ term: Int) -> Double {
    var product = 1.0
    for k in 0..<order where k != term {
      product *= (tau - sigmas[call - k]) / (sigmas[call - term] - sigmas[call - k])
    }
    return product
  }
}
