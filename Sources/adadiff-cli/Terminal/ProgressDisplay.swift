/// Shows progress on stderr: one moving line per stage on a terminal, a few plain lines otherwise.
final class ProgressDisplay {
  private enum Style { case none, lines, bar }

  private let style: Style
  private var stage = ""
  private var reportedQuarter = -1
  private var stageStart = 0.0
  private var firstStep = 0
  private var lineIsOpen = false

  init(quiet: Bool) { style = quiet ? .none : Terminal.isInteractive ? .bar : .lines }

  func update(_ report: ProgressReport) {
    guard style != .none else { return }
    if report.stage != stage {
      finishLine()
      stage = report.stage
      stageStart = report.seconds
      firstStep = report.step
      reportedQuarter = -1
    }
    switch style {
    case .none: break
    case .lines: plainLine(report)
    case .bar: bar(report)
    }
  }

  /// Ends a moving line so that other text can follow.
  func finishLine() {
    if lineIsOpen { Terminal.write("\n", to: 2) }
    lineIsOpen = false
  }

  /// A line at the beginning, then at every quarter.
  private func plainLine(_ report: ProgressReport) {
    let quarter = report.total > 0 ? 4 * report.step / report.total : 0
    guard quarter > reportedQuarter else { return }
    reportedQuarter = quarter
    Terminal.printError(
      "\(ProgressDisplay.title(report.stage)): \(report.step)/\(report.total) after \(formatted(seconds: report.seconds))"
    )
  }

  private func bar(_ report: ProgressReport) {
    let share = report.total > 0 ? min(1, max(0, Double(report.step) / Double(report.total))) : 0
    let elapsed = report.seconds - stageStart
    var tail = "\(report.step)/\(report.total)"
    if report.step > 0 && report.step < report.total && elapsed > 1 {
      // What was done before this call took none of its time.
      let done = max(1, report.step - firstStep)
      tail += ", \(formatted(seconds: elapsed / Double(done) * Double(report.total - report.step))) left"
      if report.stage == "train" { tail += ", \(report.detail)" }
    } else if !report.detail.isEmpty && report.step < report.total {
      tail += " \(report.detail)"
    }
    let cells = max(10, min(40, Terminal.width - 40))
    let filled = Int(share * Double(cells))
    let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: cells - filled)
    let title = ProgressDisplay.title(report.stage)
    let padding = String(repeating: " ", count: max(0, 16 - title.count))
    let room = max(0, Terminal.width - 18 - cells)
    // Back to the first column, the line, clear what an earlier longer line left.
    Terminal.write("\r\(title)\(padding)\(bar) \(String(tail.prefix(room)))\u{1B}[K", to: 2)
    lineIsOpen = true
    if report.total > 0 && report.step >= report.total { finishLine() }
  }

  static func title(_ stage: String) -> String {
    switch stage {
    case "load": "Loading"
    case "text_encode": "Reading prompt"
    case "policy": "Choosing steps"
    case "denoise": "Denoising"
    case "decode": "Decoding"
    case "collect": "Collecting"
    case "train": "Training"
    case "evaluate": "Evaluating"
    default: stage
    }
  }
}
