import Glibc
import Support

/// Step-size control: the distance to the next network call, on the noise schedule, grows and shrinks with the error
/// that the last call revealed.
///
/// Between network calls the solver walks the schedule's points along the polynomial through the last outputs, which is
/// an exponential multistep integrator of variable step size; nothing stale is fed. The error of a call is the relative
/// distance between its output and what the earlier ones predicted for it, times the length in log-SNR it was used for.
/// `pid` is the controller of k-diffusion's adaptive DPM-Solver; `embedded` its integral part alone; `third-order` takes
/// AdaptiveDiffusion's criterion as the error.
final class StepControlRule: SkipRule {
  private enum Controller: String {
    case pid
    case embedded
    case thirdOrder = "third-order"
  }

  private let controller: Controller
  private let tolerance: Double
  private let budget: Int
  private let maximumSkips: Int
  private let warmUp: Int
  private let last: Int
  private let plan: SkippedOutput

  /// Length in log-SNR to the next network call.
  private var length = 0.0
  /// Inverse errors, newest first.
  private var inverses: [Double] = []
  private var measuredRun = 0

  /// PID coefficients: k-diffusion's default of `sample_dpm_adaptive`.
  private static let coefficients = (p: 0.0, i: 1.0, d: 0.0)

  init(_ specification: Specification, calls: Int) {
    controller = Controller(rawValue: specification.text("controller")) ?? .pid
    tolerance = specification.number("tolerance")
    let given = specification.integer("budget")
    budget = given == 0 ? calls : given
    maximumSkips = specification.integer("max_skip")
    warmUp = specification.integer("warmup")
    last = specification.integer("protect_last")
    plan = SkippedOutput(specification)
  }

  var signals: SkipSignals { controller == .thirdOrder ? .latentChange : .predictionError }
  var quantities: [SkipQuantity] { [plan.quantity] }
  var depth: Int { plan.order + 1 }

  func decide(call: Int, _ history: SkipHistory) -> SkipDecision {
    guard let run = history.lastRun else { return .run("warm_up") }
    let left = budget - history.networkCalls
    if call >= history.calls - last { return left > 0 ? .run("protected") : plan.decision("budget") }
    // The protected calls at the end are paid for from the start.
    guard left > last else { return plan.decision("budget") }
    if call < warmUp { return .run("warm_up") }
    if run != measuredRun || length == 0 {
      adapt(history, run: run)
      measuredRun = run
    }
    if history.skippedInARow >= maximumSkips { return .run("cap") }
    let passed = history.logSNR[call] - history.logSNR[run]
    // Half a grid step early rather than late.
    let half = call + 1 < history.calls ? (history.logSNR[call + 1] - history.logSNR[call]) / 2 : 0
    guard passed + half >= length else { return plan.decision("step_size") }
    // The rest of the budget must reach the end: what lies ahead, split evenly, is the least length.
    let free = max(1, left - last)
    let ahead = history.calls - last - call
    let behind = call - run
    if behind < (ahead + behind) / (free + 1) { return plan.decision("budget") }
    return .run("step_size")
  }

  private func adapt(_ history: SkipHistory, run: Int) {
    let order = Double(plan.order + 1)
    let before = history.actions[..<run].lastIndex { $0 == .run || $0 == .partial } ?? max(0, run - 1)
    let used = max(1e-9, history.logSNR[run] - history.logSNR[before])
    if length == 0 { length = used }
    let error: Double
    switch controller {
    case .thirdOrder:
      let d = history.latentChanges.suffix(3)
      guard d.count == 3, history.latentChanges.count >= 4, d[d.startIndex + 1] > 0 else { return }
      error = abs((d[d.startIndex + 2] + d[d.startIndex]) / 2 - d[d.startIndex + 1]) / d[d.startIndex + 1] * used
    case .pid, .embedded:
      guard let relative = history.predictionError else { return }
      error = relative * used
    }
    inverses.insert(tolerance / max(error, 1e-12), at: 0)
    inverses = Array(inverses.prefix(3))
    while inverses.count < 3 { inverses.append(inverses[0]) }
    let factor: Double
    if controller == .pid {
      let (p, i, d) = Self.coefficients
      let raw =
        pow(inverses[0], (p + i + d) / order) * pow(inverses[1], -(p + 2 * d) / order) * pow(inverses[2], d / order)
      // Söderlind's limiter: never more than 1 + π/2 times longer.
      factor = 1 + atan(raw - 1)
    } else {
      factor = min(4, max(0.25, pow(inverses[0], 1 / order)))
    }
    length = used * max(0.1, factor)
  }
}
