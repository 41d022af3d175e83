import Adaptive
import Graph
import Runtime
import Support

/// What a step policy reads of a prompt.
public struct TextFeatures: Sendable {
  /// float32 (1, length, features).
  public var lastHiddenState: Tensor
  /// 1 for the prompt's tokens with start and end, 0 for padding.
  public var mask: [Int]

  /// int64 (1, length).
  public func maskTensor() throws(Failure) -> Tensor {
    try Tensor(type: .int64, shape: [1, mask.count], values: mask.map(Int64.init))
  }
}

extension StableDiffusionPipeline {
  /// The text encoder's features of a prompt, as the policy of a run sees them.
  public func textFeatures(
    _ prompt: String, checkCancelled: @escaping () throws -> Void = {}
  ) throws -> TextFeatures {
    let tokens = try tokenizer.get().tokenize(prompt)
    let encoding = try textEncoder.get().encode(
      tokens, clipSkip: 0, options: RunOptions(pool: pool, checkCancelled: checkCancelled))
    return TextFeatures(lastHiddenState: encoding.lastHiddenState, mask: tokens.mask)
  }

  /// Features per token of the text encoder; nil when its configuration does not say.
  public var hiddenSize: Int? { folder.hiddenSize }
  public var path: String { folder.path }
  public var schedulerName: String? { folder.scheduler.className }
  /// Threads for work around the pipeline.
  public var threadPool: ThreadPool { pool }
}

extension StableDiffusionPipeline {
  /// The step set of the pipeline's own policy.
  public var stepSet: [Int]? { policy?.stepSet }
  public var learnedPolicy: LearnedStepPolicy? { policy }

  /// The policy that a specification names.
  public func policy(_ specification: PolicySpecification) throws -> any StepPolicy {
    try policies.policy(specification)
  }

  /// How many steps a run with these options would take, without making the picture.
  public func decide(
    _ prompt: String, options: GenerationOptions, callbacks: RunCallbacks
  ) throws -> StepDecision {
    try Run(pipeline: self, plan: RunPlan(options, pipeline: self), callbacks: callbacks).decision(for: prompt)
  }
}
