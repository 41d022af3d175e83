import ArgumentParser
import Support

struct PolicyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "policy",
    abstract: "Learn how many sampling steps a prompt deserves: collect rewards, train, evaluate.",
    discussion: """
      EXAMPLES:
        adadiff policy collect prompts.txt --model ./sd15 --output rewards.csv
        adadiff policy train rewards.csv --model ./sd15
        adadiff policy eval held-out.csv --model ./sd15
        adadiff policy decide "two cats and a tree" --model ./sd15
      """,
    subcommands: [PolicyCollect.self, PolicyTrain.self, PolicyEval.self, PolicyDecide.self])
}

struct PolicyCollect: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "collect",
    abstract: "Make every prompt at every number of steps from the same noise, and score the pictures into a table.",
    discussion: """
      Can be stopped at any moment and started again: rows that the table has are not made again. Several processes may \
      work on one table at once; give each its share of the processors with --threads.
      """)

  @Argument(help: "Prompts, one per line.") var prompts: String
  @OptionGroup(title: "Pipeline") var pipeline: PipelineOptions
  @Option(help: ArgumentHelp("Numbers of steps separated by '/' (default: the pipeline policy's).", valueName: "n/n/…"))
  var stepSet: String?
  @Option(name: .shortAndLong, help: ArgumentHelp("Table to write or to go on with.", valueName: "file.csv"))
  var output: String
  @Option(
    help: ArgumentHelp("Scorers: reward[:folder], clip:folder, niqe:file; separated by commas.", valueName: "list"))
  var metrics: String?
  @Option(help: ArgumentHelp("Initial noises per prompt.", valueName: "n")) var seeds: Int?
  @Option(help: ArgumentHelp("Seed of the first noise (default 0).", valueName: "s")) var seed: Int?
  @Option(help: ArgumentHelp("Scheduler.", valueName: "name")) var scheduler: String?
  @Option(help: ArgumentHelp("Guidance scale.", valueName: "g")) var guidance: Double?
  @OptionGroup(title: "Output") var outputOptions: OutputOptions

  func run() throws {
    let display = ProgressDisplay(quiet: outputOptions.quiet || outputOptions.json)
    let options = try pipeline.libraryOptions(output: outputOptions, progress: display)
    if let stepSet { try options.set("collect_step_set", stepSet) }
    if let metrics { try options.set("collect_metrics", metrics) }
    if let seeds { try options.set("collect_seeds", seeds) }
    if let seed { try options.set("seed", seed) }
    if let scheduler { try options.set("scheduler", SchedulerName.resolve(scheduler)) }
    if let guidance { try options.set("guidance_scale", guidance) }
    defer { display.finishLine() }
    let report = try LibraryPipeline(path: pipeline.folder(), options: options).collect(
      prompts: prompts, table: output, options: options)
    display.finishLine()
    guard !outputOptions.json else { return Terminal.print(report.text) }
    Terminal.print(
      "\(output): \(report["pictures_present"]?.int ?? 0) pictures scored, \(report["pictures_made"]?.int ?? 0) of them now"
    )
  }
}

