import Support
import Testing

@testable import Training

@Suite struct RewardRuleTests {
  private static let stepSet = [10, 20, 30, 40, 50]

  /// The paper's formula with λ = 2, k = 3: R = (1 − t/50) + 2 Q inside the top three, −γ outside.
  @Test func topKIsThePapersReward() {
    var rule = RewardRule()
    rule.penalty = 0.7
    let rewards = rule.rewards(quality: [0.1, 0.4, 0.3, 0.5, 0.2][...], stepSet: Self.stepSet)
    let expected = [-0.7, 0.6 + 0.8, 0.4 + 0.6, 0.2 + 1.0, -0.7]
    #expect(zip(rewards, expected).allSatisfy { abs($0 - $1) < 1e-12 })
  }

  @Test func equalQualitiesShareTheBetterRank() {
    var rule = RewardRule()
    rule.gate = .top(1)
    let rewards = rule.rewards(quality: [1, 1, 0][...], stepSet: [1, 2, 4])
    #expect(rewards == [0.75 + 2, 0.5 + 2, -0.5])
  }

  @Test func thresholdAndStepsOnly() {
    var rule = RewardRule()
    rule.gate = .threshold(0.3)
    #expect(rule.rewards(quality: [0.2, 0.3][...], stepSet: [5, 10]) == [-0.5, 0.6])
    rule.gate = .stepsOnly
    #expect(rule.rewards(quality: [0.2, 0.3][...], stepSet: [5, 10]) == [0.5, 0])
  }

  @Test func mixturesWeighScaledMetrics() throws {
    let table = try Tables.table("prompt,steps,a,b\nx,1,0,10\nx,2,4,30\n")
    var rule = RewardRule()
    rule.mixture = try RewardRule.mixture(parsing: "a:2,b:-1")
    rule.scale = .standard
    #expect(try rule.quality(table) == [-2 + 1, 2 - 1])
    rule.mixture = [("c", 1)]
    #expect { try rule.quality(table) } throws: { ($0 as? Failure)?.status == .unknownName }
  }

  @Test func seedsOfAPromptAreAveraged() throws {
    let table = try Tables.table("prompt,seed,steps,q\nx,0,1,1\nx,0,2,0\nx,1,1,0\nx,1,2,1\n")
    var rule = RewardRule()
    rule.gate = .top(1)
    // Seed 0: [0.5 + 2, −0.5], seed 1: [−0.5, 0 + 2].
    #expect(try rule.rewards(table) == [[1, 0.75]])
  }
}
