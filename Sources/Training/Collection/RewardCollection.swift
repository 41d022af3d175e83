import Adaptive
import Glibc
import Graph
import Pipelines
import Support

/// Makes every prompt of a file at every number of steps from the same initial noise, and scores the pictures into a table.
public final class RewardCollection {
  private let pipeline: StableDiffusionPipeline
  private let session: Session
  private let prompts: [String]
  private let table: SharedTable
  private let stepSet: [Int]
  private let seeds: [Int]
  private let scorers: PictureScorers
  private let options: GenerationOptions

  /// Opens prompts, scorers and table; a table that was begun with other settings is refused.
  public init(
    pipeline: StableDiffusionPipeline, promptsFile: String, tableFile: String, options: NamedOptions, host: HostScore?
  ) throws {
    self.pipeline = pipeline
    session = Session(pipeline: pipeline)
    prompts = try PromptFile.read(promptsFile)
    let work = options.policyWork
    stepSet = work.stepSet.isEmpty ? pipeline.stepSet ?? paperStepSet : try StepSet.parse(work.stepSet)
    guard stepSet.count >= 2 else {
      throw Failure(
        .invalidArgument, "a step set for learning needs two numbers of steps or more", actual: "\(stepSet)")
    }
    scorers = try PictureScorers(work.scorers, pipeline: pipeline, host: host)
    var generation = options.generation
    generation.count = 1
    generation.decode = true
    generation.latents = nil
    generation.deadlineMilliseconds = 0
    self.options = generation
    let first = Int(clamping: generation.seed ?? 0)
    seeds = (0..<work.seedsPerPrompt).map { first &+ $0 }
    try Self.checkSettings(
      tableFile,
      .object([
        "format": 1, "pipeline_class": pipeline.information["class"] ?? .null,
        "scheduler": JSON(generation.scheduler ?? pipeline.schedulerName ?? ""),
        "guidance_scale": JSON(generation.guidanceScale ?? pipeline.information["guidance_scale"]?.double ?? 0),
        "guidance_start": JSON(generation.guidanceStart ?? pipeline.information["guidance_start"]?.double ?? 0),
        "guidance_stop": JSON(generation.guidanceStop ?? pipeline.information["guidance_stop"]?.double ?? 1),
        "negative_prompt": JSON(generation.negativePrompt), "width": JSON(generation.width ?? pipeline.width),
        "height": JSON(generation.height ?? pipeline.height), "metrics": JSON(work.scorers),
        "step_set": .array(stepSet.map { JSON($0) }),
      ]))
    table = try SharedTable(path: tableFile, header: ["prompt", "seed", "steps", "ms"] + scorers.names)
  }

  /// What the pictures depend on stands in `<table>.json`; going on with other settings would mix two tables.
  private static func checkSettings(_ table: String, _ settings: JSON) throws(Failure) {
    let path = table + ".json"
    if access(path, F_OK) == 0 {
      let present = try JSON.parse(file: path)
      guard present == settings else {
        throw Failure(
          .invalidArgument, "the table was begun with other settings", component: "table", file: path,
          expected: present.text, actual: settings.text)
      }
    } else {
      try WholeFile.write(settings.text + "\n", to: path)
    }
  }

  /// Works until every row is there, or made by another process that is still at it. Progress counts pictures of the whole
  /// table.
  public func run(callbacks: RunCallbacks) throws -> JSON {
    let total = prompts.count * seeds.count * stepSet.count
    var missing = (0..<prompts.count * seeds.count).map { unit in
      stepSet.count { !table.present.contains(key(unit, steps: $0)) }
    }
    var done = total - missing.reduce(0, +)
    var made = 0
    var inner = RunCallbacks()
    inner.isCancelled = callbacks.isCancelled
    inner.log = callbacks.log
    try callbacks.report(.collect, done, of: total, "pictures")
    var left = missing.indices.filter { missing[$0] > 0 }
    while !left.isEmpty {
      var busy: [Int] = []
      for unit in left {
        try callbacks.checkCancelled()
        guard try table.claim(unit) else {
          busy.append(unit)
          continue
        }
        defer { table.release(unit) }
        try table.refresh()
        for steps in stepSet {
          let key = key(unit, steps: steps)
          guard !table.present.contains(key) else { continue }
          try make(key, callbacks: inner)
          made += 1
          missing[unit] -= 1
          done += 1
          try callbacks.report(.collect, done, of: total, "pictures")
        }
        // What is still missing by this count, another process has made.
        done += missing[unit]
        missing[unit] = 0
      }
      // Others' units are looked at again: their makers may have died.
      left = busy
      if !left.isEmpty { usleep(200_000) }
    }
    try callbacks.report(.collect, done, of: total, "pictures")
    return .object([
      "pictures_made": JSON(made), "pictures_present": JSON(done), "table": JSON(table.path),
      "prompts": JSON(prompts.count), "seeds": JSON(seeds.count), "step_set": .array(stepSet.map { JSON($0) }),
    ])
  }

  /// The row of a unit of work: a prompt with a noise.
  private func key(_ unit: Int, steps: Int) -> SharedTable.RowKey {
    SharedTable.RowKey(prompt: prompts[unit / seeds.count], seed: seeds[unit % seeds.count], steps: steps)
  }

  private func make(_ key: SharedTable.RowKey, callbacks: RunCallbacks) throws {
    var options = options
    options.steps = .fixed(key.steps)
    options.seed = UInt64(clamping: key.seed)
    let result = try session.generate(prompt: key.prompt, options: options, callbacks: callbacks)
    guard let image = result.images.first else { throw Failure(.internalError, "a run gave no picture") }
    let scores = try scorers.scores(
      ScoredPicture(prompt: key.prompt, steps: key.steps, seed: key.seed, image: image), callbacks: callbacks)
    let time = (result.report.totalMilliseconds * 1000).rounded() / 1000
    try table.append(
      [key.prompt, "\(key.seed)", "\(key.steps)", "\(time)"] + scores.map { "\($0)" }, key: key)
  }
}
