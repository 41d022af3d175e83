import Adaptive
import Graph
import Pipelines
import Support

/// Training and evaluation of step policies on a pipeline, from tables.
public enum PolicyWork {
  // MARK: Options

  static func rewardRule(_ work: PolicyWorkOptions) throws(Failure) -> RewardRule {
    var rule = RewardRule()
    rule.qualityWeight = work.qualityWeight
    rule.penalty = work.penalty
    rule.scale = QualityScale(rawValue: work.scale) ?? .none
    rule.mixture = try RewardRule.mixture(parsing: work.metrics)
    rule.gate =
      switch work.gate {
      case "threshold": .threshold(work.threshold)
      case "steps": .stepsOnly
      default: .top(work.topK)
      }
    return rule
  }

  static func trainingOptions(_ options: NamedOptions) -> TrainingOptions {
    var training = options.policyWork.training
    training.seed = options.generation.seed ?? 0
    return training
  }

  // MARK: Training

  /// Learns from `tableFile` and writes the policy's files into `outputFolder`; returns the contents of `policy.json`.
  public static func train(
    pipeline: StableDiffusionPipeline, tableFile: String, outputFolder: String, options: NamedOptions,
    callbacks: RunCallbacks
  ) throws -> JSON {
    let table = try RewardTable(file: tableFile)
    let rule = try rewardRule(options.policyWork)
    let rewards = try rule.rewards(table)
    let settled = rule.settled(on: table)
    let training = trainingOptions(options)
    try PolicyFiles.makeFolder(outputFolder)
    let features = try featureCache(pipeline, table.prompts, callbacks: callbacks)
    let trainer = try PolicyTrainer(
      features: features, rewards: rewards, stepSet: table.stepSet, options: training, pool: pipeline.threadPool)
    try callbacks.report(.train, 0, of: training.epochs, "epochs")
    try trainer.train(checkpoint: outputFolder + "/checkpoint.bin") { record in
      let reward = (record.reward * 1000).rounded() / 1000
      let best = (record.bestReward * 1000).rounded() / 1000
      let steps = (record.meanSteps * 10).rounded() / 10
      try callbacks.report(.train, record.epoch, of: training.epochs, "reward \(reward) of \(best), \(steps) steps")
    }
    if trainer.records.count < training.epochs {
      try callbacks.report(.train, training.epochs, of: training.epochs, "no patience left")
    }
    let name = pipeline.path.split(separator: "/").last { $0 != "." && $0 != ".." }.map(String.init) ?? "learned"
    return try PolicyFiles.write(
      trainer, features: features, to: outputFolder,
      provenance: PolicyProvenance(
        name: name, scheduler: options.generation.scheduler ?? pipeline.schedulerName,
        guidanceScale: options.generation.guidanceScale ?? pipeline.information["guidance_scale"]?.double,
        guidanceStart: options.generation.guidanceStart ?? pipeline.information["guidance_start"]?.double,
        guidanceStop: options.generation.guidanceStop ?? pipeline.information["guidance_stop"]?.double,
        rule: settled,
        table: tableFile.split(separator: "/").last.map(String.init) ?? "", captions: table.prompts))
  }

  /// Every prompt through the text encoder, once.
  static func featureCache(
    _ pipeline: StableDiffusionPipeline, _ prompts: [String], callbacks: RunCallbacks
  ) throws -> FeatureCache {
    var features: [(state: Tensor, mask: [Int])] = []
    features.reserveCapacity(prompts.count)
    for (index, prompt) in prompts.enumerated() {
      try callbacks.report(.textEncode, index, of: prompts.count, "prompts of the table")
      let text = try pipeline.textFeatures(prompt, checkCancelled: { try callbacks.checkCancelled() })
      features.append((text.lastHiddenState, text.mask))
    }
    try callbacks.report(.textEncode, prompts.count, of: prompts.count, "done")
    return try FeatureCache(features)
  }

  // MARK: Evaluation

