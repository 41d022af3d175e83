import Graph
import Support

/// What a step policy may look at: the text, never the picture.
public struct StepQuestion: Sendable {
  /// float32 (1, length, features): the text encoder's last hidden state for the prompt.
  public var lastHiddenState: Tensor
  /// int64 (1, length): 1 for tokens of the prompt with start and end, 0 for padding.
  public var attentionMask: Tensor
  /// The steps a run takes when nobody decides.
  public var defaultSteps: Int
  public var prompt: String
  /// Seed of the run: policies that draw lots draw them from it.
  public var seed: UInt64
  /// Where on the trained trade-off to decide, from 0 (fewest steps) over 0.5 (as trained) to 1 (most); nil: as trained.
  public var quality: Double?

  public init(
    lastHiddenState: Tensor, attentionMask: Tensor, defaultSteps: Int, prompt: String = "", seed: UInt64 = 0,
    quality: Double? = nil
  ) {
    self.lastHiddenState = lastHiddenState
    self.attentionMask = attentionMask
    self.defaultSteps = defaultSteps
    self.prompt = prompt
    self.seed = seed
    self.quality = quality
  }
}

/// A number of steps, who chose it and why.
public struct StepDecision: Sendable, Equatable {
  public var steps: Int
  /// Name for the report: `fixed`, `scheduler_default`, or the policy's own.
  public var policy: String
  public var reason: String
  /// What the policy could choose from, ascending, and the probability it gave to each; empty when it has none.
  public var choices: [Int]
  public var probabilities: [Double]
  /// What the decision rests on, by name: `words`, `perplexity`, `quality`, `deadline_ms`, …
  public var facts: [String: Double]

  public init(
    steps: Int, policy: String, reason: String, choices: [Int] = [], probabilities: [Double] = [],
    facts: [String: Double] = [:]
  ) {
    self.steps = steps
    self.policy = policy
    self.reason = reason
    self.choices = choices
    self.probabilities = probabilities
    self.facts = facts
  }

  /// The same decision where at most `maximum` steps are possible: the most probable choice that is possible, or
  /// `maximum` itself where no choice is.
  public func limited(to maximum: Int) -> StepDecision {
    guard steps > maximum else { return self }
    var limited = self
    let possible = choices.indices.filter { choices[$0] <= maximum && $0 < probabilities.count }
    // Of equally probable ones (a rule gives all its weight to one) the largest is nearest to what was wanted.
    let best = possible.max { (probabilities[$0], choices[$0]) < (probabilities[$1], choices[$1]) }
    limited.steps = best.map { choices[$0] } ?? maximum
    limited.reason = "\(reason); fewer steps than \(steps) because of the deadline"
    return limited
  }
}

/// Decides how many sampling steps a prompt deserves. Shared by threads; the decision depends on the question only.
public protocol StepPolicy: Sendable {
  /// Name for the report.
  var name: String { get }
  /// Every number of steps that it may decide on; `default`: the question's.
  func choices(default steps: Int) -> [Int]
  /// Tensors larger than a few values are read, never kept.
  func decide(_ question: StepQuestion, checkCancelled: @escaping () throws -> Void) throws -> StepDecision
}

/// The names that the option `policy` accepts.
public enum StepPolicyNames {
  /// A trained network.
  public static let learned = "learned"
  /// The same number for every prompt.
  public static let fixed = "fixed"
  /// Drawn from a distribution.
  public static let random = "random"
  /// By the number of words in the prompt.
  public static let words = "words"
  /// By how surprising a language model finds the prompt.
  public static let perplexity = "perplexity"

  public static let all = [learned, fixed, random, words, perplexity]
}

/// The step set of the paper's first version (AdaDiff, arXiv 2311.14768v1), for rules that are given no other.
public let paperStepSet = [10, 20, 30, 40, 50]
