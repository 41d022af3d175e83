import Support

/// The same number of steps for every prompt.
public struct FixedStepPolicy: StepPolicy {
  public let name = StepPolicyNames.fixed
  /// Nil: the default of the question.
  public let steps: Int?

  public init(steps: Int? = nil) { self.steps = steps }

  public func choices(default steps: Int) -> [Int] { [self.steps ?? steps] }

  public func decide(_ question: StepQuestion, checkCancelled: @escaping () throws -> Void) -> StepDecision {
    if let steps { return StepDecision(steps: steps, policy: name, reason: "the caller set the number of steps") }
    return StepDecision(
      steps: question.defaultSteps, policy: "scheduler_default", reason: "the policy 'fixed' was asked for")
  }
}

/// A draw from a distribution over the step set. The lot depends on seed and prompt: equal runs choose equally.
public struct RandomStepPolicy: StepPolicy {
  public let name = StepPolicyNames.random
  public let stepSet: [Int]
  /// Sum 1.
  public let probabilities: [Double]

  /// `weights` need not sum to 1. Throws `.invalidArgument` where they do not fit the set.
  public init(stepSet: [Int], weights: [Double]) throws(Failure) {
    try StepSet.check(stepSet)
    let total = weights.reduce(0, +)
    guard weights.count == stepSet.count, weights.allSatisfy({ $0 >= 0 }), total > 0, total.isFinite else {
      throw Failure(
        .invalidArgument, "the policy 'random' needs one weight per number of steps, none negative, not all 0",
        component: "policy", expected: "\(stepSet.count) weights", actual: "\(weights)")
    }
    self.stepSet = stepSet
    probabilities = weights.map { $0 / total }
  }

  public func choices(default steps: Int) -> [Int] { zip(stepSet, probabilities).filter { $1 > 0 }.map(\.0) }

  public func decide(_ question: StepQuestion, checkCancelled: @escaping () throws -> Void) -> StepDecision {
    let lot = Self.lot(seed: question.seed, text: question.prompt)
    var rest = lot
    var chosen = probabilities.lastIndex { $0 > 0 } ?? 0
    for (index, probability) in probabilities.enumerated() {
      if rest < probability {
        chosen = index
        break
      }
      rest -= probability
    }
    return StepDecision(
      steps: stepSet[chosen], policy: name, reason: "drawn", choices: stepSet, probabilities: probabilities,
      facts: ["lot": lot])
  }

  /// A number in 0..<1 from seed and text: FNV-1a of both, mixed as SplitMix64 mixes its state.
  static func lot(seed: UInt64, text: String) -> Double {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for shift in stride(from: 0, to: 64, by: 8) { hash = (hash ^ (seed >> UInt64(shift) & 0xFF)) &* 0x100_0000_01B3 }
    for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    hash = (hash ^ hash >> 30) &* 0xBF58_476D_1CE4_E5B9
    hash = (hash ^ hash >> 27) &* 0x94D0_49BB_1331_11EB
    return Double((hash ^ hash >> 31) >> 11) * 0x1p-53
  }
}

/// Steps by comparing a number with ascending thresholds: below the first one the first choice, and so on.
public struct ThresholdRule: Sendable, Equatable {
  public let stepSet: [Int]
  /// One fewer than choices, ascending.
  public let thresholds: [Double]

  public init(stepSet: [Int], thresholds: [Double]) throws(Failure) {
    try StepSet.check(stepSet)
    guard thresholds.count == stepSet.count - 1, zip(thresholds, thresholds.dropFirst()).allSatisfy({ $0 < $1 }) else {
      throw Failure(
        .invalidArgument, "thresholds must be ascending, one fewer than numbers of steps", component: "policy",
        expected: "\(stepSet.count - 1) thresholds for the steps \(stepSet)", actual: "\(thresholds)")
    }
    self.stepSet = stepSet
    self.thresholds = thresholds
  }

  public func choice(_ value: Double) -> Int { thresholds.firstIndex { value < $0 } ?? stepSet.count - 1 }

  func decision(_ value: Double, policy: String, fact: String) -> StepDecision {
    let chosen = choice(value)
    return StepDecision(
      steps: stepSet[chosen], policy: policy, reason: "\(fact) against thresholds \(thresholds)", choices: stepSet,
      probabilities: stepSet.indices.map { $0 == chosen ? 1 : 0 }, facts: [fact: value])
  }
}

/// Steps by the number of words; the paper's rule with its step set: below 8 words 10 steps, 8 and 9 words 20, and so on.
public struct WordStepPolicy: StepPolicy {
  public let name = StepPolicyNames.words
  public let rule: ThresholdRule

  public init(stepSet: [Int] = paperStepSet, thresholds: [Double]? = nil) throws(Failure) {
    rule = try ThresholdRule(
      stepSet: stepSet, thresholds: thresholds ?? (0..<max(0, stepSet.count - 1)).map { 8 + 2 * Double($0) })
  }

  public func choices(default steps: Int) -> [Int] { rule.stepSet }

  /// Runs of characters other than white space.
  public static func count(_ text: String) -> Int { text.split(whereSeparator: \.isWhitespace).count }

  public func decide(_ question: StepQuestion, checkCancelled: @escaping () throws -> Void) -> StepDecision {
    rule.decision(Double(Self.count(question.prompt)), policy: name, fact: "words")
  }
}

/// Something that says how surprising a text is.
public protocol LanguageModel: Sendable {
  /// exp of the mean negative log likelihood per word or token; at least 1.
  func perplexity(_ text: String, checkCancelled: @escaping () throws -> Void) throws -> Double
}

/// Steps by perplexity; the paper's rule with its step set: below 20 10 steps, below 40 20, and so on.
public struct PerplexityStepPolicy: StepPolicy {
  public let name = StepPolicyNames.perplexity
  public let rule: ThresholdRule
  public let model: any LanguageModel

  public init(model: any LanguageModel, stepSet: [Int] = paperStepSet, thresholds: [Double]? = nil) throws(Failure) {
    rule = try ThresholdRule(
      stepSet: stepSet, thresholds: thresholds ?? (0..<max(0, stepSet.count - 1)).map { 20 + 20 * Double($0) })
    self.model = model
  }

  public func choices(default steps: Int) -> [Int] { rule.stepSet }

  public func decide(_ question: StepQuestion, checkCancelled: @escaping () throws -> Void) throws -> StepDecision {
    let value = try model.perplexity(question.prompt, checkCancelled: checkCancelled)
    guard value.isFinite else {
      throw Failure(.notFinite, "the perplexity of the prompt is not finite", component: "policy", actual: "\(value)")
    }
    return rule.decision(value, policy: name, fact: "perplexity")
  }
}
