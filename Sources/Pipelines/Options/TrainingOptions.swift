import Support

/// How the gradient of the expected reward is estimated.
public enum GradientEstimator: String, Sendable, CaseIterable {
  /// The paper's: one action is drawn per prompt, its reward weighs its log probability's gradient; mean over the batch.
  case reinforce
  /// The table knows every action's reward, so the expectation is a sum: no sampling noise.
  case expected
}

/// What is subtracted from a drawn action's reward; changes the estimator's noise, not its mean.
public enum RewardBaseline: String, Sendable, CaseIterable {
  case none
  /// Mean reward of the batch.
  case batch
  /// Exponential mean of batch means, 0.9 of the old one.
  case moving
  /// Reward of the action with the largest probability.
  case greedy
}

/// Every hyperparameter of a training. Defaults are the paper's where it prints them.
public struct TrainingOptions: Sendable {
  public var estimator = GradientEstimator.reinforce
  public var baseline = RewardBaseline.none
  /// Weight of the policy's entropy in the objective, in the first epoch.
  public var entropyWeight = 0.0
  /// The same after the last epoch; between them it is linear. With one weight w throughout, logits become R / w plus a
  /// constant per prompt: how good *every* number of steps is, not only which is best.
  public var finalEntropyWeight = 0.0
  public var epochs = 200
  public var batch = 256
  public var learningRate = 1e-5
  /// Decoupled (AdamW).
  public var weightDecay = 0.0
  /// Share of input and pooled features dropped in training.
  public var dropout = 0.0
  public var seed: UInt64 = 0
  /// Share of the prompts that are held out for early stopping.
  public var heldOutShare = 0.1
  /// Epochs without a better held-out reward after which training ends; 0: never.
  public var patience = 0
  /// Epochs between checkpoints; 0: none.
  public var checkpointEvery = 10
  /// Goes on from the output folder's checkpoint.
  public var resume = false
  public var layers = 3
  /// 0: by the text width.
  public var heads = 0
  public var feedForward = 0
  public var headHidden = 0
  /// Prompts whose activations are in memory at once.
  public var microbatch = 64

  public init() {}

  public var json: JSON {
    .object([
      "estimator": JSON(estimator.rawValue), "baseline": JSON(baseline.rawValue), "entropy_weight": JSON(entropyWeight),
      "final_entropy_weight": JSON(finalEntropyWeight), "epochs": JSON(epochs), "batch": JSON(batch),
      "learning_rate": JSON(learningRate), "weight_decay": JSON(weightDecay), "dropout": JSON(dropout),
      "seed": JSON("\(seed)"),
      "held_out_share": JSON(heldOutShare), "patience": JSON(patience),
    ])
  }
}
