import Graph
import Operators
import Support
import Testing

@Suite("Losses, recurrent networks, determinants")
struct TrainingTests {
  @Test("Loss: ignored targets and weights leave the mean; a target that is no class is an error")
  func loss() throws {
    let scores = try Tensor([-1, -2, -3, -4, -5, -6], [3, 2])
    let weights = try Tensor([1, 3])
    let targets = try Tensor(type: .int64, shape: [3], values: [Int64(0), 1, -1])
    let loss = SingleOperator(type: "NegativeLogLikelihoodLoss", attributes: ["ignore_index": .int(-1)])
    #expect(try loss(scores, targets, weights)[0].values() == [(1 + 3 * 4) / 4] as [Float])
    #expect(throws: Failure.self) { try SingleOperator(type: "NegativeLogLikelihoodLoss")(scores, targets) }
  }

  @Test("Cross entropy of huge logits stays finite")
  func crossEntropy() throws {
    let scores = try Tensor([1e30, 0, 0, 0], [2, 2])
    let targets = try Tensor(type: .int64, shape: [2], values: [Int64(0), 1])
    let loss = SingleOperator(type: "SoftmaxCrossEntropyLoss", attributes: ["reduction": .string("none")])
    let values = try loss(scores, targets)[0].values(Float.self)
    #expect(values[0] == 0 && abs(values[1] - 0.6931472) < 1e-6)
  }

  @Test("Determinants: row exchanges, singular, stacked and empty matrices")
  func determinant() throws {
    let x = try Tensor(doubles: [0, 1, 1, 0, 1, 2, 2, 4], [2, 2, 2])
    #expect(try SingleOperator(type: "Det")(x)[0].values() == [-1, 0] as [Double])
    #expect(try SingleOperator(type: "Det")(Tensor([], [0, 0]))[0].values() == [1] as [Float])
    #expect(throws: Failure.self) { try SingleOperator(type: "Det")(Tensor([1, 2], [1, 2])) }
  }

  @Test("A bidirectional RNN with two lengths: the reverse direction begins at each sequence's end")
  func bidirectional() throws {
    // One hidden unit, relu, h = x + h: running sums. (steps 3, batch 2, input 1)
    let x = try Tensor([1, 10, 2, 20, 4, 40], [3, 2, 1])
    let ones = try Tensor([1, 1], [2, 1, 1])
    let lengths = try Tensor(type: .int32, shape: [2], values: [Int32(3), 2])
    let rnn = SingleOperator(
      type: "RNN",
      attributes: [
        "direction": .string("bidirectional"), "activations": .strings(["Relu", "Relu"]), "hidden_size": .int(1),
      ])
    let results = try rnn(x, ones, ones, nil, lengths)
    // (steps, direction, batch)
    #expect(results[0].values() == [1, 10, 7, 30, 3, 30, 6, 20, 7, 0, 4, 0] as [Float])
    #expect(results[1].values() == [7, 30, 7, 30] as [Float])
  }
}
