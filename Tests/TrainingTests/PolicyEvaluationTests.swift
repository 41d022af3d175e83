import Support
import Testing

@testable import Training

@Suite struct PolicyEvaluationTests {
  /// Two kinds of prompts: "a" is as good at 10 steps as at 50, "b" needs 50.
  private static func table() throws -> RewardTable {
    var text = "prompt,steps,q,ms\n"
    for index in 0..<40 {
      let simple = index % 2 == 0
      for (steps, quality) in [(10, simple ? 1.0 : 0.0), (30, simple ? 1.0 : 0.4), (50, 1.0)] {
        text += "p\(index),\(steps),\(quality),\(steps * 2)\n"
      }
    }
    return try Tables.table(text)
  }

  @Test func meansStepsAndTimesAreExact() throws {
    var evaluation = try PolicyEvaluation(Self.table(), rule: RewardRule(), bootstrap: 200)
    let learned = PolicyChoices(name: "learned", indices: (0..<40).map { $0 % 2 == 0 ? 0 : 2 }, choices: 3)
    evaluation.add(learned)
    let row = evaluation.rows[0]
    #expect(row.steps.mean == 30)
    #expect(row.values["q"]?.mean == 1)
    #expect(row.values["ms"]?.mean == 60)
    #expect(row.values["q"]?.low == 1 && row.values["q"]?.high == 1)
    #expect(row.histogram == [0.5, 0, 0.5])
    // Resampled prompts differ in kind, so steps have an interval around their mean.
    #expect(row.steps.low < 28 && row.steps.high > 32)
  }

  @Test func rivalsAtEqualSteps() throws {
    var evaluation = try PolicyEvaluation(Self.table(), rule: RewardRule(), bootstrap: 200)
    let learned = PolicyChoices(name: "learned", indices: (0..<40).map { $0 % 2 == 0 ? 0 : 2 }, choices: 3)
    let fixed = evaluation.bestFixed(meanSteps: evaluation.meanSteps(learned))
    // Half at 10 and half at 50 gives (0.5 + 1) / 2 = 0.75; all at 30 gives 0.7.
    #expect(fixed.chances[0] == [0.5, 0, 0.5])
    evaluation.compare(learned, fixed, name: "fixed")
    let difference = try #require(evaluation.differences.first)
    #expect(difference.values["steps"]?.mean == 0)
    #expect(abs((difference.values["q"]?.mean ?? 0) - 0.25) < 1e-12)
    #expect((difference.values["q"]?.low ?? 0) > 0)

    // Scores in the wrong order: simple prompts get 50 steps.
    let matched = evaluation.matched("words", scores: (0..<40).map { $0 % 2 == 0 ? 2 : 1 }, to: learned)
    #expect(evaluation.meanSteps(matched) == 30)
    #expect(matched.chances[0] == [0, 0, 1] && matched.chances[1] == [1, 0, 0])
  }

  @Test func oracleTakesTheBestInHindsight() throws {
    var rule = RewardRule()
    rule.gate = .top(1)
    let evaluation = try PolicyEvaluation(Self.table(), rule: rule, bootstrap: 10)
    #expect(evaluation.meanSteps(evaluation.oracle()) == 30)
  }
}
