import Support

/// DPM-Solver whose calls form groups of up to `solver_order`: each group moves from its first latents, its later
/// calls refining the step.
final class DPMSolverSinglestepScheduler: Solver {
  private let levels: [NoiseLevel]
  private let algorithm: DPMSolverUpdate.Algorithm
  private let kind: DPMSolverUpdate.Kind
  /// Per call: 1 opens a group.
  private let orders: [Int]
  private let order: Int

  init(_ configuration: SchedulerConfiguration, steps: Int, mu: Double?) throws(Failure) {
    (algorithm, kind, order) = try configuration.dpmSolverOptions()
    guard algorithm != .sdeDpmsolver else {
      throw configuration.failure(.unsupported, "DPMSolverSinglestepScheduler has no algorithm_type 'sde-dpmsolver'")
    }
    let schedule = try LogSNRSteps(configuration, steps: steps, mu: mu, family: .singlestep)
    levels = schedule.levels
    let endsClean = levels.last?.sigma == 0
    let lowers = try configuration.flag("lower_order_final", default: false) || steps % order != 0 || endsClean
    orders = Self.orders(steps: steps, order: order, lowerOrderFinal: lowers, endsClean: endsClean)
    try super.init(
      plan: schedule.plan(
        className: "DPMSolverSinglestepScheduler",
        clamp: try configuration.clamp(thresholding: true, clipDefault: nil), drawsNoise: algorithm.drawsNoise))
  }

  private static func orders(steps: Int, order: Int, lowerOrderFinal: Bool, endsClean: Bool) -> [Int] {
    let group = Array(1...order)
    var orders: [Int] = []
    func repeatGroup(_ count: Int) { for _ in 0..<max(0, count) { orders += group } }
    switch (lowerOrderFinal, order, steps % order) {
    case (true, 3, 0):
      repeatGroup(steps / 3 - 1)
      orders += [1, 2, 1]
    case (true, 3, 1):
      repeatGroup(steps / 3)
      orders += [1]
    case (true, 3, _):
      repeatGroup(steps / 3)
      orders += [1, 2]
    case (true, 2, 0):
      repeatGroup(steps / 2 - 1)
      orders += [1, 1]
    case (true, 2, _):
      repeatGroup(steps / 2)
      orders += [1]
    default:
      repeatGroup(steps / order)
    }
    if endsClean, let last = orders.indices.last { orders[last] = 1 }
    return orders
  }

  private var groupStart: LatentHistory?

  override var historyDepth: Int { order }

  override func restart() { groupStart?.clear() }

  override func update(
    call: Int, callsMade: Int, output: UnsafePointer<Float>, sample: UnsafeMutablePointer<Float>,
    noise: () throws(Failure) -> UnsafePointer<Float>
  ) throws(Failure) {
    if groupStart?.elementCount != elementCount {
      groupStart = try LatentHistory(depth: 1, elementCount: elementCount)
    }
    guard let groupStart else { throw Failure(.internalError, "no buffer for the latents of the group") }
    let history = try history()
    if algorithm.predictsOriginal {
      storeOriginal(call: call, output: output, sample: sample, into: history.push())
    } else {
      storeEpsilon(call: call, output: output, sample: sample, into: history.push(), clamped: true)
    }
    let current = min(orders[call], history.filled)
    if current == 1 { groupStart.push().update(from: sample, count: elementCount) }

    let (from, to) = (levels[call - current + 1], levels[call + 1])
    let update = DPMSolverUpdate(algorithm, kind, from: from, to: to)
    let h = to.lambda - from.lambda
    var terms = [Term(update.sample, groupStart[0])]
    switch current {
    case 1:
      terms.append(Term(update.d0, history[0]))
    case 2:
      // D0 at the start of the group, D1 over its only inner interval.
      let r0 = (levels[call].lambda - from.lambda) / h
      let weight = r0 == 0 ? 0 : update.d1 / r0
      terms += [Term(weight, history[0]), Term(update.d0 - weight, history[1])]
    default:
      let r0 = (levels[call].lambda - from.lambda) / h
      let r1 = (levels[call - 1].lambda - from.lambda) / h
      // D1_0 = (m1 - m2) / r1, D1_1 = (m0 - m2) / r0; midpoint uses D1_1 alone.
      let degenerate = r0 == 0 || r1 == 0 || r0 == r1
      var (toInner, toOuter) = (0.0, 0.0)
      if !degenerate {
        if kind == .midpoint {
          toOuter = update.thirdD1 / r0
        } else {
          let d2 = update.thirdD2
          toInner = (update.thirdD1 * r0 - 2 * d2) / (r1 * (r0 - r1))
          toOuter = (-update.thirdD1 * r1 + 2 * d2) / (r0 * (r0 - r1))
        }
      }
      terms += [
        Term(toOuter, history[0]), Term(toInner, history[1]), Term(update.d0 - toOuter - toInner, history[2]),
      ]
    }
    if algorithm.drawsNoise { terms.append(Term(update.noise, try noise())) }
    sum(into: sample, terms)
  }
}
