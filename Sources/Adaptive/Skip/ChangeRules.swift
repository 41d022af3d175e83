/// EasyCache (arXiv 2507.02860): the change of the output is estimated from the change of the input since the last call,
/// `k * mean|x - x_before| / mean|output|`, and summed until it passes the threshold. k is the last measured ratio of
/// output change to input change between network calls. Skipped outputs keep output minus input.
final class EasyCacheRule: SkipRule {
  private let threshold: Double
  private let window: Range<Int>
  private var error = 0.0

  init(_ specification: Specification, calls: Int) {
    threshold = specification.number("threshold")
    window = callWindow(specification, calls: calls)
  }

  var signals: SkipSignals { .networkChange }
  var quantities: [SkipQuantity] { [.residual] }

  func decide(call: Int, _ history: SkipHistory) -> SkipDecision {
    guard window.contains(call) else {
      error = 0
      return .run("outside_window")
    }
    guard let outputChange = history.outputChange, let inputChange = history.inputChangeAtRun, inputChange > 0,
      let size = history.outputSize, size > 0, let step = history.inputStep
    else { return .run("warm_up") }
    error += outputChange / inputChange * step / size
    if error < threshold { return SkipDecision(.reuse, "below_threshold", of: .residual) }
    error = 0
    return .run("threshold")
  }
}

/// UCache of stable-diffusion.cpp: as EasyCache, with the input's change since the last network call, a scale that mixes
/// the output's size with its usual change, a penalty for skips in a row, and a threshold that is stricter at first.
final class UCacheRule: SkipRule {
  private let threshold: Double
  private let window: Range<Int>
  private let calls: Int
  private var error = 0.0
  private var averageChange: Double?
  private var rate: Double?
  private var computed = 0
  private var measuredRun: Int?

  /// Constants of stable-diffusion.cpp's `UCacheConfig`.
  private static let early = (until: 0.2, factor: 0.5)
  private static let late = (from: 0.8, factor: 1.5)
  private static let normGain = 1.6
  private static let skipPenalty = 0.5
  private static let averageMemory = 0.8

  init(_ specification: Specification, calls: Int) {
    threshold = specification.number("threshold")
    window = callWindow(specification, calls: calls)
    self.calls = calls
  }

  var signals: SkipSignals { .networkChange }
  var quantities: [SkipQuantity] { [.residual] }

  func decide(call: Int, _ history: SkipHistory) -> SkipDecision {
    measure(history)
    guard window.contains(call) else { return .run("outside_window") }
    guard let rate, let change = history.inputChange, change > 0, let size = history.outputSize, size > 0 else {
      return .run("warm_up")
    }
    let usual = averageChange.map { max($0 * Self.normGain, 1e-6) } ?? max(size, 1e-6)
    let scale = (max(size, 1e-6) * usual).squareRoot()
    error += rate * change / scale * (1 + Self.skipPenalty * Double(history.skippedInARow))
    let progress = Double(computed) / Double(max(1, calls))
    let factor = progress < Self.early.until ? Self.early.factor : progress > Self.late.from ? Self.late.factor : 1
    if error < threshold * factor { return SkipDecision(.reuse, "below_threshold", of: .residual) }
    error = 0
    return .run("threshold")
  }

  /// Takes in the last network call of the window.
  private func measure(_ history: SkipHistory) {
    guard let last = history.lastRun, window.contains(last), last != measuredRun else { return }
    measuredRun = last
    computed += 1
    // Its predecessor must lie in the window too: nothing is kept outside.
    guard computed > 1, let change = history.outputChange, change > 0 else { return }
    averageChange = averageChange.map { Self.averageMemory * $0 + (1 - Self.averageMemory) * change } ?? change
    if let input = history.inputChangeAtRun, input > 0 { rate = change / input }
  }
}

/// Calls between the shares `start` and `end` of the schedule.
private func callWindow(_ specification: Specification, calls: Int) -> Range<Int> {
  let start = min(calls - 1, Int(specification.number("start") * Double(calls)))
  let end = min(calls - 1, Int(specification.number("end") * Double(calls)))
  return min(start, end)..<max(start, end)
}

/// SADA (Jiang et al., ICML 2025, arXiv 2507.17135), its step-skipping part: in the first half a step is skipped where
/// the solver's deviation from a third-order extrapolated step points against the second difference of the noise
/// predictions; later three of four steps are predicted by the cubic through the last clean latents. Where SADA prunes
/// tokens inside the network, the network runs.
final class SADARule: SkipRule {
  private let window: Range<Int>
  private let cubicFrom: Int
  private let maximumSkips: Int

  init(_ specification: Specification, calls: Int) {
    window = callWindow(specification, calls: calls)
    cubicFrom = Int((specification.number("lagrange") * Double(calls)).rounded())
    maximumSkips = specification.integer("max_interval") - 1
  }

  var signals: SkipSignals { .curvature }
  var quantities: [SkipQuantity] { [.epsilon, .original] }
  var depth: Int { 4 }

  func decide(call: Int, _ history: SkipHistory) -> SkipDecision {
    guard window.contains(call) else { return .run("outside_window") }
    guard history.skippedInARow < maximumSkips else { return .run("cap") }
    if call >= cubicFrom {
      return (call - cubicFrom) % (maximumSkips + 1) == 0
        ? .run("pattern") : SkipDecision(.extrapolate, "pattern", .polynomial(order: 3), of: .original)
    }
    guard let curvature = history.curvature else { return .run("warm_up") }
    return curvature <= 0 ? SkipDecision(.reuse, "stable") : .run("unstable")
  }
}
