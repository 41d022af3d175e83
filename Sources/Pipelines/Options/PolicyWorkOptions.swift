/// Settings of the calls that collect rewards, train and evaluate step policies. Texts are checked where they are used.
public struct PolicyWorkOptions: Sendable {
  // Training. Defaults are the paper's where it prints them.
  public var estimator = "reinforce"
  public var baseline = "none"
  public var entropyWeight = 0.0
  public var epochs = 200
  public var batch = 256
  public var learningRate = 1e-5
  public var weightDecay = 0.0
  public var dropout = 0.0
  public var heldOutShare = 0.1
  public var patience = 0
  public var checkpointEvery = 10
  public var resume = false
  public var layers = 3
  public var heads = 0
  public var feedForward = 0
  public var headHidden = 0
  public var microbatch = 64

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
