import Support

/// What `adadiff generate` tells a person: where the picture is, what was decided, how long it took, what to try.
struct GenerateSummary {
  var result: LibraryResult
  var files: [String]
  var prompt: String
  /// The `--model` argument; nil for the bundled model.
  var folder: String?

  func print() {
    for file in files { Terminal.print("Wrote \(file) (\(result.width)×\(result.height))") }
    Terminal.print("")
    Terminal.print("Prompt  \(prompt)")
    Terminal.print("Steps   \(steps)")
    Terminal.print("Seed    \(result.seed)")
    let stages = result.stages.map {
      "\(ProgressDisplay.title($0.name).lowercased()) \(formatted(seconds: $0.seconds))"
    }
    Terminal.print("Time    \(formatted(seconds: result.totalSeconds)) (\(stages.joined(separator: ", ")))")
    Terminal.print("")
    Terminal.print("Try next")
    for suggestion in suggestions { Terminal.print("  \(suggestion)") }
  }

  private var steps: String {
    let planned = "\(result.stepsPlanned) with \(result.scheduler)"
    switch result.policy {
    case "fixed": return "\(planned), as asked"
    case "scheduler_default": return "\(planned) (the pipeline has no step policy: the scheduler's default)"
    default:
      let choices = result.choices.map { "\($0.steps): \(rounded($0.probability * 100, digits: 0)) %" }
      let detail = choices.isEmpty ? "" : " (\(choices.joined(separator: ", ")))"
      return "\(planned), chosen by the policy '\(result.policy)'\(detail)"
    }
  }

  private var suggestions: [String] {
    let model = folder.map { " --model \(GenerateSummary.quoted($0))" } ?? ""
    let base = "adadiff generate \(GenerateSummary.quoted(prompt))\(model)"
    return [
      "\(base) --seed \(result.seed &+ 1)    # another picture of the same",
      result.policy == "fixed"
        ? "\(base) --seed \(result.seed) --steps auto    # let the policy choose the steps"
        : "\(base) --seed \(result.seed) --steps \(result.stepsPlanned == 50 ? 10 : 50)    # the same noise, other steps",
      "adadiff inspect\(folder.map { " \(GenerateSummary.quoted($0))" } ?? "")    # what is inside the model",
    ]
  }

  /// `text` as one word of a shell.
  static func quoted(_ text: String) -> String {
    let isPlain = !text.isEmpty && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "/._-".contains($0)) }
    return isPlain ? text : "'\(text.replacing("'", with: "'\\''"))'"
  }
}
