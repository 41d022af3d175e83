import Graph
import Support
import Testing

@testable import Adaptive

@Suite struct PolicyTests {
  private func question(_ prompt: String, seed: UInt64 = 0) throws -> StepQuestion {
    StepQuestion(
      lastHiddenState: try Tensor(type: .float32, shape: [1, 1, 1], values: [Float(0)]),
      attentionMask: try Tensor(type: .int64, shape: [1, 1], values: [Int64(1)]), defaultSteps: 50, prompt: prompt,
      seed: seed)
  }

  @Test func specificationsAreParsed() throws {
    #expect(try PolicySpecification(parsing: "fixed:20").parameters == ["steps": "20"])
    #expect(
      try PolicySpecification(parsing: "words:thresholds=8/10,steps=5/10/20").parameters
        == ["thresholds": "8/10", "steps": "5/10/20"])
    #expect(try PolicySpecification(parsing: "learned:path=a/b=c").parameters == ["path": "a/b=c"])
    #expect(try PolicySpecification(parsing: "random").parameters.isEmpty)
  }

  @Test(arguments: [
    ("oracle", Status.unknownName), ("", .unknownName), ("words:limits=3", .unknownName), ("fixed:", .invalidArgument),
    ("fixed:0", .outOfRange), ("fixed:1001", .outOfRange), ("fixed:ten", .invalidArgument),
    ("fixed:10/20", .invalidArgument), ("fixed:steps=10,steps=20", .invalidArgument),
    ("words:thresholds=8/x", .invalidArgument), ("random:weights=1/nan", .invalidArgument),
    ("words:steps=20/10", .invalidArgument), ("fixed:99999999999999999999", .invalidArgument),
  ])
  func wrongSpecificationsAreRefused(_ text: String, _ status: Status) {
    #expect { try PolicySpecification(parsing: text) } throws: { ($0 as? Failure)?.status == status }
  }

  /// The paper's heuristic: below 8 words 10 steps, 8 and 9 words 20, and so on.
  @Test(arguments: [(0, 10), (7, 10), (8, 20), (9, 20), (10, 30), (12, 40), (13, 40), (14, 50), (99, 50)])
  func wordsFollowThePaper(_ words: Int, _ steps: Int) throws {
    let prompt = Array(repeating: "word", count: words).joined(separator: " \t")
    let decision = try WordStepPolicy().decide(question(prompt), checkCancelled: {})
    #expect(decision.steps == steps)
    #expect(decision.facts["words"] == Double(words))
    #expect(decision.probabilities.reduce(0, +) == 1)
  }

  private struct Constant: LanguageModel {
    var value: Double
    func perplexity(_ text: String, checkCancelled: @escaping () throws -> Void) -> Double { value }
  }

  @Test(arguments: [(1.0, 10), (19.99, 10), (20, 20), (39.9, 20), (40, 30), (79, 40), (80, 50), (1e9, 50)])
  func perplexityFollowsThePaper(_ value: Double, _ steps: Int) throws {
    #expect(
      try PerplexityStepPolicy(model: Constant(value: value)).decide(question("x"), checkCancelled: {}).steps == steps)
  }

  @Test func perplexityMustBeFinite() throws {
    let policy = try PerplexityStepPolicy(model: Constant(value: .nan))
    #expect { try policy.decide(question("x"), checkCancelled: {}) } throws: {
      ($0 as? Failure)?.status == .notFinite
    }
  }

  @Test func lotsFollowTheDistribution() throws {
    let policy = try RandomStepPolicy(stepSet: [10, 20, 50], weights: [1, 0, 3])
    let drawn = try (0..<4000).map { try policy.decide(question("a cat", seed: $0), checkCancelled: {}).steps }
    // Four standard deviations of a share of 1/4 among 4000.
    #expect(abs(Double(drawn.count { $0 == 10 }) / 4000 - 0.25) < 0.028)
    #expect(!drawn.contains(20))
    #expect(
      try policy.decide(question("a", seed: 5), checkCancelled: {})
        == policy.decide(question("a", seed: 5), checkCancelled: {}))
    #expect { try RandomStepPolicy(stepSet: [1, 2], weights: [0, 0]) } throws: {
      ($0 as? Failure)?.status == .invalidArgument
    }
  }

  @Test func deadlineTakesTheBestPossibleChoice() {
    let decision = StepDecision(
      steps: 50, policy: "p", reason: "r", choices: [10, 20, 50], probabilities: [0.3, 0.1, 0.6])
    #expect(decision.limited(to: 60).steps == 50)
    #expect(decision.limited(to: 49).steps == 10)
    #expect(decision.limited(to: 7).steps == 7)
    let rule = StepDecision(steps: 50, policy: "p", reason: "r", choices: [10, 20, 50], probabilities: [0, 0, 1])
    #expect(rule.limited(to: 30).steps == 20)
    #expect(StepDecision(steps: 50, policy: "fixed", reason: "r").limited(to: 30).steps == 30)
  }

  @Test func nGramsFindSeenTextsLessSurprising() throws {
    let captions = ["a red apple on white", "a red apple on blue", "two cats and a tree", "two cats and a star"]
    let table = try NGramTable(captions: captions)
    let seen = table.perplexity("a red apple on white")
    let shuffled = table.perplexity("white on apple red a")
    let strange = table.perplexity("quantum flux of zebras")
    #expect(seen < shuffled && shuffled < strange)
    #expect(seen >= 1)
    #expect(table.perplexity("").isFinite)
  }

  /// Witten-Bell by hand: the captions "x" and "y" in a bigram table. Distinct words after nothing: x, y, </s>; counts 1, 1,
  /// 2. Equal chances 1/4. P(x) = (1 + 3/4) / 7 = 1/4; after <s>: (1 + 2 · 1/4) / 4 = 3/8; </s> alone: (2 + 3/4) / 7; after
  /// x: (1 + 1 · 11/28) / 2.
  @Test func interpolationIsWittenAndBells() throws {
    let table = try NGramTable(captions: ["x", "y"], order: 2)
    let expected = 1 / ((3.0 / 8) * (1 + 11.0 / 28) / 2).squareRoot()
    #expect(abs(table.perplexity("x") - expected) < 1e-12)
  }

  @Test func qualityCurvesMustAscend() {
    let points = [
      QualityCurve.Point(quality: 0, shift: -2, meanSteps: 5), .init(quality: 0.5, shift: 0, meanSteps: 20),
      .init(quality: 1, shift: 6, meanSteps: 50),
    ]
    let curve = QualityCurve(points)
    #expect(curve?.shift(0.25) == -1)
    #expect(curve?.shift(0.75) == 3)
    #expect(curve?.shift(7) == 6)
    #expect(QualityCurve(points.reversed()) == nil)
    #expect(QualityCurve(Array(points.dropLast())) == nil)
  }
}
