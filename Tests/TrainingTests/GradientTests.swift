import Foundation
import Support
import Testing

@testable import Training

/// What PyTorch computes with a small network (`Tests/Fixtures/training/make_policy_network.py`).
struct TorchReference: Decodable {
  var features, choices, layers, heads, feed_forward, head_hidden: Int
  var lengths: [Int]
  var entropy_weight: Double
  var actions: [Int]
  var rows: [[Float]]
  var rewards: [[Double]]
  var parameters: [Float]
  var logits: [[Double]]
  var loss: Double
  var expected_gradient: [Double]
  var reinforce_gradient: [Double]

  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fixtures/training")

  static func load() throws -> TorchReference {
    try JSONDecoder().decode(
      TorchReference.self, from: Data(contentsOf: folder.appendingPathComponent("policy_network.json")))
  }

  func network(threads: Int = 1) throws -> PolicyNetwork {
    let shape = try NetworkShape(
      features: features, choices: choices, layers: layers, heads: heads, feedForward: feed_forward,
      headHidden: head_hidden)
    let network = try PolicyNetwork(shape: shape, pool: ThreadPool(threads: threads))
    network.parameters.values = parameters
    return network
  }

  func cache() throws -> FeatureCache { try FeatureCache(width: features, lengths: lengths, rows: rows) }
}

@Suite struct GradientTests {
  private let reference: TorchReference

  init() throws { reference = try TorchReference.load() }

  /// Runs forward, asks `slopes` for every prompt's gradient of the loss, and runs backward.
  private func gradients(
    _ network: PolicyNetwork, _ slopes: (Int, ChoiceProbabilities) -> [Double]
  ) throws -> [Double] {
    let (buffer, cache) = (FloatBuffer(), try reference.cache())
    let batch = try cache.batch(Array(reference.lengths.indices)[...], into: buffer)
    try network.forward(batch)
    let choices = reference.choices
    var all: [Float] = []
    for prompt in reference.lengths.indices {
      let choice = ChoiceProbabilities(logits: network.logits.pointer + prompt * choices, count: choices)
      all += slopes(prompt, choice).map { Float($0 / Double(reference.lengths.count)) }
    }
    network.gradients.clear()
    try network.backward(batch, dLogits: all)
    return withExtendedLifetime((buffer, cache)) { network.gradients.values.map(Double.init) }
  }

  private func relativeError(_ a: [Double], _ b: [Double]) -> Double {
    let difference = zip(a, b).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    return a.count == b.count ? (difference / b.reduce(0) { $0 + $1 * $1 }).squareRoot() : .infinity
  }

  @Test func parametersAreCounted() throws {
    #expect(try reference.network().layout.count == reference.parameters.count)
    // The reconstruction of the paper's network: 25.7 million parameters, 1.94 GMAC for 77 tokens of 1024 features.
    let paper = try NetworkShape(features: 1024, choices: 10)
    #expect(ParameterLayout(paper).count == 25_199_616 + 2048 + 1024 * 512 + 512 + 512 * 10 + 10)
    #expect(abs(Double(paper.multiplyAdds(length: 77)) / 1e9 - 1.974) < 0.005)
  }

  /// float32 against PyTorch in float64: 1e-5 is a hundred roundings.
  @Test func logitsAreTorchs() throws {
    let (network, buffer, cache) = (try reference.network(), FloatBuffer(), try reference.cache())
    try network.forward(cache.batch([0, 1, 2, 3][...], into: buffer))
    let values = network.logits.values.map(Double.init)
    #expect(relativeError(values, reference.logits.flatMap { $0 }) < 1e-5)
    withExtendedLifetime((buffer, cache)) {}
  }

  @Test func expectedGradientIsTorchs() throws {
    let found = try gradients(reference.network()) { prompt, choice in
      zip(
        PolicyGradient.expected(choice, rewards: reference.rewards[prompt]),
        PolicyGradient.negativeEntropy(choice)
      ).map { $0 + reference.entropy_weight * $1 }
    }
    #expect(relativeError(found, reference.expected_gradient) < 1e-5)
  }

  @Test func reinforceGradientIsTorchs() throws {
    let found = try gradients(reference.network()) { prompt, choice in
      let action = reference.actions[prompt]
      return PolicyGradient.reinforce(choice, action: action, advantage: reference.rewards[prompt][action])
    }
    #expect(relativeError(found, reference.reinforce_gradient) < 1e-5)
  }

  /// Central differences of the loss in float32: with a step of 1e-2 rounding and curvature stay below 1e-4 of the norm
  /// along random directions.
  @Test func gradientAgreesWithFiniteDifferences() throws {
    let network = try reference.network()
    let gradient = try gradients(network) { prompt, choice in
      PolicyGradient.expected(choice, rewards: reference.rewards[prompt])
    }
    let norm = gradient.reduce(0) { $0 + $1 * $1 }.squareRoot()
    var generator = SplitMix64(seed: 5)
    let start = reference.parameters
    func loss(_ direction: [Float], _ step: Float) throws -> Double {
      network.parameters.values = zip(start, direction).map { $0 + step * $1 }
      let (buffer, cache) = (FloatBuffer(), try reference.cache())
      try network.forward(cache.batch([0, 1, 2, 3][...], into: buffer))
      defer { withExtendedLifetime((buffer, cache)) {} }
      return -reference.rewards.indices.reduce(0.0) { sum, prompt in
        let choice = ChoiceProbabilities(
          logits: network.logits.pointer + prompt * reference.choices, count: reference.choices)
        return sum + choice.expectation(reference.rewards[prompt])
      } / Double(reference.rewards.count)
    }
    for _ in 0..<8 {
      let raw = start.map { _ in generator.uniform() - 0.5 }
      let length = raw.reduce(0) { $0 + $1 * $1 }.squareRoot()
      let direction = raw.map { Float($0 / length) }
      let along = zip(gradient, direction).reduce(0) { $0 + $1.0 * Double($1.1) }
      let step: Float = 1e-2
      let slope = (try loss(direction, step) - loss(direction, -step)) / Double(2 * step)
      #expect(abs(slope - along) < 1e-4 * max(1, norm))
    }
  }

  @Test func threadsDoNotChangeABit() throws {
    func run(_ threads: Int) throws -> [Double] {
      try gradients(reference.network(threads: threads)) { prompt, choice in
        PolicyGradient.expected(choice, rewards: reference.rewards[prompt])
      }
    }
    #expect(try run(1) == run(3))
  }
}