struct PolicyTrain: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Train a step-selection network on a table of rewards by policy gradient.",
    discussion: """
      Writes policy.json, policy.onnx, ngram.json, training.jsonl and checkpoint.bin. Every other setting is an option of \
      the library (`adadiff version --options`): --option train_dropout=0.1, --option reward_scale=logistic, …
      """)

  @Argument(help: "Table of rewards (CSV).") var table: String
  @OptionGroup(title: "Pipeline") var pipeline: PipelineOptions
  @Option(name: .shortAndLong, help: ArgumentHelp("Folder to write (default: policy/ in the model).", valueName: "dir"))
  var output: String?
  @Option(help: ArgumentHelp("reinforce (default) or expected.", valueName: "name")) var estimator: String?
  @Option(help: ArgumentHelp("none (default), batch, moving or greedy.", valueName: "name")) var baseline: String?
  @Option(help: ArgumentHelp("Passes over the prompts (default 200).", valueName: "n")) var epochs: Int?
  @Option(help: ArgumentHelp("Prompts per update (default 256).", valueName: "n")) var batch: Int?
  @Option(name: .customLong("lr"), help: ArgumentHelp("Learning rate (default 1e-5).", valueName: "x"))
  var learningRate: Double?
  @Option(help: ArgumentHelp("Weight of the entropy in the first epoch (default 0).", valueName: "x")) var entropy:
    Double?
  @Option(name: .customLong("lambda"), help: ArgumentHelp("Weight of the quality (default 2).", valueName: "x"))
  var qualityWeight: Double?
  @Option(name: .customLong("gamma"), help: ArgumentHelp("Penalty (default 0.5).", valueName: "x")) var penalty: Double?
  @Option(help: ArgumentHelp("How many of a prompt's step set pass (default 3).", valueName: "k")) var topK: Int?
  @Option(
    help: ArgumentHelp("Metrics of the table with weights, name[:weight],… (default: the first).", valueName: "list"))
  var metrics: String?
  @Option(help: ArgumentHelp("Seed (default 0).", valueName: "s")) var seed: Int?
  @Flag(help: "Go on from the output folder's checkpoint.") var resume = false
  @OptionGroup(title: "Output") var outputOptions: OutputOptions

  func run() throws {
    let display = ProgressDisplay(quiet: outputOptions.quiet || outputOptions.json)
    let options = try pipeline.libraryOptions(output: outputOptions, progress: display)
    if let estimator { try options.set("train_estimator", estimator) }
    if let baseline { try options.set("train_baseline", baseline) }
    if let epochs { try options.set("train_epochs", epochs) }
    if let batch { try options.set("train_batch", batch) }
    if let learningRate { try options.set("train_learning_rate", learningRate) }
    if let entropy { try options.set("train_entropy_weight", entropy) }
    if let qualityWeight { try options.set("reward_lambda", qualityWeight) }
    if let penalty { try options.set("reward_gamma", penalty) }
    if let topK { try options.set("reward_top_k", topK) }
    if let metrics { try options.set("reward_metrics", metrics) }
    if let seed { try options.set("seed", seed) }
    if resume { try options.set("train_resume", true) }
    defer { display.finishLine() }
    let folder = try pipeline.folder()
    let target = output ?? Paths.join(folder, "policy")
    let report = try LibraryPipeline(path: folder, options: options).train(
      table: table, output: target, options: options)
    display.finishLine()
    guard !outputOptions.json else { return Terminal.print(report.text) }
    let training = report["training"]
    Terminal.print("Wrote \(target)")
    Terminal.print(
      "Epoch \(training?["chosen_epoch"]?.int ?? 0) of \(training?["epochs"]?.int ?? 0), "
        + "\(training?["parameters"]?.int ?? 0) parameters")
    if let chosen = training?["chosen"] {
      Terminal.print(
        "Reward  \(rounded(chosen["reward"]?.double ?? 0, digits: 3)) of at most "
          + "\(rounded(chosen["best_reward"]?.double ?? 0, digits: 3)) on \(training?["held_out_prompts"]?.int ?? 0) held-out prompts"
      )
      Terminal.print("Steps   \(rounded(chosen["mean_steps"]?.double ?? 0, digits: 1)) in the mean")
    }
  }
}

