import Adaptive
import ArgumentParser
import Graph
import Pipelines
import Support

/// `adadiff skip`: rules, evaluation and search.
struct SkipCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "skip",
    abstract: "Measure and search where the network can be left out while sampling.",
    subcommands: [SkipRulesCommand.self, SkipEvalCommand.self, SkipSearchCommand.self])
}

struct SkipRulesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rules", abstract: "List the rules that --skip takes, with their parameters.")

  @OptionGroup(title: "Output") var outputOptions: OutputOptions

  func run() {
    guard !outputOptions.json else { return Terminal.print(Self.json.text) }
    for rule in SkipRuleTable.entries {
      Terminal.print("\(rule.name): \(rule.summary)")
      for parameter in rule.parameters {
        let value = parameter.defaultText.isEmpty ? "" : "=\(parameter.defaultText)"
        Terminal.print("    \(parameter.name)\(value)  \(parameter.documentation)")
      }
    }
    Terminal.print("--cache deepcache:")
    for parameter in FeatureCacheSettings.parameters {
      Terminal.print("    \(parameter.name)=\(parameter.defaultText)  \(parameter.documentation)")
    }
  }

  private static var json: JSON {
    func described(_ parameters: [Parameter]) -> JSON {
      .array(
        parameters.map {
          .object([
            "name": JSON($0.name), "default": JSON($0.defaultText), "documentation": JSON($0.documentation),
          ])
        })
    }
    return .object([
      "rules": .array(
        SkipRuleTable.entries.map {
          .object(["name": JSON($0.name), "summary": JSON($0.summary), "parameters": described($0.parameters)])
        }),
      "caches": .array([.object(["name": "deepcache", "parameters": described(FeatureCacheSettings.parameters)])]),
    ])
  }
}

/// What evaluation, search and calibration share: the model, its prompts and the full run.
struct TrialOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("Text file, one prompt per line (default: prompts of the bundled model).", valueName: "file"))
  var prompts: String?

  @Option(help: ArgumentHelp("Use only the first n prompts.", valueName: "n"))
  var count: Int?

  @Option(help: ArgumentHelp("Pipeline folder (default: the bundled model).", valueName: "dir"))
  var model: String?

  @Option(help: ArgumentHelp("Guidance scale (default: the pipeline's own).", valueName: "g"))
  var guidance: Double?

  @Option(help: ArgumentHelp("Seed of the first prompt; the next ones count up.", valueName: "s"))
  var seed = 0

  @Option(help: ArgumentHelp("Threads to compute on (default: all allowed processors).", valueName: "n"))
  var threads: Int?

  func texts() throws(Failure) -> [String] {
    var texts = Self.defaultPrompts
    if let prompts {
      let file = try MappedFile(path: prompts)
      let text = withExtendedLifetime(file) { String(decoding: file.bytes, as: UTF8.self) }
      texts = text.split(whereSeparator: \.isNewline).map(String.init).filter { !$0.allSatisfy(\.isWhitespace) }
    }
    if let count { texts = Array(texts.prefix(count)) }
    guard !texts.isEmpty else { throw Failure(.invalidArgument, "there are no prompts", file: prompts) }
    return texts
  }

  func pipeline() throws -> StableDiffusionPipeline {
    var options = Pipelines.PipelineOptions()
    guard threads.map({ (1...1024).contains($0) }) ?? true else {
      throw Failure(.outOfRange, "--threads is out of range", expected: "1…1024")
    }
    options.threads = threads ?? 0
    return try StableDiffusionPipeline(
      path: model ?? BundledModel.folder(), options: options, callbacks: RunCallbacks())
  }

  func generation(steps: Int, scheduler: String?) throws(Failure) -> GenerationOptions {
    guard (1...1000).contains(steps) else {
      throw Failure(.outOfRange, "--steps is out of range", expected: "1…1000", actual: "\(steps)")
    }
    var options = GenerationOptions()
    options.steps = .fixed(steps)
    options.scheduler = scheduler.map(SchedulerName.resolve)
    options.guidanceScale = guidance
    options.seed = UInt64(max(0, seed))
    return options
  }

  /// Captions of the kinds that the bundled model was trained on.
  static let defaultPrompts = [
    "a red apple on white", "a cat face on blue", "a strawberry on yellow", "a car on a green background",
    "two cats and a tree on a green background", "a star and a frog under a starry sky",
    "three fruits on a checked blue background", "two pigs and a heart in front of a brick wall",
    "a pile of apples on the grass", "a panda", "a rocket under a starry sky", "a tree on the grass",
    "two bananas on a striped yellow background", "a heart on pink", "a frog on the grass", "three stars on blue",
  ]
}