  /// Compares policies on `tableFile`. The report also has every prompt's choice, for figures.
  public static func evaluate(
    pipeline: StableDiffusionPipeline, tableFile: String, options: NamedOptions, callbacks: RunCallbacks
  ) throws -> JSON {
    let table = try RewardTable(file: tableFile)
    let work = options.policyWork
    let learned = try learnedPolicy(pipeline, options.generation.policy)
    let rule = try evaluationRule(work, learned, table)
    try callbacks.report(.evaluate, 0, of: table.prompts.count, "policies")
    var evaluation = try PolicyEvaluation(table, rule: rule, bootstrap: work.bootstrap)
    let (choices, count) = (table.stepSet.count, table.prompts.count)
    for (index, steps) in table.stepSet.enumerated() {
      evaluation.add(
        PolicyChoices(name: "fixed \(steps)", indices: Array(repeating: index, count: count), choices: choices))
    }
    let words = table.prompts.map { Double(WordStepPolicy.count($0)) }
    let wordRule = try WordStepPolicy(stepSet: table.stepSet).rule
    evaluation.add(PolicyChoices(name: "words", indices: words.map(wordRule.choice), choices: choices))
    var perplexities: [Double]?
    if let ngrams = try nGrams(pipeline, options.generation.policy) {
      let values = table.prompts.map { ngrams.perplexity($0) }
      let perplexityRule = try PerplexityStepPolicy(model: ngrams, stepSet: table.stepSet).rule
      evaluation.add(
        PolicyChoices(name: "perplexity", indices: values.map(perplexityRule.choice), choices: choices))
      perplexities = values
    }
    evaluation.add(evaluation.oracle())
    var perPrompt: [JSON] = []
    if let learned {
      guard learned.stepSet == table.stepSet else {
        throw Failure(
          .shapeMismatch, "the learned policy has another step set than the table", component: "policy",
          file: tableFile,
          expected: "\(learned.stepSet)", actual: "\(table.stepSet)")
      }
      var decisions: [StepDecision] = []
      for (index, prompt) in table.prompts.enumerated() {
        try callbacks.report(.evaluate, index, of: count, "learned policy")
        let text = try pipeline.textFeatures(prompt, checkCancelled: { try callbacks.checkCancelled() })
        decisions.append(
          try learned.decide(
            StepQuestion(
              lastHiddenState: text.lastHiddenState, attentionMask: text.maskTensor(), defaultSteps: 50, prompt: prompt,
              quality: options.generation.policyQuality), checkCancelled: { try callbacks.checkCancelled() }))
      }
      let indices = decisions.map { decision in table.stepSet.firstIndex(of: decision.steps) ?? 0 }
      let model = PolicyChoices(name: "learned", indices: indices, choices: choices)
      evaluation.add(model)
      let histogram = evaluation.rows.last?.histogram ?? []
      let random = PolicyChoices(name: "random, equal steps", distribution: histogram, prompts: count)
      evaluation.add(random)
      let fixed = evaluation.bestFixed(meanSteps: evaluation.meanSteps(model))
      evaluation.add(fixed)
      let matchedWords = evaluation.matched("words, equal steps", scores: words, to: model)
      evaluation.add(matchedWords)
      var rivals = [fixed, random, matchedWords]
      if let perplexities {
        let matched = evaluation.matched("perplexity, equal steps", scores: perplexities, to: model)
        evaluation.add(matched)
        rivals.append(matched)
      }
      for rival in rivals { evaluation.compare(model, rival, name: "learned minus \(rival.name)") }
      let most = PolicyChoices(name: "most", indices: Array(repeating: choices - 1, count: count), choices: choices)
      evaluation.compare(model, most, name: "learned minus fixed \(table.stepSet.last ?? 0)")
      perPrompt = decisions.enumerated().map { index, decision in
        .object([
          "prompt": JSON(table.prompts[index]), "group": JSON(table.groups[index]), "words": JSON(words[index]),
          "steps": JSON(decision.steps), "probabilities": .array(decision.probabilities.map { JSON($0) }),
        ])
      }
    }
    try callbacks.report(.evaluate, count, of: count, "done")
    var members = evaluation.json.object ?? [:]
    members["rule"] = rule.json
    members["metrics"] = .array(table.metricNames.map { JSON($0) })
    members["table"] = JSON(tableFile.split(separator: "/").last.map(String.init) ?? "")
    members["choices"] = .array(perPrompt)
    return .object(members)
  }

  /// The reward that the policy was trained on, where the caller asks for no other and the table has its metrics.
  private static func evaluationRule(
    _ work: PolicyWorkOptions, _ learned: LearnedStepPolicy?, _ table: RewardTable
  ) throws(Failure) -> RewardRule {
    if work.hasDefaultReward, let trained = (learned?.trainingReward).flatMap(RewardRule.init(json:)),
      trained.mixture.allSatisfy({ table.metrics[$0.name] != nil })
    {
      return trained
    }
    return try rewardRule(work)
  }

  /// The pipeline's own policy, or another one that the option `policy` names.
  private static func learnedPolicy(
    _ pipeline: StableDiffusionPipeline, _ specification: PolicySpecification?
  ) throws -> LearnedStepPolicy? {
    guard let specification, specification.name == StepPolicyNames.learned else { return pipeline.learnedPolicy }
    return try pipeline.policy(specification) as? LearnedStepPolicy
  }

  /// The n-gram table of the policy folder in use, where there is one.
  private static func nGrams(
    _ pipeline: StableDiffusionPipeline, _ specification: PolicySpecification?
  ) throws(Failure) -> NGramTable? {
    let folder = specification?.parameters["path"] ?? pipeline.path + "/policy"
    do {
      return try NGramTable(file: folder + "/ngram.json")
    } catch let failure where failure.status == .notFound {
      return nil
    }
  }
}
