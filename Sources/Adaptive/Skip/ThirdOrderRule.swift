/// AdaptiveDiffusion (Ye et al., NeurIPS 2024, arXiv 2410.09873): a step whose latents change evenly needs no new noise
/// prediction.
///
/// As shipped by the authors, with d_i the mean absolute change of the latents over step i, step i + 1 is skipped when
/// `|(d_i + d_{i-2}) / 2 - d_{i-1}| <= delta * d_{i-1}`: half the second difference of the change, which is a third
/// difference of the latents. `vector` takes the paper's formula `‖Δ³x‖ <= delta ‖Δx‖` on the latents themselves.
final class ThirdOrderRule: SkipRule {
  private let delta: Double
  /// Criterion up to which a part of the network is enough; below `delta` switches it off.
  private let partialDelta: Double
  private let cap: Int
  private let capIsAuthors: Bool
  private let warmUp: Int
  private let isVector: Bool
  private let plan: SkippedOutput

  init(_ specification: Specification, vector: Bool) {
    delta = specification.number("delta")
    partialDelta = specification.number("partial_delta")
    cap = specification.integer("max_skip")
    capIsAuthors = specification.text("cap") == "authors"
    warmUp = specification.integer("warmup")
    isVector = vector
    plan = SkippedOutput(specification)
  }

  var signals: SkipSignals { isVector ? [.latentChange, .thirdDifference] : .latentChange }
  var quantities: [SkipQuantity] { [plan.quantity] }
  var depth: Int { plan.order + 1 }

  func decide(call: Int, _ history: SkipHistory) -> SkipDecision {
    guard call >= warmUp else { return .run("warm_up") }
    let decisions = history.actions.dropFirst(warmUp)
    let skipped = decisions.reversed().prefix { $0 == .reuse || $0 == .extrapolate }.count
    if capIsAuthors {
      // `len(mask) > 4 and not any(mask[-max_skip:])`: the cap cannot act before the ninth call, and for max_skip = 0
      // the slice is the whole list.
      let window = cap == 0 ? decisions.count : min(cap, decisions.count)
      if decisions.count > 4, skipped >= window { return .run("cap") }
    } else if skipped >= cap {
      return .run("cap")
    }
    let (value, scale): (Double, Double)
    if isVector {
      guard let third = history.thirdDifference, let change = history.latentChanges.last else {
        return .run("warm_up")
      }
      (value, scale) = (third, change)
    } else {
      let d = history.latentChanges.suffix(3)
      // d_1 is the first change: the initial noise is not in the history.
      guard d.count == 3, history.latentChanges.count >= 4 else { return .run("warm_up") }
      let (oldest, middle, newest) = (d[d.startIndex], d[d.startIndex + 1], d[d.startIndex + 2])
      (value, scale) = (abs((newest + oldest) / 2 - middle), middle)
    }
    if value <= delta * scale { return plan.decision("stable") }
    if partialDelta > delta, value <= partialDelta * scale { return SkipDecision(.partial, "nearly_stable") }
    return .run("unstable")
  }
}
