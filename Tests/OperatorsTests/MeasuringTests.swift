import Graph
import Support
import Testing

@testable import Operators

/// What profiles and `bench` rest on.
@Suite struct MeasuringTests {
  private static func node(_ type: String, domain: String = "", _ attributes: [String: Attribute] = [:]) -> Node {
    Node(name: "", operatorType: type, domain: domain, version: 17, inputs: [], outputs: [], attributes: attributes)
  }

  /// Operations by hand, from the definitions.
  @Test(arguments: [
    // 5·6 pixels of 7 filters over 3 channels of 3×3.
    (node("Conv"), [[2, 3, 5, 6], [7, 3, 3, 3]], [2, 7, 5, 6], 2 * 7 * 5 * 6 * 3 * 9),
    (node("ConvNHWC", domain: "adadiff"), [[2, 5, 6, 3], [7, 3, 3, 3]], [2, 5, 6, 7], 2 * 7 * 5 * 6 * 3 * 9),
    // Two groups: every filter sees 3 of 6 channels.
    (node("Conv"), [[1, 6, 4, 4], [8, 3, 1, 1]], [1, 8, 4, 4], 8 * 16 * 3),
    (node("ConvTranspose"), [[1, 3, 4, 4], [3, 5, 2, 2]], [1, 5, 8, 8], 3 * 16 * 5 * 4),
    (node("MatMul"), [[2, 3, 4], [4, 5]], [2, 3, 5], 2 * 3 * 4 * 5),
    (node("MatMulBias", domain: "adadiff"), [[3, 4], [4, 5], [5]], [3, 5], 3 * 4 * 5),
    (node("MatMulGeglu", domain: "adadiff"), [[3, 4], [4, 10]], [3, 5], 3 * 4 * 10),
    (node("Gemm", ["transA": .int(1)]), [[4, 3], [4, 5]], [3, 5], 3 * 4 * 5),
    // Two heads of 4: scores over 8 channels, values of 6 channels.
    (node("Attention", domain: "adadiff"), [[2, 5, 8], [2, 7, 8], [2, 7, 6]], [2, 5, 6], 2 * 5 * 7 * (8 + 6)),
    (node("Add"), [[2, 3], [2, 3]], [2, 3], 0),
  ])
  func operationsAreCountedByDefinition(_ node: Node, _ inputs: [[Int]], _ output: [Int], _ expected: Int) throws {
    let infos = inputs.map { ValueInfo(type: .float32, shape: $0) as ValueInfo? }
    #expect(try multiplyAccumulates(of: node, inputs: infos, output: output) == expected)
  }

  @Test func trialsTimeEveryAlgorithm() throws {
    let inputs = [[1, 9, 9, 5], [7, 5, 3, 3]].map { ValueInfo(type: .float32, shape: $0) as ValueInfo? }
    let padded = Self.node("ConvNHWC", domain: "adadiff", ["pads": .ints([1, 1, 1, 1])])
    let trial = try #require(ConvolutionTrial(padded, inputs: inputs))
    #expect(trial.layer == "1 × 9 × 9, 5 → 7")
    #expect(trial.multiplyAccumulates == 81 * 45 * 7)
    let alternatives = try trial.measure(runs: 1, pool: ThreadPool(threads: 2))
    #expect(alternatives.map(\.name) == ["direct", "Winograd 4×4", "Winograd 3×3"])
    #expect(alternatives.allSatisfy { $0.seconds > 0 && $0.expectedCost > 0 })
    #expect(alternatives.contains { $0.name == trial.chosen })
    let doubled = Self.node("ConvNHWC", domain: "adadiff", ["pads": .ints([1, 1, 1, 1]), "enlargement": .int(2)])
    let other = try #require(ConvolutionTrial(doubled, inputs: inputs))
    #expect(other.layer == "1 × 18 × 18, enlarged, 5 → 7")
    #expect(
      try other.measure(runs: 1, pool: ThreadPool(threads: 2)).map(\.name)
        == ["direct", "Winograd 4×4", "Winograd 3×3", "Winograd 4×4 of doubled pixels"])
    // Strides leave no choice.
    let strided = Self.node("ConvNHWC", domain: "adadiff", ["strides": .ints([2, 2])])
    #expect(ConvolutionTrial(strided, inputs: inputs) == nil)
  }

  @Test(arguments: [1, 2]) func peakIsMeasured(threads: Int) throws {
    let peak = try MachinePeak.measure(pool: ThreadPool(threads: threads), small: true)
    #expect(peak.operationsPerSecond > 0 && peak.bytesPerSecond > 0)
  }
}
