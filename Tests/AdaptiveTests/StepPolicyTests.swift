import Glibc
import Graph
import Runtime
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

  /// The network's masked attention and mean make padding irrelevant, so that leaving it out changes only rounding.
  @Test(arguments: [1, 5, 8, 9, 16])
  func paddingIsLeftOut(_ used: Int) throws {
    let folder = #filePath.split(separator: "/").dropLast(2).reduce("") { "\($0)/\($1)" } + "/Fixtures/tiny-sd/policy"
    let (length, width) = (16, 32)
    let values = (0..<length * width).map { Float(sin(Double($0 * $0))) }
    let state = try Tensor(type: .float32, shape: [1, length, width], values: values)
    let mask = try Tensor(type: .int64, shape: [1, length], values: (0..<length).map { Int64($0 < used ? 1 : 0) })
    #expect(
      try LearnedStepPolicy.withoutPadding(state, mask)["last_hidden_state"]?.shape == [1, used <= 8 ? 8 : 16, width])
    let policy = try LearnedStepPolicy(folder: folder, textHiddenSize: width, pool: nil)
    let decision = try policy.decide(
      StepQuestion(lastHiddenState: state, attentionMask: mask, defaultSteps: 50), checkCancelled: {})
    let logits = try #require(
      Model(path: folder + "/policy.onnx").run(
        ["last_hidden_state": state, "attention_mask": mask], outputs: ["logits"])["logits"])
    let expected = try LearnedStepPolicy.decision(
      name: "p", stepSet: policy.stepSet, logits: logits.buffer(Float.self).map(Double.init))
    // float32 sums over at most 16 tokens in another order.
    #expect(zip(decision.probabilities, expected.probabilities).allSatisfy { abs($0 - $1) < 1e-5 })
  }
}
