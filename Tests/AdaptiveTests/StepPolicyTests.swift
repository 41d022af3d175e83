import Support
import Testing

@testable import Adaptive

@Suite struct StepPolicyTests {
  @Test func largestLogitWinsAndSoftmaxIsReported() throws {
    let decision = try LearnedStepPolicy.decision(name: "p", stepSet: [5, 10, 20], logits: [0, 2, 1])
    #expect(decision.steps == 10)
    #expect(decision.choices == [5, 10, 20])
    // e^0, e^2, e^1 over their sum.
    let expected = [0.09003057, 0.66524096, 0.24472847]
    #expect(zip(decision.probabilities, expected).allSatisfy { abs($0 - $1) < 1e-8 })
  }

  @Test func theFirstOfEqualsWins() throws {
    #expect(try LearnedStepPolicy.decision(name: "p", stepSet: [5, 10], logits: [1, 1]).steps == 5)
  }

  @Test func hugeLogitsDoNotOverflow() throws {
    let decision = try LearnedStepPolicy.decision(name: "p", stepSet: [5, 10], logits: [1e30, -1e30])
    #expect(decision.probabilities == [1, 0])
  }

  @Test func logitsMustBeFiniteAndFit() {
    for logits in [[.nan, 1], [.infinity, 1], [1], []] as [[Double]] {
      #expect { try LearnedStepPolicy.decision(name: "p", stepSet: [5, 10], logits: logits) } throws: {
        ($0 as? Failure)?.status == .notFinite
      }
    }
  }
}
