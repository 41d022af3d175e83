import Glibc
import Pipelines
import Support

/// How a training stood after one epoch.
public struct EpochRecord: Sendable {
  public var epoch = 0
  /// Expected reward of the policy on the training prompts, while it learned from them.
  public var trainingReward = 0.0
  public var entropy = 0.0
  public var gradientNorm = 0.0
  /// On the held-out prompts (all prompts where none are held out): reward of the most probable choices, best possible
  /// reward, share of prompts whose choice is best, mean steps, share of every choice.
  public var reward = 0.0
  /// On the same prompts: expected reward of the policy. Smoother than `reward`; the epoch where it is best is kept.
  public var expectedReward = 0.0
  public var bestReward = 0.0
  public var agreement = 0.0
  public var meanSteps = 0.0
  public var histogram: [Double] = []

  public init() {}

  public var json: JSON {
    .object([
      "epoch": JSON(epoch), "training_reward": JSON(trainingReward), "entropy": JSON(entropy),
      "gradient_norm": JSON(gradientNorm), "reward": JSON(reward),
      "expected_reward": JSON(expectedReward), "best_reward": JSON(bestReward),
      "agreement": JSON(agreement), "mean_steps": JSON(meanSteps),
      "histogram": .array(histogram.map { JSON($0) }),
    ])
  }
}

/// Learns a step-selection network from a table of rewards by policy gradient.
///
/// One decision per prompt: the objective is the mean over prompts of Σ_j π_j R_j. Equal inputs, options and instruction
/// set give equal bits, whatever the number of threads and however often the training was interrupted and resumed.
public final class PolicyTrainer {
  public let options: TrainingOptions
  public let stepSet: [Int]
  public let trainingPrompts: [Int]
  public let heldOutPrompts: [Int]
  public private(set) var records: [EpochRecord] = []
  /// Epoch whose parameters the policy has.
  public private(set) var chosenEpoch = 0

  let network: PolicyNetwork
  private let features: FeatureCache
  private let rewards: [[Double]]
  private let pool: ThreadPool
  private let adam: Adam
  private let stacked = FloatBuffer()
  private var generator: SplitMix64
  private var movingBaseline: Double?
  private var best: (reward: Double, parameters: [Float])?

  /// `rewards` holds one row per prompt of `features`, one column per number of steps.
  public init(
    features: FeatureCache, rewards: [[Double]], stepSet: [Int], options: TrainingOptions, pool: ThreadPool
  ) throws(Failure) {
    guard rewards.count == features.prompts, rewards.allSatisfy({ $0.count == stepSet.count }) else {
      throw Failure(
        .shapeMismatch, "rewards do not fit prompts and step set", component: "training",
        expected: "(\(features.prompts), \(stepSet.count))",
        actual: "(\(rewards.count), \(rewards.first?.count ?? 0))")
    }
    guard rewards.allSatisfy({ $0.allSatisfy(\.isFinite) }) else {
      throw Failure(.notFinite, "a reward is NaN or infinite", component: "training")
    }
    self.features = features
    self.rewards = rewards
    self.stepSet = stepSet
    self.options = options
    self.pool = pool
    let shape = try NetworkShape(
      features: features.width, choices: stepSet.count, layers: options.layers, heads: options.heads,
      feedForward: options.feedForward, headHidden: options.headHidden)
    network = try PolicyNetwork(shape: shape, pool: pool)
    network.initialize(seed: options.seed)
    adam = try Adam(count: network.layout.count)
    generator = SplitMix64(seed: options.seed ^ 0xADA_D1FF)
    var splitter = SplitMix64(seed: options.seed ^ 0x4E1D_0017)
    let order = splitter.shuffled(Array(0..<features.prompts))
    let held = min(features.prompts - 1, Int((Double(features.prompts) * options.heldOutShare).rounded()))
    heldOutPrompts = order.prefix(max(0, held)).sorted()
    trainingPrompts = order.dropFirst(max(0, held)).sorted()
  }

  // MARK: Epochs

