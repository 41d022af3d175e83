import Support

/// How a rule's skipped outputs are made, from the parameters that most rules share.
struct SkippedOutput {
  let order: Int
  let quantity: SkipQuantity

  init(_ specification: Specification) {
    order = specification.integer("order")
    quantity = SkipQuantity(rawValue: specification.text("of")) ?? .epsilon
  }

  func decision(_ reason: String) -> SkipDecision {
    SkipDecision(order == 0 ? .reuse : .extrapolate, reason, .polynomial(order: order), of: quantity)
  }
}

/// Replays a mask.
final class FixedMaskRule: SkipRule {
  private let mask: SkipMask
  private let plan: SkippedOutput

  /// Throws `.shapeMismatch` for a mask of another length than the schedule, unless it may be stretched.
  init(_ specification: Specification, calls: Int) throws(Failure) {
    let given = try SkipMask(specification.text("mask"))
    plan = SkippedOutput(specification)
    if given.entries.count == calls {
      mask = given
    } else {
      guard specification.flag("resample") else {
        throw Failure(
          .shapeMismatch, "the mask has another length than the schedule; resample=true stretches it",
          component: "skip", expected: "\(calls) letters", actual: "\(given.entries.count)")
      }
      mask = given.resampled(to: calls)
    }
  }

  var signals: SkipSignals { [] }
  var quantities: [SkipQuantity] { [plan.quantity] }
  var depth: Int { plan.order + 1 }

  func decide(call: Int, _ history: SkipHistory) -> SkipDecision {
    switch mask.entries[call] {
    case .run: .run("mask")
    case .partial: SkipDecision(.partial, "mask")
    case .reuse: SkipDecision(.reuse, "mask", of: plan.quantity)
    case .extrapolate:
      SkipDecision(.extrapolate, "mask", .polynomial(order: max(1, plan.order)), of: plan.quantity)
    case .skip: plan.decision("mask")
    }
  }
}

/// The network runs at every n-th call.
final class EveryRule: SkipRule {
  private let interval: Int
  private let plan: SkippedOutput

  init(_ specification: Specification) {
    interval = specification.integer("n")
    plan = SkippedOutput(specification)
  }

  var signals: SkipSignals { [] }
  var quantities: [SkipQuantity] { [plan.quantity] }
  var depth: Int { plan.order + 1 }

  func decide(call: Int, _ history: SkipHistory) -> SkipDecision {
    call % interval == 0 ? .run("interval") : plan.decision("interval")
  }
}

/// ZEUS (arXiv 2604.01552): two of three calls are skipped inside a window, the first by linear extrapolation of the
/// last two noise predictions, the second by holding the first's. The window is given for 50 calls and scaled.
final class ZeusRule: SkipRule {
  private let first: Int
  private let last: Int
  private let period: Int

  init(_ specification: Specification, calls: Int) {
    first = Int((specification.number("start") * Double(calls)).rounded())
    last = Int((specification.number("end") * Double(calls)).rounded())
    period = specification.integer("period")
  }

  var signals: SkipSignals { [] }
  var depth: Int { 2 }

  func decide(call: Int, _ history: SkipHistory) -> SkipDecision {
    guard call >= first, call < last else { return .run("outside_window") }
    guard call % period != period - 1 else { return .run("pattern") }
    return history.skippedInARow == 0
      ? SkipDecision(.extrapolate, "pattern", .weights([2, -1])) : SkipDecision(.extrapolate, "pattern", .held)
  }
}
