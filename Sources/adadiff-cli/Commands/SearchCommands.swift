import Adaptive
import ArgumentParser
import CAdaDiff
import Pipelines
import Support

extension RunCallbacks {
  /// Callbacks that end a run when Ctrl-C is pressed.
  static func interruptible() throws(Failure) -> RunCallbacks {
    let token = try Interruption.token()
    var callbacks = RunCallbacks()
    callbacks.isCancelled = { adadiff_cancel_token_fired(token) != 0 }
    return callbacks
  }
}

struct SkipSearchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "search",
    abstract: "Search the best skip paths: one mask for all prompts, or greedily per prompt.",
    discussion: """
      mask records full runs and finds, by dynamic programming, the mask with --calls network calls that all prompts \
      together lose least by. greedy adds one skip after the other to the path of each prompt, always the one that \
      leaves the final latents closest to the full run's, and compares it with the path that --rule takes: χ² of the \
      2×2 table of skips, p-value under independence, share of equal decisions.

      EXAMPLES:
        adadiff skip search mask --calls 20 --calls 25
        adadiff skip search greedy --skips 20 --count 2 --rule third-order
      """)

  enum Method: String, ExpressibleByArgument, CaseIterable { case mask, greedy }

  @Argument(help: "mask or greedy.") var method: Method

  @OptionGroup(title: "Trial") var trial: TrialOptions

  @Option(help: ArgumentHelp("Steps of the full run.", valueName: "n"))
  var steps = 50

  @Option(help: ArgumentHelp("Scheduler (default: the pipeline's own).", valueName: "name"))
  var scheduler: String?

  @Option(help: ArgumentHelp("Network calls of a mask; repeatable.", valueName: "n"))
  var calls: [Int] = []

  @Option(help: ArgumentHelp("Skips of a greedy path.", valueName: "n"))
  var skips = 20

  @Option(help: ArgumentHelp("Most skips in a row.", valueName: "n"))
  var maxSkip = Calibration.maximumSkips

  @Option(help: ArgumentHelp("Degree of the polynomial that skipped steps take.", valueName: "0-3"))
  var order = 1

  @Option(help: ArgumentHelp("The quantity that is extrapolated: epsilon or original.", valueName: "name"))
  var of = "epsilon"

  @Flag(inversion: .prefixedNo, help: "Correct the solver when the network runs.")
  var correct = true

  @Option(
    help: ArgumentHelp("How fast the network forgets early errors, in powers of the noise level.", valueName: "p"))
  var contraction = 0.0

  @Option(help: ArgumentHelp("Rule whose paths are compared with greedy ones; repeatable.", valueName: "rule"))
  var rule = ["third-order"]

  @OptionGroup(title: "Output") var outputOptions: OutputOptions

  func run() throws {
    let texts = try trial.texts()
    let options = try trial.generation(steps: steps, scheduler: scheduler)
    guard (0...3).contains(order), (1...100).contains(maxSkip), (0...10).contains(contraction) else {
      throw Failure(.outOfRange, "--order, --max-skip or --contraction is out of range")
    }
    guard let quantity = SkipQuantity(rawValue: of), [.epsilon, .original].contains(quantity) else {
      throw Failure(.unknownName, "--of does not know '\(of)'", expected: "epsilon or original")
    }
    let pipeline = try trial.pipeline()
    let callbacks = try RunCallbacks.interruptible()
    switch method {
    case .mask: try searchMasks(texts, options, pipeline, callbacks, quantity)
    case .greedy: try searchGreedily(texts, options, pipeline, callbacks)
    }
  }

  private func searchMasks(
    _ texts: [String], _ options: GenerationOptions, _ pipeline: StableDiffusionPipeline, _ callbacks: RunCallbacks,
    _ quantity: SkipQuantity
  ) throws {
    let recorded = try RecordedTrajectories(
      prompts: texts, pipeline: pipeline, options: options, callbacks: callbacks)
    let rows = try Calibration.maskRows(
      recorded, counts: calls.isEmpty ? [steps / 2] : calls, maximumSkips: maxSkip,
      weighting: .init(order: order, quantity: quantity, corrected: correct, contraction: contraction))
    if outputOptions.json {
      Terminal.print(JSON.object(["masks": .array(rows.map { JSON($0.skip) })]).text)
    } else {
      for row in rows { Terminal.print(row.skip) }
    }
  }

  private func searchGreedily(
    _ texts: [String], _ options: GenerationOptions, _ pipeline: StableDiffusionPipeline, _ callbacks: RunCallbacks
  ) throws {
    var results: [JSON] = []
    for (index, text) in texts.enumerated() {
      var single = options
      single.seed = (options.seed ?? 0) &+ UInt64(index)
      let paths = try SkipSearch.greedy(
        prompt: text, skips: skips, maximumSkips: maxSkip,
        settings: "order=\(order),correct=\(correct ? "auto" : "false")",
        pipeline: pipeline, options: single, callbacks: callbacks)
      let comparisons = try SkipSearch.compare(
        paths, rules: rule, prompt: text, pipeline: pipeline, options: single, callbacks: callbacks)
      results.append(SearchedPaths.json(prompt: text, paths, comparisons))
      guard !outputOptions.json else { continue }
      Terminal.print(text)
      for it in comparisons {
        Terminal.print("  greedy  \(it.searched.mask.text)  error \(rounded(it.searched.error, digits: 4))")
        Terminal.print("  rule    \(it.mask.text)  \(it.rule)")
        Terminal.print(
          "  χ² \(rounded(it.chiSquare.value, digits: 2)), p \(rounded(it.chiSquare.probability, digits: 4)), "
            + "equal decisions \(rounded(it.chiSquare.agreement * 100, digits: 0)) %")
      }
    }
    if outputOptions.json { Terminal.print(JSON.object(["paths": .array(results)]).text) }
  }
}

