import Support

/// DPM-Solver of order one to three with differences over earlier steps, deterministic or stochastic.
final class DPMSolverMultistepScheduler: Solver {
  private let levels: [NoiseLevel]
  private let algorithm: DPMSolverUpdate.Algorithm
  private let kind: DPMSolverUpdate.Kind
  private let order: Int
  /// Whether the last call is of first order, and the one before it at most of second.
  private let eulerAtFinal: Bool
  private let lowersOrder: Bool

  init(_ configuration: SchedulerConfiguration, steps: Int, mu: Double?) throws(Failure) {
    (algorithm, kind, order) = try configuration.dpmSolverOptions()
    let schedule = try LogSNRSteps(configuration, steps: steps, mu: mu, family: .multistep)
    levels = schedule.levels
    let calls = schedule.timesteps.count
    lowersOrder = try configuration.flag("lower_order_final", default: true) && calls < 15
    eulerAtFinal = try configuration.flag("euler_at_final") || lowersOrder || levels[calls].sigma == 0
    try super.init(
      plan: schedule.plan(
        className: "DPMSolverMultistepScheduler",
        clamp: try configuration.clamp(thresholding: true, clipDefault: nil), drawsNoise: algorithm.drawsNoise))
    guard algorithm != .sdeDpmsolver || !(0..<calls).contains(where: { updateOrder(call: $0, known: $0 + 1) == 3 })
    else {
      throw configuration.failure(.unsupported, "algorithm_type 'sde-dpmsolver' has no third order update")
    }
  }

  /// The order of the update at a call, with `known` predictions at hand.
  private func updateOrder(call: Int, known: Int) -> Int {
    let callsLeft = timesteps.count - call
    if callsLeft == 1, eulerAtFinal { return 1 }
    return min(order, known, callsLeft == 2 && lowersOrder ? 2 : 3)
  }

  override var historyDepth: Int { order }
  override var keepsOutputsOnly: Bool { true }

  override func update(
    call: Int, callsMade: Int, output: UnsafePointer<Float>, sample: UnsafeMutablePointer<Float>,
    noise: () throws(Failure) -> UnsafePointer<Float>
  ) throws(Failure) {
    let history = try history()
    if algorithm.predictsOriginal {
      storeOriginal(call: call, output: output, sample: sample, into: history.push())
    } else {
      storeEpsilon(call: call, output: output, sample: sample, into: history.push(), clamped: true)
    }
    var current = updateOrder(call: call, known: history.filled)
    let update = DPMSolverUpdate(algorithm, kind, from: levels[call], to: levels[call + 1])
    let h = levels[call + 1].lambda - levels[call].lambda
    // Equal noise levels (more steps than the schedule resolves) have no differences.
    if h == 0 { current = 1 }
    // Weights of the predictions by age, from those of the differences.
    var weights = [update.d0, 0, 0]
    if current >= 2 {
      let r0 = (levels[call].lambda - levels[call - 1].lambda) / h
      let r1 = current > 2 ? (levels[call - 1].lambda - levels[call - 2].lambda) / h : 0
      if r0 == 0 || r1 == 0 {
        add(difference(newer: 0, older: 1, by: r0), update.d1, &weights)
      } else {
        let first = difference(newer: 0, older: 1, by: r0)
        let second = difference(newer: 1, older: 2, by: r1)
        let change = combine(first, 1, second, -1)
        add(combine(first, 1, change, r0 / (r0 + r1)), update.thirdD1, &weights)
        add(change, update.thirdD2 / (r0 + r1), &weights)
      }
    }
    var terms = [Term(update.sample, sample)]
    for age in 0..<current { terms.append(Term(weights[age], history[age])) }
    if algorithm.drawsNoise { terms.append(Term(update.noise, try noise())) }
    sum(into: sample, terms)
  }

  /// `(m_newer - m_older) / r` as weights by age; zero where a step has no length.
  private func difference(newer: Int, older: Int, by r: Double) -> [Double] {
    var weights = [0.0, 0, 0]
    guard r != 0, r.isFinite else { return weights }
    weights[newer] = 1 / r
    weights[older] = -1 / r
    return weights
  }

  private func combine(_ a: [Double], _ x: Double, _ b: [Double], _ y: Double) -> [Double] {
    zip(a, b).map { x * $0 + y * $1 }
  }

  private func add(_ difference: [Double], _ factor: Double, _ weights: inout [Double]) {
    for age in weights.indices { weights[age] += factor * difference[age] }
  }
}
