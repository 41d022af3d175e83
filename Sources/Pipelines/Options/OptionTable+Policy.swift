extension NamedOptions {
  /// Options of collecting, training and evaluating step policies; these calls also read those of scope run.
  static let policyTable: [OptionDescription] = [
    choice(
      "train_estimator", .policy, \.policyWork.training.estimator,
      "Gradient from one drawn action per prompt, or from the exact expectation over all of them."),
    choice(
      "train_baseline", .policy, \.policyWork.training.baseline, "What is subtracted from the rewards of drawn actions."
    ),
    float(
      "train_entropy_weight", .policy, \.policyWork.training.entropyWeight, 0...1000,
      "Weight of the entropy in the first epoch."),
    float(
      "train_final_entropy_weight", .policy, \.policyWork.training.finalEntropyWeight, 0...1000,
      "Weight of the entropy after the last epoch; linear between them."),
    int(
      "train_epochs", .policy, \.policyWork.training.epochs, 0...1_000_000, default: 200,
      "Passes over the training prompts."),
    int("train_batch", .policy, \.policyWork.training.batch, 1...1_000_000, default: 256, "Prompts per update."),
    float(
      "train_learning_rate", .policy, \.policyWork.training.learningRate, 0...1e9, default: "1e-05",
      "Step size of Adam."),
    float("train_weight_decay", .policy, \.policyWork.training.weightDecay, 0...1000, "Decoupled weight decay."),
    float("train_dropout", .policy, \.policyWork.training.dropout, 0...0.9, "Share of features dropped in training."),
    float(
      "train_held_out", .policy, \.policyWork.training.heldOutShare, 0...0.9, default: "0.1",
      "Share of prompts held out; the epoch that is best on them is kept."),
    int(
      "train_patience", .policy, \.policyWork.training.patience, 0...1_000_000,
      "Epochs without improvement until the end; 0: all."),
    int(
      "train_checkpoint_every", .policy, \.policyWork.training.checkpointEvery, 0...1_000_000, default: 10,
      "Epochs between checkpoints; 0: only at the end."),
    bool("train_resume", .policy, \.policyWork.training.resume, "Go on from the output folder's checkpoint."),
    int("train_layers", .policy, \.policyWork.training.layers, 0...64, default: 3, "Self-attention layers."),
    int("train_heads", .policy, \.policyWork.training.heads, 0...1024, "Attention heads; 0: by the text width."),
    int(
      "train_feed_forward", .policy, \.policyWork.training.feedForward, 0...262_144,
      "Feed-forward width; 0: twice the text width."),
    int(
      "train_head_hidden", .policy, \.policyWork.training.headHidden, 0...262_144,
      "Width of the head; 0: half the text width."),
    int(
      "train_microbatch", .policy, \.policyWork.training.microbatch, 1...1_000_000, default: 64,
      "Prompts in memory at once."),
    float(
      "reward_lambda", .policy, \.policyWork.qualityWeight, 0...1e9, default: "2.0",
      "Weight of the quality in the reward."),
    float(
      "reward_gamma", .policy, \.policyWork.penalty, -1e9...1e9, default: "0.5",
      "The reward is minus this where the quality does not pass."),
    string(
      "reward_gate", .policy, \.policyWork.gate, default: "top", choices: ["top", "threshold", "steps"],
      "Quality passes among the prompt's best (top), at a value (threshold), or does not count (steps)."),
    int("reward_top_k", .policy, \.policyWork.topK, 1...1000, default: 3, "How many of a prompt's step set pass."),
    float("reward_threshold", .policy, \.policyWork.threshold, -1e9...1e9, "Least quality that passes, after scaling."),
    string(
      "reward_scale", .policy, \.policyWork.scale, default: "none", choices: ["none", "standard", "logistic"],
      "Metrics as they are, standardised over the table, or the logistic of that."),
    string(
      "reward_metrics", .policy, \.policyWork.metrics, default: "",
      "Columns of the table with weights, name[:weight],…; empty: the first one."),
    string(
      "collect_step_set", .policy, \.policyWork.stepSet, default: "",
      "Numbers of steps separated by '/'; empty: the pipeline policy's, else 10/20/30/40/50."),
    int(
      "collect_seeds", .policy, \.policyWork.seedsPerPrompt, 1...1000, default: 1,
      "Initial noises per prompt, from the option seed on."),
    string(
      "collect_metrics", .policy, \.policyWork.scorers, default: "reward",
      "Scorers separated by ',': reward[:folder], clip:folder, niqe:file, host (the callback)."),
    int(
      "eval_bootstrap", .policy, \.policyWork.bootstrap, 1...100_000, default: 2000,
      "Resamples of the prompts for intervals."),
  ]
}