struct PolicyEval: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "eval",
    abstract: "Compare the learned policy with fixed numbers, random, words, perplexity and the oracle on a table.",
    discussion: """
      The table must hold prompts that the policy has not learned from. Intervals are 95 % bootstrap intervals over \
      prompts. `python -m adadiff.report` makes figures and a page with pictures from the --json output.
      """)

  @Argument(help: "Table of rewards (CSV).") var table: String
  @OptionGroup(title: "Pipeline") var pipeline: PipelineOptions
  @Option(help: ArgumentHelp("Another learned policy than the model's own: its folder.", valueName: "dir"))
  var policy: String?
  @Option(help: ArgumentHelp("Where the learned policy decides, 0 to 1.", valueName: "q")) var quality: Double?
  @Option(help: ArgumentHelp("Write the whole report.", valueName: "file.json")) var output: String?
  @OptionGroup(title: "Output") var outputOptions: OutputOptions

  func run() throws {
    let display = ProgressDisplay(quiet: outputOptions.quiet || outputOptions.json)
    let options = try pipeline.libraryOptions(output: outputOptions, progress: display)
    if let policy { try options.set("policy", "learned:path=\(policy)") }
    if let quality { try options.set("policy_quality", quality) }
    defer { display.finishLine() }
    let report = try LibraryPipeline(path: pipeline.folder(), options: options).evaluate(table: table, options: options)
    display.finishLine()
    if let output { try FileBytes.write(Array((report.text + "\n").utf8), to: output) }
    guard !outputOptions.json else { return Terminal.print(report.text) }
    Self.printTables(report)
  }

  private static func printTables(_ report: JSON) {
    let metrics = (report["metrics"]?.array ?? []).compactMap(\.string)
    let columns = ["reward_of_rule"] + metrics + ["ms"]
    func cell(_ value: JSON?, digits: Int) -> String {
      guard let mean = value?["mean"]?.double, let low = value?["low"]?.double, let high = value?["high"]?.double else {
        return "–"
      }
      return "\(rounded(mean, digits: digits)) [\(rounded(low, digits: digits)), \(rounded(high, digits: digits))]"
    }
    var rows = [["policy", "steps"] + columns]
    for policy in report["policies"]?.array ?? [] {
      rows.append(
        [policy["name"]?.string ?? "", cell(policy["steps"], digits: 1)]
          + columns.map { cell(policy["values"]?[$0], digits: $0 == "ms" ? 0 : 3) })
    }
    for line in adadiff_cli.table(rows) { Terminal.print(line) }
    Terminal.print("")
    rows = [["difference", "steps"] + columns.dropLast()]
    for difference in report["differences"]?.array ?? [] {
      rows.append(
        [difference["name"]?.string ?? ""]
          + (["steps"] + columns.dropLast()).map { cell(difference["values"]?[$0], digits: 3) })
    }
    for line in adadiff_cli.table(rows) { Terminal.print(line) }
  }
}

struct PolicyDecide: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "decide", abstract: "Show how many steps a policy would take for a prompt, and why.")

  @Argument(help: "The prompt.") var prompt: String
  @OptionGroup(title: "Pipeline") var pipeline: PipelineOptions
  @Option(help: ArgumentHelp("Policy, as for generate.", valueName: "policy")) var policy: String?
  @Option(help: ArgumentHelp("Where the learned policy decides, 0 to 1.", valueName: "q")) var quality: Double?
  @OptionGroup(title: "Output") var outputOptions: OutputOptions

  func run() throws {
    let display = ProgressDisplay(quiet: true)
    let options = try pipeline.libraryOptions(output: outputOptions, progress: display)
    try options.set("lazy", true)
    if let policy { try options.set("policy", policy) }
    if let quality { try options.set("policy_quality", quality) }
    let report = try LibraryPipeline(path: pipeline.folder(), options: options).decide(prompt, options: options)
    guard !outputOptions.json else { return Terminal.print(report.text) }
    Terminal.print(
      "\(report["steps"]?.int ?? 0) steps: \(report["policy"]?["name"]?.string ?? ""), \(report["policy"]?["reason"]?.string ?? "")"
    )
    for (steps, probability) in zip(
      report["policy"]?["choices"]?.array ?? [], report["policy"]?["probabilities"]?.array ?? [])
    {
      Terminal.print("  \(steps.int ?? 0): \(rounded((probability.double ?? 0) * 100, digits: 1)) %")
    }
  }
}