/// A prompt's greedily searched paths in JSON.
enum SearchedPaths {
  static func json(prompt: String, _ paths: [SkipSearch.Path], _ comparisons: [PathComparison]) -> JSON {
    .object([
      "prompt": JSON(prompt), "errors_by_skips": .array(paths.map { JSON($0.error) }),
      "comparisons": .array(comparisons.map(\.json)),
    ])
  }
}

struct CalibrateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "calibrate",
    abstract: "Find the fastest way to every quality on this machine, and write it into the pipeline folder.",
    discussion: """
      Measures fixed masks found by dynamic programming, step control, the third-order rule, feature caches and fewer \
      plain steps against the full run of the same prompts and noise, and writes the Pareto front of quality (PSNR in dB) \
      against time to adaptive.json. `adadiff generate --quality 40` then takes the fastest entry of 40 dB and more.

      EXAMPLES:
        adadiff calibrate ./sd15 --prompts captions.txt --count 8
      """)

  @Argument(help: "Pipeline folder (default: the bundled model).") var model: String?

  @OptionGroup(title: "Trial") var trial: TrialOptions

  @Option(help: ArgumentHelp("Steps of the full run.", valueName: "n"))
  var steps = 50

  @Option(help: ArgumentHelp("Scheduler (default: the pipeline's own).", valueName: "name"))
  var scheduler: String?

  @Option(help: ArgumentHelp("Write here instead of into the pipeline folder.", valueName: "file.json"))
  var output: String?

  @OptionGroup(title: "Output") var outputOptions: OutputOptions

  func run() throws {
    var trial = trial
    if let model { trial.model = model }
    let texts = try trial.texts()
    let options = try trial.generation(steps: steps, scheduler: scheduler)
    let folder = try trial.model ?? BundledModel.folder()
    let path = output ?? Paths.join(folder, AdaptiveProfile.fileName)
    try Paths.requireWritable(path)
    let callbacks = try RunCallbacks.interruptible()
    let calibration = Calibration(pipeline: try trial.pipeline(), prompts: texts, options: options)
    let table = EvaluationTable(json: outputOptions.json || outputOptions.quiet)
    table.header(prompts: texts.count, steps: steps, scheduler: scheduler ?? "the pipeline's own")
    let profile = try calibration.run(try calibration.candidates(callbacks: callbacks), callbacks: callbacks) {
      table.line($0, full: $1)
    }
    let document = profile.json(prompts: texts.count)
    try FileBytes.write(Array((document.text + "\n").utf8), to: path)
    guard !outputOptions.json else { return Terminal.print(document.text) }
    Terminal.print("Wrote \(path): \(profile.entries.count) ways, fastest first")
    for entry in profile.entries {
      Terminal.print(
        "  \(rounded(entry.quality, digits: 1)) dB  \(rounded(entry.milliseconds, digits: 0)) ms  "
          + "\(rounded(entry.networkCalls, digits: 1)) calls  \(entry.name)")
    }
  }
}