  /// Trains until the epochs are over or patience is. `report` may throw to stop; with a checkpoint file the training can
  /// go on from the last checkpoint. Returns with the parameters of the best held-out epoch.
  public func train(checkpoint: String? = nil, report: (EpochRecord) throws -> Void = { _ in }) throws {
    if options.resume, let checkpoint { try restore(checkpoint) }
    while records.count < options.epochs, !hasLostPatience {
      let record = try epoch()
      records.append(record)
      if best.map({ record.expectedReward > $0.reward }) ?? true {
        best = (record.expectedReward, network.parameters.values)
        chosenEpoch = record.epoch
      }
      if let checkpoint, options.checkpointEvery > 0, records.count % options.checkpointEvery == 0 {
        try save(checkpoint)
      }
      try report(record)
    }
    if let checkpoint { try save(checkpoint) }
    // Without held-out prompts the best epoch would be the luckiest one.
    if let best, !heldOutPrompts.isEmpty {
      network.parameters.values = best.parameters
    } else {
      chosenEpoch = records.count
    }
  }

  private var hasLostPatience: Bool {
    options.patience > 0 && !heldOutPrompts.isEmpty && records.count - chosenEpoch >= options.patience
  }

  private func epoch() throws(Failure) -> EpochRecord {
    var record = EpochRecord()
    record.epoch = records.count + 1
    let passed = Double(records.count) / Double(max(1, options.epochs))
    let entropyWeight = options.entropyWeight + passed * (options.finalEntropyWeight - options.entropyWeight)
    let order = generator.shuffled(trainingPrompts)
    var (norms, batches) = (0.0, 0)
    var start = 0
    while start < order.count {
      let batch = order[start..<min(order.count, start + max(1, options.batch))]
      start = batch.endIndex
      let totals = try step(batch, entropyWeight: entropyWeight)
      record.trainingReward += totals.reward
      record.entropy += totals.entropy
      norms += totals.gradientNorm
      batches += 1
    }
    record.trainingReward /= Double(order.count)
    record.entropy /= Double(order.count)
    record.gradientNorm = norms / Double(max(1, batches))
    guard record.trainingReward.isFinite, record.gradientNorm.isFinite else {
      throw Failure(
        .notFinite, "training diverged in epoch \(record.epoch)", component: "training",
        expected: "a smaller learning rate than \(options.learningRate)")
    }
    try judge(&record)
    return record
  }

  /// One update from a batch of prompts. Sums over its prompts.
  private func step(
    _ batch: ArraySlice<Int>, entropyWeight: Double
  ) throws(Failure) -> (reward: Double, entropy: Double, gradientNorm: Double) {
    let lots = batch.map { _ in generator.uniform() }
    let dropout: DropoutKey? =
      options.dropout > 0 ? DropoutKey(share: options.dropout, seed: generator.next()) : nil
    let baseline = try batchBaseline(batch, lots: lots, dropout: dropout)
    network.gradients.clear()
    var (reward, entropy) = (0.0, 0.0)
    let choices = stepSet.count
    try forPieces(batch) { piece, offset throws(Failure) in
      let pieceDropout = dropout.map { DropoutKey(share: $0.share, seed: $0.seed &+ UInt64(offset)) }
      let input = try features.batch(piece, into: stacked)
      try network.forward(input, dropout: pieceDropout)
      let gradient = try FloatBuffer(count: piece.count * choices)
      for (row, prompt) in piece.enumerated() {
        let choice = ChoiceProbabilities(logits: network.logits.pointer + row * choices, count: choices)
        let rewards = rewards[prompt]
        reward += choice.expectation(rewards)
        entropy += choice.entropy
        var slopes: [Double]
        switch options.estimator {
        case .expected: slopes = PolicyGradient.expected(choice, rewards: rewards)
        case .reinforce:
          let action = choice.action(at: lots[offset + row])
          let subtracted = options.baseline == .greedy ? rewards[choice.best] : baseline
          slopes = PolicyGradient.reinforce(choice, action: action, advantage: rewards[action] - subtracted)
        }
        if entropyWeight > 0 {
          for (index, slope) in PolicyGradient.negativeEntropy(choice).enumerated() {
            slopes[index] += entropyWeight * slope
          }
        }
        for (index, slope) in slopes.enumerated() {
          gradient.pointer[row * choices + index] = Float(slope / Double(batch.count))
        }
      }
      try network.backward(input, dLogits: gradient.pointer)
      withExtendedLifetime(gradient) {}
    }
    let squares = network.gradients.values.reduce(0.0) { $0 + Double($1) * Double($1) }
    adam.step(
      network.parameters, gradients: network.gradients, rate: options.learningRate, weightDecay: options.weightDecay,
      pool: pool)
    return (reward, entropy, squares.squareRoot())
  }

