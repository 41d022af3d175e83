import Glibc
import Support

/// The unified predictor-corrector (Zhao et al. 2023): each call first corrects the latents it was given with its own
/// output, then predicts the next ones. Order p reaches accuracy p + 1.
final class UniPCMultistepScheduler: Solver {
  /// `B(h)`: h itself, or e^h - 1.
  enum Kind: String, CaseIterable {
    case bh1
    case bh2
  }

  private let levels: [NoiseLevel]
  private let kind: Kind
  private let order: Int
  private let predictsOriginal: Bool
  private let lowersOrder: Bool
  /// Calls whose latents are not corrected afterwards.
  private let uncorrected: Set<Int>

  /// Beyond this the equations for the weights are too badly conditioned to be of use.
  private static let maximumOrder = 6

  init(_ configuration: SchedulerConfiguration, steps: Int, mu: Double?) throws(Failure) {
    kind = try configuration.name(
      "solver_type", default: .bh2, aliases: ["midpoint": .bh2, "heun": .bh2, "logrho": .bh2])
    order = try configuration.integer("solver_order", default: 2, in: 1...Self.maximumOrder)
    predictsOriginal = try configuration.flag("predict_x0", default: true)
    lowersOrder = try configuration.flag("lower_order_final", default: true)
    uncorrected = Set((try configuration.numbers("disable_corrector") ?? []).compactMap { Int(exactly: $0) })
    if let other = configuration["solver_p"], !other.isNull {
      throw configuration.failure(.unsupported, "solver_p, another solver as predictor, is not supported")
    }
    let schedule = try LogSNRSteps(configuration, steps: steps, mu: mu, family: .unified)
    levels = schedule.levels
    try super.init(
      plan: schedule.plan(
        className: "UniPCMultistepScheduler",
        clamp: predictsOriginal ? try configuration.clamp(thresholding: true, clipDefault: nil) : .none))
  }

  private var corrected: LatentHistory?
  /// The order of the last prediction.
  private var lastOrder = 1

  override var historyDepth: Int { order + 1 }

  override func restart() {
    corrected?.clear()
    lastOrder = 1
  }

  override func update(
    call: Int, callsMade: Int, output: UnsafePointer<Float>, sample: UnsafeMutablePointer<Float>,
    noise: () throws(Failure) -> UnsafePointer<Float>
  ) throws(Failure) {
    if corrected?.elementCount != elementCount {
      corrected = try LatentHistory(depth: 1, elementCount: elementCount)
    }
    guard let corrected else { throw Failure(.internalError, "no buffer for the corrected latents") }
    let history = try history()
    if predictsOriginal {
      storeOriginal(call: call, output: output, sample: sample, into: history.push())
    } else {
      storeEpsilon(call: call, output: output, sample: sample, into: history.push(), clamped: false)
    }
    if callsMade > 0, !uncorrected.contains(call - 1) {
      // From the last corrected latents again, now knowing the output at the end: ages shift by one.
      let weights = weights(from: call - 1, order: lastOrder, corrector: true)
      var terms = [Term(weights.sample, corrected[0])]
      for age in weights.outputs.indices { terms.append(Term(weights.outputs[age], history[age])) }
      sum(into: sample, terms)
    }
    lastOrder = min(order, callsMade + 1)
    if lowersOrder { lastOrder = min(lastOrder, timesteps.count - call) }
    if levels[call + 1].sigma == 0 { lastOrder = 1 }
    corrected.push().update(from: sample, count: elementCount)
    let weights = weights(from: call, order: lastOrder, corrector: false)
    var terms = [Term(weights.sample, sample)]
    for age in weights.outputs.indices { terms.append(Term(weights.outputs[age], history[age])) }
    sum(into: sample, terms)
  }

  /// The weights of the latents at `call` and of the outputs, newest first, for the way to the next noise level.
  ///
  /// With `corrector` the newest output is the one at the end of the way, otherwise the one at its start.
  private func weights(from call: Int, order: Int, corrector: Bool) -> (sample: Double, outputs: [Double]) {
    let (start, end) = (levels[call], levels[call + 1])
    let h = end.lambda - start.lambda
    let first: Double
    let scale: Double
    let sample: Double
    if predictsOriginal {
      sample = end.sigma / start.sigma
      // alpha (e^-h - 1)
      first = end.sigma * start.alpha / start.sigma - end.alpha
      scale = end.alpha
    } else {
      sample = end.alpha / start.alpha
      // sigma (e^h - 1)
      first = end.alpha * start.sigma / start.alpha - end.sigma
      scale = end.sigma
    }
    let newest = corrector ? 1 : 0
    var outputs = [Double](repeating: 0, count: order + newest)
    outputs[newest] = -first
    let points = order - 1 + newest
    guard points > 0, h.isFinite, h != 0 else { return (sample, outputs) }

    // Positions of the other outputs relative to this way; the corrector's newest lies at its end, 1.
    var positions = (1..<max(1, order)).map { (levels[call - $0].lambda - start.lambda) / h }
    if corrector { positions.append(1) }
    guard positions.allSatisfy({ $0 != 0 }) else { return (sample, outputs) }
    let z = predictsOriginal ? -h : h
    let b = kind == .bh1 ? z : expm1(z)
    let rho = points == 1 ? [0.5] : solve(positions, z, b)
    for (index, position) in positions.enumerated() {
      let weight = -scale * b * rho[index] / position
      let age = corrector && index == points - 1 ? 0 : index + 1 + newest
      outputs[age] += weight
      outputs[newest] -= weight
    }
    return (sample, outputs)
  }

  /// Solves Σ_j r_j^(i-1) ρ_j = φ_i(z) i! / B for as many equations as positions.
  private func solve(_ positions: [Double], _ z: Double, _ b: Double) -> [Double] {
    let n = positions.count
    var rows: [[Double]] = []
    var phi = Phi.first(z)
    var factorial = 1.0
    for i in 0..<n {
      rows.append(positions.map { power($0, i) } + [phi * factorial / b])
      factorial *= Double(i + 2)
      phi = phi / z - 1 / factorial
    }
    // Gaussian elimination with row exchange.
    for column in 0..<n {
      let pivot = (column..<n).max { abs(rows[$0][column]) < abs(rows[$1][column]) } ?? column
      rows.swapAt(column, pivot)
      let divisor = rows[column][column]
      guard divisor != 0 else { return [Double](repeating: 0, count: n) }
      for row in 0..<n where row != column {
        let factor = rows[row][column] / divisor
        for k in column...n { rows[row][k] -= factor * rows[column][k] }
      }
    }
    return (0..<n).map { rows[$0][n] / rows[$0][$0] }
  }

  private func power(_ base: Double, _ exponent: Int) -> Double {
    (0..<exponent).reduce(1) { product, _ in product * base }
  }
}
