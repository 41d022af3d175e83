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

  public init(lastHiddenState: Tensor, attentionMask: Tensor, defaultSteps: Int) {
    self.lastHiddenState = lastHiddenState
    self.attentionMask = attentionMask
    self.defaultSteps = defaultSteps
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

  public init(steps: Int, policy: String, reason: String, choices: [Int] = [], probabilities: [Double] = []) {
    self.steps = steps
    self.policy = policy
    self.reason = reason
    self.choices = choices
    self.probabilities = probabilities
  }
}

/// Decides how many sampling steps a prompt deserves. Shared by threads; the decision depends on the question only.
public protocol StepPolicy: Sendable {
  /// Name under which a run asks for it.
  var name: String { get }
  /// Tensors larger than a few values are read, never kept.
  func decide(_ question: StepQuestion, checkCancelled: @escaping () throws -> Void) throws -> StepDecision
}

/// The names that the option `policy` accepts.
public enum StepPolicyNames {
  /// The pipeline's own trained network.
  public static let learned = "learned"
  /// The scheduler's default number, whatever the prompt.
  public static let fixed = "fixed"

  public static let all = [learned, fixed]
}

/// The same number of steps for every prompt.
public struct FixedStepPolicy: StepPolicy {
  public let name = StepPolicyNames.fixed
  /// Nil: the default of the question.
  public let steps: Int?

  public init(steps: Int? = nil) { self.steps = steps }

  public func decide(_ question: StepQuestion, checkCancelled: @escaping () throws -> Void) -> StepDecision {
    if let steps { return StepDecision(steps: steps, policy: name, reason: "the caller set the number of steps") }
    return StepDecision(
      steps: question.defaultSteps, policy: "scheduler_default", reason: "the policy 'fixed' was asked for")
  }
}
