/// Settings of the calls that collect rewards, train and evaluate step policies. Texts are checked where they are used.
public struct PolicyWorkOptions: Sendable {
  public var training = TrainingOptions()

  // Reward.
  public var qualityWeight = 2.0
  public var penalty = 0.5
  public var gate = "top"
  public var topK = 3
  public var threshold = 0.0
  public var scale = "none"
  public var metrics = ""

  // Collection.
  public var stepSet = ""
  public var seedsPerPrompt = 1
  public var scorers = "reward"

  // Evaluation.
  public var bootstrap = 2000

  public init() {}

  /// Whether nothing about the reward was set.
  public var hasDefaultReward: Bool {
    let plain = PolicyWorkOptions()
    return qualityWeight == plain.qualityWeight && penalty == plain.penalty && gate == plain.gate && topK == plain.topK
      && threshold == plain.threshold && scale == plain.scale && metrics == plain.metrics
  }
}
