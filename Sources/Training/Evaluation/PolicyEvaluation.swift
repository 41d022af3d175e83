import Support

/// A mean with its 95 % bootstrap interval over prompts.
public struct Estimate: Sendable, Equatable {
  public var mean: Double
  public var low: Double
  public var high: Double

  public var json: JSON { .object(["mean": JSON(mean), "low": JSON(low), "high": JSON(high)]) }
}

/// What a policy does with every prompt of a table: chances of every number of steps.
public struct PolicyChoices: Sendable {
  public var name: String
  /// (prompts × step counts), rows sum to 1.
  public var chances: [[Double]]

  public init(name: String, chances: [[Double]]) {
    self.name = name
    self.chances = chances
  }

  /// One choice per prompt.
  public init(name: String, indices: [Int], choices: Int) {
    self.name = name
    chances = indices.map { index in (0..<choices).map { $0 == index ? 1 : 0 } }
  }

  /// The same chances for every prompt.
  public init(name: String, distribution: [Double], prompts: Int) {
    self.name = name
    chances = Array(repeating: distribution, count: prompts)
  }
}

/// Compares policies on a table that holds every prompt at every number of steps: nothing has to be drawn again.
public struct PolicyEvaluation: Sendable {
  public struct Row: Sendable {
    public var name: String
    public var steps: Estimate
    /// Reward under the rule, every metric, and milliseconds where the table has them.
    public var values: [String: Estimate]
    /// Chosen share of every number of steps.
    public var histogram: [Double]
  }

  public struct Difference: Sendable {
    /// First minus second.
    public var name: String
    public var values: [String: Estimate]
  }

  public private(set) var rows: [Row] = []
  /// The learned policy minus every rival brought to its mean steps.
  public private(set) var differences: [Difference] = []
  public let stepSet: [Int]
  public let prompts: Int

  private let columns: [(name: String, values: [[Double]])]
  private let samples: [[Int]]

  /// `bootstrap` resamples of the prompts.
  public init(_ table: RewardTable, rule: RewardRule, bootstrap: Int = 2000, seed: UInt64 = 0) throws(Failure) {
    stepSet = table.stepSet
    prompts = table.prompts.count
    var columns: [(name: String, values: [[Double]])] = [
      ("reward_of_rule", try rule.rewards(table)), ("quality", table.promptMeans(try rule.quality(table))),
    ]
    for name in table.metricNames {
      if let values = table.metrics[name] { columns.append((name, table.promptMeans(values))) }
    }
    if let times = table.milliseconds { columns.append(("ms", table.promptMeans(times))) }
    self.columns = columns
    var generator = SplitMix64(seed: seed)
    let count = table.prompts.count
    samples = (0..<max(1, bootstrap)).map { _ in (0..<count).map { _ in generator.integer(below: count) } }
  }

  /// Per prompt: the expectation of a table of values under a policy's chances.
  private func expectations(_ choices: PolicyChoices, _ values: [[Double]]) -> [Double] {
    zip(choices.chances, values).map { zip($0, $1).reduce(0) { $0 + $1.0 * $1.1 } }
  }

  private func estimate(_ perPrompt: [Double]) -> Estimate {
    let count = Double(max(1, perPrompt.count))
    let means = samples.map { sample in sample.reduce(0) { $0 + perPrompt[$1] } / count }.sorted()
    func quantile(_ share: Double) -> Double { means[min(means.count - 1, Int(share * Double(means.count)))] }
    return Estimate(mean: perPrompt.reduce(0, +) / count, low: quantile(0.025), high: quantile(0.975))
  }

  private func steps(_ choices: PolicyChoices) -> [Double] {
    choices.chances.map { zip($0, stepSet).reduce(0) { $0 + $1.0 * Double($1.1) } }
  }

  public func meanSteps(_ choices: PolicyChoices) -> Double { steps(choices).reduce(0, +) / Double(max(1, prompts)) }

  public mutating func add(_ choices: PolicyChoices) {
    var values: [String: Estimate] = [:]
    for column in columns { values[column.name] = estimate(expectations(choices, column.values)) }
    let histogram = stepSet.indices.map { index in
      choices.chances.reduce(0) { $0 + $1[index] } / Double(max(1, prompts))
    }
    rows.append(Row(name: choices.name, steps: estimate(steps(choices)), values: values, histogram: histogram))
  }

  public mutating func compare(_ first: PolicyChoices, _ second: PolicyChoices, name: String) {
    var values: [String: Estimate] = ["steps": estimate(zip(steps(first), steps(second)).map { $0 - $1 })]
    for column in columns {
      values[column.name] = estimate(
        zip(expectations(first, column.values), expectations(second, column.values)).map { $0 - $1 })
    }
    differences.append(Difference(name: name, values: values))
  }

  // MARK: Rivals at equal mean steps

  /// The mixture of two fixed counts with the given mean steps whose mean quality is largest.
  public func bestFixed(meanSteps: Double) -> PolicyChoices {
    let quality = columns.first { $0.name == "quality" }?.values ?? []
    let means = stepSet.indices.map { index in quality.reduce(0) { $0 + $1[index] } }
    var best: (value: Double, distribution: [Double])?
    for low in stepSet.indices where Double(stepSet[low]) <= meanSteps {
      for high in stepSet.indices where Double(stepSet[high]) >= meanSteps {
        let gap = Double(stepSet[high] - stepSet[low])
        let share = gap > 0 ? (meanSteps - Double(stepSet[low])) / gap : 0
        let value = (1 - share) * means[low] + share * means[high]
        if best.map({ value > $0.value }) ?? true {
          var distribution = [Double](repeating: 0, count: stepSet.count)
          distribution[low] += 1 - share
          distribution[high] += share
          best = (value, distribution)
        }
      }
    }
    let distribution = best?.distribution ?? stepSet.indices.map { $0 == 0 ? 1 : 0 }
    return PolicyChoices(name: "fixed, equal steps", distribution: distribution, prompts: prompts)
  }

  /// The choices of `model`, handed out anew by ascending score: a rule with thresholds that fit the same histogram.
  public func matched(_ name: String, scores: [Double], to model: PolicyChoices) -> PolicyChoices {
    let ranked = scores.indices.sorted { (scores[$0], $0) < (scores[$1], $1) }
    let counts = model.chances.map { row in row.firstIndex(of: row.max() ?? 0) ?? 0 }.sorted()
    var indices = [Int](repeating: 0, count: scores.count)
    for (rank, prompt) in ranked.enumerated() { indices[prompt] = counts[rank] }
    return PolicyChoices(name: name, indices: indices, choices: stepSet.count)
  }

  /// The best choice of every prompt in hindsight.
  public func oracle() -> PolicyChoices {
    let rewards = columns.first { $0.name == "reward_of_rule" }?.values ?? []
    return PolicyChoices(
      name: "oracle", indices: rewards.map { $0.firstIndex(of: $0.max() ?? 0) ?? 0 }, choices: stepSet.count)
  }

  public var json: JSON {
    .object([
      "prompts": JSON(prompts), "step_set": .array(stepSet.map { JSON($0) }),
      "policies": .array(
        rows.map { row in
          .object([
            "name": JSON(row.name), "steps": row.steps.json, "values": .object(row.values.mapValues(\.json)),
            "histogram": .array(row.histogram.map { JSON($0) }),
          ])
        }),
      "differences": .array(
        differences.map { .object(["name": JSON($0.name), "values": .object($0.values.mapValues(\.json))]) }),
    ])
  }
}
