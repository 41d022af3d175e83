import Glibc
import Graph
import Runtime
import Support

/// A trained network that reads the text features and scores every number of steps it knows (AdaDiff, AAAI 2025).
///
/// Stored as `policy.json` and an ONNX graph with inputs `last_hidden_state` float32 (batch, length, features) and
/// `attention_mask` int64 (batch, length), output `logits` (batch, choices). The steps are the choice with the largest
/// logit; the softmax goes into the report.
public final class LearnedStepPolicy: StepPolicy {
  /// The format of `policy.json` that this library reads.
  public static let format = 1

  public let name: String
  /// Numbers of steps to choose from, in the order of the logits.
  public let stepSet: [Int]
  /// Features of the text encoder the policy was trained with.
  public let hiddenSize: Int
  /// The scheduler class and guidance scale it was trained with, where the file says so.
  public let scheduler: String?
  public let guidanceScale: Double?
  /// The guidance interval it was trained with, shares of the noise schedule in 0…1.
  public let guidanceStart: Double?
  public let guidanceStop: Double?
  /// Share of the training prompts that got each number of steps, where the file says so.
  public let histogram: [Double]?
  public let qualityCurve: QualityCurve?
  /// `training.reward` of the file: the rule it learned from, for evaluation.
  public let trainingReward: JSON?
  /// The text encoder's features of the first token, which a causal encoder computes alike for every text.
  private let fingerprint: [Double]

  private let model: Model
  private let pool: ThreadPool?

  /// Loads the policy in `folder`. `textHiddenSize` is the pipeline's, checked against the policy's.
  public init(folder: String, textHiddenSize: Int?, pool: ThreadPool?) throws {
    let file = folder + "/policy.json"
    let json = try JSON.parse(file: file)
    func bad(_ message: String, expected: String? = nil, actual: String? = nil) -> Failure {
      Failure(.corrupt, message, component: "policy", file: file, expected: expected, actual: actual)
    }
    guard json.object != nil else { throw bad("policy.json must hold an object") }
    guard let format = json["format"]?.int else { throw bad("'format' is missing or not an integer") }
    guard format == Self.format else {
      throw Failure(
        .unsupported, "policy format is not supported", component: "policy", file: file, expected: "\(Self.format)",
        actual: "\(format)")
    }
    name = json["name"]?.string ?? StepPolicyNames.learned
    guard let listed = json["step_set"]?.array, !listed.isEmpty, listed.count <= 1000 else {
      throw bad("'step_set' must be a list of 1 to 1000 numbers of steps")
    }
    stepSet = try listed.map { entry in
      guard let steps = entry.int, (1...1000).contains(steps) else {
        throw bad(
          "'step_set' holds something else than numbers of steps", expected: "integers 1…1000", actual: entry.text)
      }
      return steps
    }
    guard zip(stepSet, stepSet.dropFirst()).allSatisfy({ $0 < $1 }) else {
      throw bad("'step_set' must be ascending", actual: "\(stepSet)")
    }
    let graph = json["policy"]?.string ?? "policy.onnx"
    guard !graph.isEmpty, !graph.contains("/"), graph != ".." else {
      throw bad("'policy' must be a file name inside the policy folder", actual: graph)
    }
    guard let hiddenSize = json["text_encoder"]?["hidden_size"]?.int ?? textHiddenSize else {
      throw bad("'text_encoder.hidden_size' is missing")
    }
    if let textHiddenSize, textHiddenSize != hiddenSize {
      throw Failure(
        .shapeMismatch, "the policy was trained with another text encoder", component: "policy", file: file,
        expected: "hidden size \(textHiddenSize)", actual: "\(hiddenSize)")
    }
    self.hiddenSize = hiddenSize
    scheduler = json["scheduler"]?.string
    guidanceScale = json["guidance_scale"]?.double
    (guidanceStart, guidanceStop) = (json["guidance_start"]?.double, json["guidance_stop"]?.double)
    for share in [guidanceStart, guidanceStop].compactMap(\.self) where !(0...1).contains(share) {
      throw bad("'guidance_start' and 'guidance_stop' must lie in 0…1", actual: "\(share)")
    }
    let choices = stepSet.count
    histogram = try json["training"]?["histogram"]?.array.map { shares in
      let values = shares.compactMap(\.double).filter { $0 >= 0 && $0.isFinite }
      guard values.count == choices, shares.count == choices else {
        throw bad("'training.histogram' must hold one share per number of steps", expected: "\(choices) numbers")
      }
      return values
    }
    trainingReward = json["training"]?["reward"]
    qualityCurve = try QualityCurve(json: json["quality_curve"], file: file)
    fingerprint = json["text_encoder"]?["fingerprint"]?.array?.compactMap(\.double) ?? []
    guard fingerprint.count <= hiddenSize else { throw bad("'text_encoder.fingerprint' is longer than the features") }
    self.pool = pool
    do {
      model = try Model(path: folder + "/" + graph, options: ModelOptions(pool: pool))
      for required in ["last_hidden_state", "attention_mask"]
      where !model.inputs.contains(where: { $0.name == required }) {
        throw Failure(
          .corrupt, "the policy network has no input '\(required)'",
          actual: model.inputs.map(\.name).joined(separator: ", "))
      }
      guard model.outputs.contains(where: { $0.name == "logits" }) else {
        throw Failure(
          .corrupt, "the policy network has no output 'logits'",
          actual: model.outputs.map(\.name).joined(separator: ", "))
      }
    } catch let failure as Failure {
      throw failure.adding(component: "policy", file: folder + "/" + graph)
    }
  }

