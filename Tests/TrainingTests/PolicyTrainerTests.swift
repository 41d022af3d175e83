import Adaptive
import Foundation
import Graph
import Pipelines
import Runtime
import Support
import Testing

@testable import Training

/// A table whose best policy is known: every prompt belongs to one of four clusters of text features, and each cluster has
/// another best number of steps.
struct SyntheticTable {
  static let stepSet = [10, 20, 30, 50]
  static let width = 16

  let features: FeatureCache
  let rewards: [[Double]]
  /// Mean reward of the best policy.
  let optimum: Double

  init(prompts: Int, seed: UInt64) throws {
    var generator = SplitMix64(seed: seed)
    func noise() -> Float { Float(generator.uniform() + generator.uniform() + generator.uniform() - 1.5) }
    var centres = SplitMix64(seed: 99)
    let means = (0..<4).map { _ in (0..<Self.width).map { _ in Float(2 * centres.uniform() - 1) } }
    var (lengths, rows, rewards): ([Int], [[Float]], [[Double]]) = ([], [], [])
    for _ in 0..<prompts {
      let cluster = generator.integer(below: 4)
      let length = 2 + generator.integer(below: 4)
      lengths.append(length)
      for _ in 0..<length { rows.append(means[cluster].map { $0 + 0.5 * noise() }) }
      rewards.append(
        Self.stepSet.indices.map { choice in
          choice == cluster ? 1.5 : 0.5 - 0.3 * Double(abs(choice - cluster)) + 0.05 * Double(noise())
        })
    }
    features = try FeatureCache(width: Self.width, lengths: lengths, rows: rows)
    self.rewards = rewards
    optimum = rewards.reduce(0) { $0 + ($1.max() ?? 0) } / Double(prompts)
  }
}

@Suite struct PolicyTrainerTests {
  private static func options() -> TrainingOptions {
    var options = TrainingOptions()
    options.learningRate = 2e-3
    options.batch = 64
    options.epochs = 40
    options.layers = 2
    return options
  }

  private static func trainer(
    _ table: SyntheticTable, _ options: TrainingOptions, threads: Int = 2
  ) throws -> PolicyTrainer {
    try PolicyTrainer(
      features: table.features, rewards: table.rewards, stepSet: SyntheticTable.stepSet, options: options,
      pool: ThreadPool(threads: threads))
  }

  /// Both estimators come within 1 % of the best possible reward on prompts that were held out.
  @Test(arguments: [
    (GradientEstimator.expected, RewardBaseline.none), (.reinforce, .greedy), (.reinforce, .batch),
    (.reinforce, .moving),
  ])
  func knownOptimumIsLearned(_ estimator: GradientEstimator, _ baseline: RewardBaseline) throws {
    let table = try SyntheticTable(prompts: 512, seed: 1)
    var options = Self.options()
    options.estimator = estimator
    options.baseline = baseline
    options.entropyWeight = estimator == .reinforce ? 0.05 : 0
    let trainer = try Self.trainer(table, options)
    try trainer.train()
    let chosen = trainer.records[trainer.chosenEpoch - 1]
    #expect(chosen.reward >= 0.99 * chosen.bestReward, "\(chosen)")
    #expect(chosen.bestReward > 1.4)
  }

  /// With an entropy weight w that stays, the best distribution is softmax(R / w): logits tell how good every choice is.
  /// The noise of single rewards (0.05 standard deviations 0.5) moves them by about 0.1; without w they are apart by tens.
  @Test func constantEntropyWeightMakesLogitsRewards() throws {
    let table = try SyntheticTable(prompts: 256, seed: 5)
    var options = Self.options()
    options.estimator = .expected
    options.epochs = 120
    options.entropyWeight = 0.5
    options.finalEntropyWeight = 0.5
    // The last epoch's network, not the best one's: with a weight that falls to 0 it would be far off.
    options.heldOutShare = 0
    let trainer = try Self.trainer(table, options)
    try trainer.train()
    let logits = try trainer.logits(Array(0..<64))
    for (row, rewards) in zip(logits, table.rewards) {
      let differences = zip(row, rewards).map { $0 - $1 / 0.5 }
      let mean = differences.reduce(0, +) / Double(differences.count)
      #expect(differences.allSatisfy { abs($0 - mean) < 0.5 }, "\(row) for \(rewards)")
    }
  }

  @Test func sameSeedSameBitsForAnyThreads() throws {
    let table = try SyntheticTable(prompts: 96, seed: 2)
    var options = Self.options()
    options.epochs = 4
    options.dropout = 0.1
    func parameters(threads: Int, seed: UInt64) throws -> [Float] {
      options.seed = seed
      let trainer = try Self.trainer(table, options, threads: threads)
      try trainer.train()
      return trainer.network.parameters.values
    }
    let first = try parameters(threads: 1, seed: 3)
    #expect(try parameters(threads: 4, seed: 3) == first)
    #expect(try parameters(threads: 1, seed: 4) != first)
  }

  @Test func resumedTrainingEndsWithTheSameBits() throws {
    let table = try SyntheticTable(prompts: 96, seed: 2)
    var options = Self.options()
    options.epochs = 6
    options.checkpointEvery = 2
    options.baseline = .moving
    let whole = try Self.trainer(table, options)
    try whole.train()

    struct Stopped: Error {}
    let path = NSTemporaryDirectory() + "/adadiff-checkpoint-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    #expect(throws: Stopped.self) {
      try Self.trainer(table, options).train(checkpoint: path) { if $0.epoch == 5 { throw Stopped() } }
    }
    options.resume = true
    let second = try Self.trainer(table, options)
    try second.train(checkpoint: path)
    #expect(second.network.parameters.values == whole.network.parameters.values)
    #expect(second.records.map(\.json) == whole.records.map(\.json))

