import Glibc
import Graph
import Support

/// NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss: -weight[t] · log p[t] of the target class t, over scores of
/// shape (batch, classes, d1, …) and targets of shape (batch, d1, …).
struct LikelihoodLoss: Operator {
  private enum Summary: String {
    case none, sum, mean
  }

  /// Scores are logits: their logarithmic softmax comes first and is the second output.
  private let takesLogits: Bool
  private let summary: Summary
  private let ignored: Int?

  init(takesLogits: Bool, _ node: Node) throws {
    self.takesLogits = takesLogits
    let name = try node.string("reduction", default: "mean")
    guard let summary = Summary(rawValue: name) else {
      throw Failure(.corrupt, "attribute 'reduction' is '\(name)'", expected: "none, sum or mean")
    }
    self.summary = summary
    ignored = try node.int("ignore_index")
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let scores: ValueInfo = try inputs.operand(0)
    let targets: ValueInfo = try inputs.operand(1)
    try scores.requireType(scores.type.isFloatingPoint && ComputeKind(scores.type) != nil, "a floating-point type")
    try targets.requireType(targets.type == .int32 || targets.type == .int64, "int32 or int64")
    guard scores.shape.count >= 2 else {
      throw Failure(.shapeMismatch, "scores need the axes batch and class", actual: "\(scores.shape)")
    }
    var positions = scores.shape
    let classes = positions.remove(at: 1)
    guard targets.shape == positions else {
      throw Failure(.shapeMismatch, "one target per position", expected: "\(positions)", actual: "\(targets.shape)")
    }
    if let weights: ValueInfo = inputs.optionalOperand(2) {
      try weights.requireSameType(as: scores)
      guard weights.shape == [classes] else {
        throw Failure(.shapeMismatch, "one weight per class", expected: "[\(classes)]", actual: "\(weights.shape)")
      }
    }
    let loss = ValueInfo(type: scores.type, shape: summary == .none ? positions : [])
    return takesLogits ? [loss, ValueInfo(type: scores.type, shape: scores.shape)] : [loss]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let scores: Tensor = try inputs.operand(0)
    let targets: Tensor = try inputs.operand(1)
    let weights = try (inputs.optionalOperand(2) as Tensor?)?.numbers()
    let classes = scores.shape[1]
    let inner = scores.shape.dropFirst(2).reduce(1, *)
    var logarithms = try scores.numbers()
    if takesLogits {
      normalize(&logarithms, classes: classes, inner: inner)
      if let result: Tensor = outputs.optionalOperand(1) { try result.store(logarithms) }
    }
    guard let result = outputs.optionalOperand(0) else { return }
    var losses: [Double] = []
    var totalWeight = 0.0
    for (position, target) in try targets.integers().enumerated() {
      if target == ignored {
        losses.append(0)
        continue
      }
      guard target >= 0, target < classes else {
        throw Failure(.outOfRange, "a target is no class", expected: "0..<\(classes)", actual: "\(target)")
      }
      let weight = weights?[target] ?? 1
      let element = (position / inner * classes + target) * inner + position % inner
      losses.append(-weight * logarithms[element])
      totalWeight += weight
    }
    switch summary {
    case .none: try result.store(losses)
    case .sum: try result.store([losses.reduce(0, +)])
    case .mean: try result.store([losses.reduce(0, +) / totalWeight])
    }
  }

  /// Logarithmic softmax along axis 1.
  private func normalize(_ scores: inout [Double], classes: Int, inner: Int) {
    guard classes > 0, inner > 0 else { return }
    for line in 0..<(scores.count / classes) {
      let start = line / inner * classes * inner + line % inner
      var largest = -Double.infinity
      for k in 0..<classes { largest = max(largest, scores[start + k * inner]) }
      var total = 0.0
      for k in 0..<classes { total += exp(scores[start + k * inner] - largest) }
      let shift = largest + log(total)
      for k in 0..<classes { scores[start + k * inner] -= shift }
    }
  }
}