  /// Pieces of at most `microbatch` prompts, each with its position in the batch.
  private func forPieces(
    _ batch: ArraySlice<Int>, _ body: (ArraySlice<Int>, Int) throws(Failure) -> Void
  ) throws(Failure) {
    var start = batch.startIndex
    while start < batch.endIndex {
      let piece = batch[start..<min(batch.endIndex, start + max(1, options.microbatch))]
      try body(piece, start - batch.startIndex)
      start = piece.endIndex
    }
  }

  /// What is subtracted from the rewards of drawn actions. The mean over a batch needs a forward pass of its own.
  private func batchBaseline(_ batch: ArraySlice<Int>, lots: [Double], dropout: DropoutKey?) throws(Failure) -> Double {
    guard options.estimator == .reinforce, options.baseline == .batch || options.baseline == .moving else { return 0 }
    var total = 0.0
    try forPieces(batch) { piece, offset throws(Failure) in
      let pieceDropout = dropout.map { DropoutKey(share: $0.share, seed: $0.seed &+ UInt64(offset)) }
      try network.forward(features.batch(piece, into: stacked), dropout: pieceDropout)
      for (row, prompt) in piece.enumerated() {
        let choice = ChoiceProbabilities(logits: network.logits.pointer + row * stepSet.count, count: stepSet.count)
        total += rewards[prompt][choice.action(at: lots[offset + row])]
      }
    }
    let mean = total / Double(batch.count)
    guard options.baseline == .moving else { return mean }
    let used = movingBaseline ?? mean
    movingBaseline = 0.9 * used + 0.1 * mean
    return used
  }

  // MARK: Judging

  /// Logits of prompts, one row each, without dropout.
  public func logits(_ prompts: [Int]) throws(Failure) -> [[Double]] {
    var result: [[Double]] = []
    let choices = stepSet.count
    try forPieces(prompts[...]) { piece, _ throws(Failure) in
      try network.forward(features.batch(piece, into: stacked))
      for row in 0..<piece.count {
        let base = network.logits.pointer + row * choices
        result.append((0..<choices).map { Double(base[$0]) })
      }
    }
    return result
  }

  private func judge(_ record: inout EpochRecord) throws(Failure) {
    let prompts = heldOutPrompts.isEmpty ? trainingPrompts : heldOutPrompts
    record.histogram = Array(repeating: 0, count: stepSet.count)
    for (prompt, values) in zip(prompts, try logits(prompts)) {
      let choice = ChoiceProbabilities(logits: values)
      let chosen = choice.best
      let largest = rewards[prompt].max() ?? 0
      record.expectedReward += choice.expectation(rewards[prompt]) / Double(prompts.count)
      record.reward += rewards[prompt][chosen] / Double(prompts.count)
      record.bestReward += largest / Double(prompts.count)
      record.agreement += (rewards[prompt][chosen] == largest ? 1 : 0) / Double(prompts.count)
      record.meanSteps += Double(stepSet[chosen]) / Double(prompts.count)
      record.histogram[chosen] += 1 / Double(prompts.count)
    }
  }

  // MARK: Checkpoints

