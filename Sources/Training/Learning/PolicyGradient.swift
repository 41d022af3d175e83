import Glibc
import Support

/// Softmax of a row of logits, with logarithms.
struct ChoiceProbabilities {
  var probabilities: [Double]
  var logarithms: [Double]

  init(logits: UnsafePointer<Float>, count: Int) {
    self.init(logits: (0..<count).map { Double(logits[$0]) })
  }

  init(logits values: [Double]) {
    let largest = values.max() ?? 0
    let total = log(values.reduce(0) { $0 + exp($1 - largest) })
    logarithms = values.map { $0 - largest - total }
    probabilities = logarithms.map { exp($0) }
  }

  var entropy: Double { -zip(probabilities, logarithms).reduce(0) { $0 + $1.0 * $1.1 } }

  /// The first of the largest.
  var best: Int {
    var best = 0
    for index in probabilities.indices where probabilities[index] > probabilities[best] { best = index }
    return best
  }

  /// The action that a uniform number in 0..<1 falls on.
  func action(at lot: Double) -> Int {
    var rest = lot
    for (index, probability) in probabilities.enumerated() {
      if rest < probability { return index }
      rest -= probability
    }
    return probabilities.count - 1
  }

  func expectation(_ rewards: [Double]) -> Double { zip(probabilities, rewards).reduce(0) { $0 + $1.0 * $1.1 } }
}

/// Gradients of the loss, minus the objective of one prompt, with respect to its logits.
enum PolicyGradient {
  /// ∂/∂logit of −Σ π R: −π_j (R_j − Σ π R).
  static func expected(_ choice: ChoiceProbabilities, rewards: [Double]) -> [Double] {
    let mean = choice.expectation(rewards)
    return zip(choice.probabilities, rewards).map { -$0 * ($1 - mean) }
  }

  /// ∂/∂logit of −advantage · log π(action): advantage · (π_j − [j = action]).
  static func reinforce(_ choice: ChoiceProbabilities, action: Int, advantage: Double) -> [Double] {
    choice.probabilities.enumerated().map { advantage * ($1 - ($0 == action ? 1 : 0)) }
  }

  /// ∂/∂logit of −H: π_j (log π_j + H).
  static func negativeEntropy(_ choice: ChoiceProbabilities) -> [Double] {
    let entropy = choice.entropy
    return zip(choice.probabilities, choice.logarithms).map { $0 * ($1 + entropy) }
  }
}