    options.learningRate = 1e-3
    #expect { try Self.trainer(table, options).train(checkpoint: path) } throws: {
      ($0 as? Failure)?.status == .invalidArgument
    }
    try Data(contentsOf: URL(fileURLWithPath: path)).dropLast(8).write(to: URL(fileURLWithPath: path))
    options.learningRate = Self.options().learningRate
    #expect { try Self.trainer(table, options).train(checkpoint: path) } throws: {
      ($0 as? Failure)?.status == .corrupt
    }
  }

  @Test func patienceEndsTraining() throws {
    var options = Self.options()
    options.patience = 3
    options.learningRate = 0
    let trainer = try Self.trainer(try SyntheticTable(prompts: 64, seed: 2), options)
    try trainer.train()
    #expect(trainer.records.count == 4)
    #expect(trainer.chosenEpoch == 1)
  }

  /// The files that training writes give the policy of a pipeline: same choices, logits equal to float32 rounding.
  @Test func writtenPolicyDecidesAsTrained() throws {
    let table = try SyntheticTable(prompts: 64, seed: 3)
    var options = Self.options()
    options.epochs = 3
    let trainer = try Self.trainer(table, options)
    try trainer.train()
    let folder = NSTemporaryDirectory() + "/adadiff-policy-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let json = try PolicyFiles.write(
      trainer, features: table.features, to: folder,
      provenance: PolicyProvenance(
        name: "synthetic", scheduler: "DDIMScheduler", guidanceScale: 5, guidanceStart: 0, guidanceStop: 0.4,
        rule: RewardRule(), table: "t.csv", captions: ["a red apple", "two cats"]))
    let policy = try LearnedStepPolicy(folder: folder, textHiddenSize: SyntheticTable.width, pool: nil)
    #expect(policy.stepSet == SyntheticTable.stepSet)
    #expect(policy.guidanceScale == 5 && policy.guidanceStart == 0 && policy.guidanceStop == 0.4)
    #expect(policy.histogram?.reduce(0, +) ?? 0 > 0.999)
    #expect(json["training"]?["prompts"]?.int == 58)
    #expect(json["training"]?["held_out_prompts"]?.int == 6)

    let logits = try trainer.logits(Array(0..<64))
    for prompt in 0..<64 {
      let rows = table.features.offsets[prompt + 1] - table.features.offsets[prompt]
      let buffer = FloatBuffer()
      let batch = try table.features.batch([prompt][...], into: buffer)
      // Two places of padding with values that must not matter.
      let values = Array(UnsafeBufferPointer(start: batch.features, count: rows * 16)) + Array(repeating: 7, count: 32)
      func decide(_ quality: Double?) throws -> StepDecision {
        try policy.decide(
          StepQuestion(
            lastHiddenState: Tensor(type: .float32, shape: [1, rows + 2, 16], values: values),
            attentionMask: Tensor(
              type: .int64, shape: [1, rows + 2],
              values: Array(repeating: Int64(1), count: rows) + [0, 0]), defaultSteps: 50, quality: quality),
          checkCancelled: {})
      }
      let expected = try LearnedStepPolicy.decision(name: "x", stepSet: policy.stepSet, logits: logits[prompt])
      let found = try decide(nil)
      #expect(found.steps == expected.steps)
      #expect(zip(found.probabilities, expected.probabilities).allSatisfy { abs($0 - $1) < 1e-5 })
      #expect(try decide(0).steps == 10)
      #expect(try decide(0.5).steps == expected.steps)
      #expect(try decide(1).steps == 50)
      withExtendedLifetime(buffer) {}
    }
  }

  @Test func qualityKnobMovesMeanStepsEvenly() throws {
    let table = try SyntheticTable(prompts: 256, seed: 4)
    var options = Self.options()
    options.epochs = 10
    options.estimator = .expected
    let trainer = try Self.trainer(table, options)
    try trainer.train()
    let logits = try trainer.logits(Array(0..<256))
    let curve = QualityCalibration.curve(logits: logits, stepSet: SyntheticTable.stepSet)
    let means = curve.points.map(\.meanSteps)
    #expect(means.first == 10 && means.last == 50)
    #expect(zip(means, means.dropFirst()).allSatisfy { $0 <= $1 })
    let trained = QualityCalibration.meanSteps(logits, SyntheticTable.stepSet, shift: 0)
    #expect(means[5] == trained)
    // One prompt in 256 changes its choice at a time.
    #expect(abs(means[2] - (10 + (trained - 10) * 0.4)) < 1)
  }

  @Test func wrongInputIsRefused() throws {
    let table = try SyntheticTable(prompts: 8, seed: 1)
    func status(_ body: () throws -> Void) -> Status? {
      do { try body() } catch { return (error as? Failure)?.status }
      return nil
    }
    var options = Self.options()
    #expect(
      status {
        _ = try PolicyTrainer(
          features: table.features, rewards: Array(table.rewards.dropLast()), stepSet: SyntheticTable.stepSet,
          options: options, pool: ThreadPool(threads: 1))
      } == .shapeMismatch)
    var rewards = table.rewards
    rewards[3][1] = .nan
    #expect(
      status {
        _ = try PolicyTrainer(
          features: table.features, rewards: rewards, stepSet: SyntheticTable.stepSet, options: options,
          pool: ThreadPool(threads: 1))
      } == .notFinite)
    options.heads = 5
    #expect(status { _ = try Self.trainer(table, options) } == .outOfRange)
    options = Self.options()
    options.learningRate = 1e30
    #expect(status { try Self.trainer(table, options).train() } == .notFinite)
  }
}