  /// A line of JSON, then float32: parameters, first and second moments, best parameters.
  private func save(_ path: String) throws(Failure) {
    let header = JSON.object([
      "format": 1, "digest": JSON("\(digest)"), "parameters": JSON(network.layout.count),
      "adam_steps": JSON(adam.steps),
      "generator": JSON("\(generator.state)"), "moving_baseline": movingBaseline.map { JSON($0) } ?? .null,
      "chosen_epoch": JSON(chosenEpoch), "best_reward": best.map { JSON($0.reward) } ?? .null,
      "epochs": .array(records.map(\.json)),
    ])
    var bytes = Array((header.text + "\n").utf8)
    let best = best?.parameters ?? network.parameters.values
    for values in [network.parameters.values, adam.first.values, adam.second.values, best] {
      values.withUnsafeBytes { bytes += $0 }
    }
    try WholeFile.write(bytes, to: path)
  }

  private func restore(_ path: String) throws(Failure) {
    let file = try MappedFile(path: path)
    defer { withExtendedLifetime(file) {} }
    func bad(_ message: String, expected: String? = nil, actual: String? = nil) -> Failure {
      Failure(.corrupt, message, component: "training", file: path, expected: expected, actual: actual)
    }
    guard let end = file.bytes.firstIndex(of: 0x0A) else { throw bad("not a checkpoint") }
    let header = try JSON.parse(UnsafeRawBufferPointer(rebasing: file.bytes[..<end]), file: path)
    guard header["format"]?.int == 1 else { throw bad("not a checkpoint of this version") }
    guard header["digest"]?.string == "\(digest)" else {
      throw Failure(
        .invalidArgument, "the checkpoint belongs to a training with other data or options", component: "training",
        file: path)
    }
    let count = network.layout.count
    guard file.bytes.count - end - 1 == 16 * count, let steps = header["adam_steps"]?.int, steps >= 0,
      let state = header["generator"]?.string.flatMap({ UInt64($0) }), let chosen = header["chosen_epoch"]?.int,
      let epochs = header["epochs"]?.array
    else { throw bad("the checkpoint is damaged") }
    func values(_ part: Int) -> [Float] {
      let start = end + 1 + part * 4 * count
      return (0..<count).map { file.bytes.loadUnaligned(fromByteOffset: start + 4 * $0, as: Float.self) }
    }
    network.parameters.values = values(0)
    adam.first.values = values(1)
    adam.second.values = values(2)
    adam.steps = steps
    generator = SplitMix64(seed: state)
    movingBaseline = header["moving_baseline"]?.double
    chosenEpoch = chosen
    best = header["best_reward"]?.double.map { ($0, values(3)) }
    records = epochs.map { EpochRecord(json: $0) }
  }

  /// A number that changes with everything that the course of the training depends on, but not with its length.
  private var digest: UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    func add(_ value: UInt64) { hash = (hash ^ value) &* 0x100_0000_01B3 }
    var timeless = options
    // Where the entropy weight changes over the epochs, their number matters.
    if options.entropyWeight == options.finalEntropyWeight { timeless.epochs = 0 }
    timeless.patience = 0
    for byte in (timeless.json.text + network.shape.json.text).utf8 { add(UInt64(byte)) }
    for steps in stepSet { add(UInt64(steps)) }
    for row in rewards { for value in row { add(value.bitPattern) } }
    for offset in features.offsets { add(UInt64(offset)) }
    return hash
  }
}

extension EpochRecord {
  init(json: JSON) {
    epoch = json["epoch"]?.int ?? 0
    trainingReward = json["training_reward"]?.double ?? 0
    entropy = json["entropy"]?.double ?? 0
    gradientNorm = json["gradient_norm"]?.double ?? 0
    reward = json["reward"]?.double ?? 0
    expectedReward = json["expected_reward"]?.double ?? 0
    bestReward = json["best_reward"]?.double ?? 0
    agreement = json["agreement"]?.double ?? 0
    meanSteps = json["mean_steps"]?.double ?? 0
    histogram = json["histogram"]?.array?.compactMap(\.double) ?? []
  }
}