  public func choices(default steps: Int) -> [Int] { stepSet }

  public func decide(_ question: StepQuestion, checkCancelled: @escaping () throws -> Void) throws -> StepDecision {
    guard question.lastHiddenState.shape.last == hiddenSize else {
      throw Failure(
        .shapeMismatch, "the text features do not fit the policy", component: "policy",
        expected: "(1, length, \(hiddenSize))", actual: "\(question.lastHiddenState.shape)")
    }
    try checkFingerprint(question.lastHiddenState)
    let results = try model.run(
      try Self.withoutPadding(question.lastHiddenState, question.attentionMask), outputs: ["logits"],
      options: RunOptions(pool: pool, checkCancelled: checkCancelled))
    guard let logits = results["logits"], logits.type == .float32, logits.count == stepSet.count else {
      throw Failure(
        .shapeMismatch, "the policy's logits do not fit its step set", component: "policy",
        expected: "float32 (1, \(stepSet.count))",
        actual: results["logits"].map { "\($0.type.name) \($0.shape)" } ?? "nothing")
    }
    let values = withExtendedLifetime(logits) { logits.buffer(Float.self).map(Double.init) }
    guard let quality = question.quality else {
      return try Self.decision(name: name, stepSet: stepSet, logits: values)
    }
    let shift = (qualityCurve ?? .standard).shift(quality)
    var decision = try Self.decision(
      name: name, stepSet: stepSet, logits: Self.shifted(values, stepSet: stepSet, by: shift))
    decision.reason = "largest probability at the asked quality"
    decision.facts = ["quality": quality, "shift": shift]
    return decision
  }

  /// Lengths of text that the network is run with are multiples of this: few plans, little padding.
  private static let lengthUnit = 8

  /// The network's inputs without most of the padding behind the prompt, which its attention and mean leave out anyway.
  static func withoutPadding(_ state: Tensor, _ mask: Tensor) throws(Failure) -> [String: Tensor] {
    let length = mask.count
    guard state.type == .float32, state.rank == 3, state.shape[0] == 1, state.shape[1] == length, mask.type == .int64
    else { return ["last_hidden_state": state, "attention_mask": mask] }
    let values = withExtendedLifetime(mask) { Array(mask.buffer(Int64.self)) }
    let used = (values.lastIndex { $0 != 0 } ?? 0) + 1
    let kept = min(length, (used + lengthUnit - 1) / lengthUnit * lengthUnit)
    let width = state.shape[2]
    return [
      "last_hidden_state": Tensor(
        type: .float32, shape: [1, kept, width],
        bytes: .init(rebasing: state.bytes[..<(kept * width * MemoryLayout<Float>.stride)]), owner: state.owner),
      "attention_mask": try Tensor(type: .int64, shape: [1, kept], values: Array(values.prefix(kept))),
    ]
  }

  /// Logits leaning towards more (positive) or fewer steps, as `QualityCurve` says.
  public static func shifted(_ logits: [Double], stepSet: [Int], by shift: Double) -> [Double] {
    let largest = Double(stepSet.last ?? 1)
    return zip(logits, stepSet).map { $0 + shift * Double($1) / largest }
  }

  /// Throws where the features come from another text encoder than the policy learned to read.
  private func checkFingerprint(_ state: Tensor) throws(Failure) {
    guard !fingerprint.isEmpty, state.type == .float32 else { return }
    let values = withExtendedLifetime(state) { state.buffer(Float.self).prefix(fingerprint.count).map(Double.init) }
    let difference = zip(values, fingerprint).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    let size = fingerprint.reduce(0) { $0 + $1 * $1 }
    // Lower precision moves features by some 1e-2; another encoder's are unrelated, their difference as large as they.
    guard difference <= 0.05 * size else {
      throw Failure(
        .shapeMismatch, "the policy was trained with another text encoder of the same width", component: "policy",
        expected: "first features \(fingerprint.prefix(3))", actual: "\(values.prefix(3))")
    }
  }

  /// Argmax (the first of equals) and softmax. Throws `.notFinite` where a logit is NaN or infinite.
  public static func decision(name: String, stepSet: [Int], logits: [Double]) throws(Failure) -> StepDecision {
    guard let largest = logits.max(), logits.allSatisfy({ $0.isFinite }), logits.count == stepSet.count else {
      throw Failure(.notFinite, "the policy's logits are not finite", component: "policy", actual: "\(logits)")
    }
    let weights = logits.map { exp($0 - largest) }
    let total = weights.reduce(0, +)
    let chosen = logits.firstIndex(of: largest) ?? 0
    return StepDecision(
      steps: stepSet[chosen], policy: name, reason: "largest probability", choices: stepSet,
      probabilities: weights.map { $0 / total })
  }
}
