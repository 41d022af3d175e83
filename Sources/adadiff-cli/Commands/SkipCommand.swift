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
