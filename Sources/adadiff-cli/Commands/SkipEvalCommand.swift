import Adaptive
import ArgumentParser
import Graph
import Pipelines
import Support

struct SkipEvalCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "eval",
    abstract: "Compare rules, caches and fewer steps with the full run: same prompts, same noise.",
    discussion: """
      Every row makes one picture per prompt and is compared with the full run's: PSNR of the picture, relative error of \
      the latents, network calls, operations, peak memory, time of the sampling loop. Every number of steps is evaluated \
      with every scheduler. `python -m adadiff.eval report.json` adds LPIPS and FID (needs --pictures) and writes one HTML \
      page.

      EXAMPLES:
        adadiff skip eval --steps 50 --report r.json
            The standard rows on the bundled model.
        adadiff skip eval --row 'skip=every:n=2' --row 'steps=25' \\
            --scheduler dpmpp_2m
            Rows of your own: fields skip, cache, steps and name, separated by
            semicolons.
        adadiff skip eval --paper --report r.json --pictures p
            The tables and figures of the AdaptiveDiffusion paper: 50, 25, 15 and
            10 steps with DDIM, Euler, DPM++ 2M and SDE-DPM++, thresholds and caps,
            rule paths against searched ones.
      """)

  @OptionGroup(title: "Trial") var trial: TrialOptions

  @Option(help: ArgumentHelp("Steps of the full run; repeatable (default: 50).", valueName: "n"))
  var steps: [Int] = []

  @Option(help: ArgumentHelp("Scheduler; repeatable (default: the pipeline's own).", valueName: "name"))
  var scheduler: [String] = []

  @Option(help: ArgumentHelp("A row instead of the standard ones; repeatable.", valueName: "field=value;…"))
  var row: [String] = []

  @Option(
    help: ArgumentHelp(
      "Add the best fixed mask of n network calls, searched on the first 8 prompts with other noise; repeatable.",
      valueName: "n"))
  var mask: [Int] = []

  @Flag(help: "Add rows over thresholds and caps of the third-order rule.")
  var ablation = false

  @Option(
    help: ArgumentHelp(
      "Compare paths of the third-order rule with greedily searched ones for the first n prompts (χ²).", valueName: "n")
  )
  var search = 0

  @Flag(help: "Everything that the AdaptiveDiffusion paper shows, at once; --steps and --scheduler narrow it.")
  var paper = false

  @Option(help: ArgumentHelp("Write the rows as JSON.", valueName: "file.json"))
  var report: String?

  @Option(help: ArgumentHelp("Write every picture as PNG into this folder, one subfolder per row.", valueName: "dir"))
  var pictures: String?

  @OptionGroup(title: "Output") var outputOptions: OutputOptions

  private static let paperSteps = [50, 25, 15, 10]
  private static let paperSchedulers = ["ddim", "euler", "dpmpp_2m", "dpmpp_2m_sde"]
  /// Thresholds whose paths span few to many skips.
  private static let searchedThresholds = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1]
  private static let maskPrompts = 8

  func run() throws {
    let texts = try trial.texts()
    let allSteps = steps.isEmpty ? paper ? Self.paperSteps : [50] : steps
    let allSchedulers: [String?] = scheduler.isEmpty ? paper ? Self.paperSchedulers : [nil] : scheduler
    guard (0...texts.count).contains(search) else {
      throw Failure(.outOfRange, "--search is out of range", expected: "0…\(texts.count)", actual: "\(search)")
    }
    let own = try row.map(EvaluationRow.init(parsing:))
    for steps in allSteps {
      for count in mask where !(1...steps).contains(count) {
        throw Failure(.outOfRange, "--mask is out of range", expected: "1…\(steps)", actual: "\(count)")
      }
      for scheduler in allSchedulers { _ = try trial.generation(steps: steps, scheduler: scheduler) }
    }
    if let report { try Paths.requireWritable(report) }
    if let pictures { try Paths.requireWritableFolder(pictures) }
    let pipeline = try trial.pipeline()
    let callbacks = try RunCallbacks.interruptible()
    var evaluations: [JSON] = []
    for scheduler in allSchedulers {
      for steps in allSteps {
        let isFirst = evaluations.isEmpty
        let several = allSteps.count * allSchedulers.count > 1
        let one = EvaluationTrial(
          pipeline: pipeline, texts: texts, steps: steps, scheduler: scheduler, seed: trial.seed,
          options: try trial.generation(steps: steps, scheduler: scheduler), callbacks: callbacks,
          pictures: pictures.map { several ? Paths.join($0, "\(evaluations.count)") : $0 },
          table: EvaluationTable(json: outputOptions.json))
        var rows = own
        if own.isEmpty { rows = StandardRows.rows(steps: steps, ablation: ablation || paper && isFirst) }
        rows += try masks(one)
        let searched = paper && isFirst ? max(search, 1) : search
        evaluations.append(
          try one.json(rows: rows, paths: searchedPaths(one, prompts: texts.prefix(searched))))
      }
    }
    let document = JSON.object([
      "format": 2, "prompts": .array(texts.map { JSON($0) }), "evaluations": .array(evaluations),
      "build": Build.information,
    ])
    if let report { try FileBytes.write(Array((document.text + "\n").utf8), to: report) }
    if outputOptions.json { Terminal.print(document.text) }
  }

  private func masks(_ one: EvaluationTrial) throws -> [EvaluationRow] {
    guard !mask.isEmpty else { return [] }
    let recorded = try RecordedTrajectories(
      prompts: Array(one.texts.prefix(Self.maskPrompts)), pipeline: one.pipeline,
      options: Calibration.otherNoise(one.options), callbacks: one.callbacks)
    return try Calibration.maskRows(recorded, counts: mask)
  }

  private func searchedPaths(_ one: EvaluationTrial, prompts: ArraySlice<String>) throws -> [JSON] {
    try prompts.enumerated().map { index, text in
      var single = one.options
      single.seed = (single.seed ?? 0) &+ UInt64(index)
      let paths = try SkipSearch.greedy(
        prompt: text, skips: one.steps * 3 / 5, maximumSkips: 6, settings: "order=0,correct=false",
        pipeline: one.pipeline, options: single, callbacks: one.callbacks)
      let comparisons = try SkipSearch.compare(
        paths, rules: Self.searchedThresholds.map { "third-order:delta=\($0)" }, prompt: text,
        pipeline: one.pipeline, options: single, callbacks: one.callbacks)
      return SearchedPaths.json(prompt: text, paths, comparisons)
    }
  }
}