struct SkipEvalCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "eval",
    abstract: "Compare rules, caches and fewer steps with the full run: same prompts, same noise.",
    discussion: """
      Every row makes one picture per prompt and is compared with the full run's: PSNR of the picture, relative error of \
      the latents, network calls, time of the sampling loop. `python -m adadiff.eval report.json` adds LPIPS and FID \
      (needs --pictures) and writes one HTML page.

      EXAMPLES:
        adadiff skip eval --steps 50 --report r.json
            The standard rows on the bundled model.
        adadiff skip eval --row 'skip=every:n=2' --row 'steps=25' \\
            --scheduler dpmpp_2m
            Rows of your own: fields skip, cache, steps and name, separated by
            semicolons.
      """)

  @OptionGroup(title: "Trial") var trial: TrialOptions

  @Option(help: ArgumentHelp("Steps of the full run.", valueName: "n"))
  var steps = 50

  @Option(help: ArgumentHelp("Scheduler (default: the pipeline's own).", valueName: "name"))
  var scheduler: String?

  @Option(help: ArgumentHelp("A row instead of the standard ones; repeatable.", valueName: "field=value;…"))
  var row: [String] = []

  @Flag(help: "Add rows over thresholds and caps of the third-order rule.")
  var ablation = false

  @Option(help: ArgumentHelp("Write the rows as JSON.", valueName: "file.json"))
  var report: String?

  @Option(help: ArgumentHelp("Write every picture as PNG into this folder, one subfolder per row.", valueName: "dir"))
  var pictures: String?

  @OptionGroup(title: "Output") var outputOptions: OutputOptions

  func run() throws {
    let texts = try trial.texts()
    let options = try trial.generation(steps: steps, scheduler: scheduler)
    let pipeline = try trial.pipeline()
    let rows = try row.isEmpty ? StandardRows.rows(steps: steps, ablation: ablation) : row.map(Self.parse)
    for row in rows { try Self.check(row) }
    if let report { try Paths.requireWritable(report) }
    if let pictures { try Paths.requireWritableFolder(pictures) }
    let callbacks = try RunCallbacks.interruptible()

    let evaluation = try SkipEvaluation(prompts: texts, pipeline: pipeline, options: options, callbacks: callbacks)
    var results: [JSON] = []
    let table = EvaluationTable(json: outputOptions.json)
    table.header(prompts: texts.count, steps: steps, scheduler: scheduler ?? "the pipeline's own")
    let full = evaluation.full
    for (index, row) in ([full.row] + rows).enumerated() {
      let folder = pictures.map { Paths.join($0, "\(index)") }
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
      if let macs = try? macs(pipeline, result) { json["macs"] = JSON(macs) }
      if let folder { json["pictures"] = JSON(folder) }
      json["peak_memory_kib"] = PeakMemory.kibibytes.map { JSON($0) } ?? .null
      PeakMemory.reset()
      results.append(.object(json))
    }
    let document = JSON.object([
      "format": 1, "steps": JSON(steps), "scheduler": scheduler.map { JSON($0) } ?? .null,
      "seed": JSON(trial.seed), "prompts": .array(texts.map { JSON($0) }), "rows": .array(results),
      "build": Build.information,
    ])
    if let report { try FileBytes.write(Array((document.text + "\n").utf8), to: report) }
    if outputOptions.json { Terminal.print(document.text) }
  }

  /// Mean multiply-accumulates of a row's network calls, guidance included.
  private func macs(
    _ pipeline: StableDiffusionPipeline, _ result: EvaluationResult
  ) throws -> Double {
    let whole = try pipeline.multiplyAccumulates(batch: 1)
    var total = MeanInterval(result.predictions.map(Double.init)).mean * Double(whole.weights)
    if !result.row.cache.isEmpty {
      let branch = try FeatureCacheSettings(result.row.cache).branch
      let part = try pipeline.multiplyAccumulates(batch: 1, branch: branch)
      total += MeanInterval(result.partialPredictions.map(Double.init)).mean * Double(part.weights)
    }
    return total
  }

  static func check(_ row: EvaluationRow) throws(Failure) {
    if !row.skip.isEmpty { _ = try SkipSettings(row.skip) }
    if !row.cache.isEmpty { _ = try FeatureCacheSettings(row.cache) }
  }

  static func parse(_ text: String) throws(Failure) -> EvaluationRow {
    var row = EvaluationRow(text)
    for part in text.split(separator: ";") {
      let pair = part.split(separator: "=", maxSplits: 1).map(String.init)
      guard pair.count == 2 else {
        throw Failure(.invalidArgument, "--row takes field=value;…", expected: "skip, cache, steps, name", actual: text)
      }
      switch pair[0] {
      case "skip": row.skip = pair[1]
      case "cache": row.cache = pair[1]
      case "name": row.name = pair[1]
      case "steps":
        guard let steps = Int(pair[1]), (1...1000).contains(steps) else {
          throw Failure(.outOfRange, "a row's steps are out of range", expected: "1…1000", actual: pair[1])
        }
        row.steps = steps
      default:
        throw Failure(
          .unknownName, "a row has no field '\(pair[0])'", expected: "one of skip, cache, steps, name", actual: text)
      }
    }
    return row
  }
}