/// One evaluation: a number of steps with a scheduler.
struct EvaluationTrial {
  var pipeline: StableDiffusionPipeline
  var texts: [String]
  var steps: Int
  var scheduler: String?
  var seed: Int
  var options: GenerationOptions
  var callbacks: RunCallbacks
  /// Folder for a subfolder per row.
  var pictures: String?
  var table: EvaluationTable

  /// Measures the full run and `rows`; rows that this model or scheduler cannot follow are left out with a message.
  func json(rows: [EvaluationRow], paths: @autoclosure () throws -> [JSON]) throws -> JSON {
    let evaluation = try SkipEvaluation(prompts: texts, pipeline: pipeline, options: options, callbacks: callbacks)
    table.header(prompts: texts.count, steps: steps, scheduler: scheduler ?? "the pipeline's own")
    var results: [JSON] = []
    let full = evaluation.full
    for (index, row) in ([full.row] + rows).enumerated() {
      let folder = pictures.map { Paths.join($0, "\(index)") }
      if let pictures, index == 0 { try Paths.requireWritableFolder(pictures) }
      if let folder { try Paths.requireWritableFolder(folder) }
      let save: ((Int, Tensor) throws -> Void)? = folder.map { folder in
        { try PictureFile.write($1, to: Paths.join(folder, "\($0).png")) }
      }
      let result: EvaluationResult
      if index == 0 {
        result = full
        if let save {
          for prompt in texts.indices { if let image = evaluation.picture(prompt) { try save(prompt, image) } }
        }
      } else {
        do {
          result = try evaluation.evaluate(row, callbacks: callbacks, picture: save)
        } catch let failure as Failure where failure.status == .unsupported || failure.status == .outOfRange {
          Terminal.printError("\(row.name): \(failure)")
          continue
        }
      }
      table.line(result, full: full)
      var json = result.json.object ?? [:]
      if let macs = try? macs(result) { json["macs"] = JSON(macs) }
      if let folder { json["pictures"] = JSON(folder) }
      json["peak_memory_kib"] = PeakMemory.kibibytes.map { JSON($0) } ?? .null
      PeakMemory.reset()
      results.append(.object(json))
    }
    return .object([
      "steps": JSON(steps), "scheduler": scheduler.map { JSON($0) } ?? .null, "seed": JSON(seed),
      "rows": .array(results), "paths": .array(try paths()),
    ])
  }

  /// Mean multiply-accumulates of a row's network calls, guidance included.
  private func macs(_ result: EvaluationResult) throws -> Double {
    let whole = try pipeline.multiplyAccumulates(batch: 1)
    var total = MeanInterval(result.predictions.map(Double.init)).mean * Double(whole.weights)
    if !result.row.cache.isEmpty {
      let branch = try FeatureCacheSettings(result.row.cache).branch
      let part = try pipeline.multiplyAccumulates(batch: 1, branch: branch)
      total += MeanInterval(result.partialPredictions.map(Double.init)).mean * Double(part.weights)
    }
    return total
  }
}

extension EvaluationRow {
  /// `field=value;…` with the fields skip, cache, steps and name, each checked.
  init(parsing text: String) throws(Failure) {
    self.init(text)
    for part in text.split(separator: ";") {
      let pair = part.split(separator: "=", maxSplits: 1).map(String.init)
      guard pair.count == 2 else {
        throw Failure(.invalidArgument, "--row takes field=value;…", expected: "skip, cache, steps, name", actual: text)
      }
      switch pair[0] {
      case "skip": skip = try SkipSettings(pair[1]).text
      case "cache": cache = try FeatureCacheSettings(pair[1]).text
      case "name": name = pair[1]
      case "steps":
        guard let steps = Int(pair[1]), (1...1000).contains(steps) else {
          throw Failure(.outOfRange, "a row's steps are out of range", expected: "1…1000", actual: pair[1])
        }
        self.steps = steps
      default:
        throw Failure(
          .unknownName, "a row has no field '\(pair[0])'", expected: "one of skip, cache, steps, name", actual: text)
      }
    }
  }
}
