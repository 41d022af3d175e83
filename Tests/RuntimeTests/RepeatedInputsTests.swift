import Graph
import OnnxWriter
import Operators
import Support
import Testing

@testable import Runtime

/// Inputs that hold the same twice, as with classifier-free guidance: what depends on them alone is computed once.
@Suite struct RepeatedInputsTests {
  private func repeated(_ tensor: Tensor, byte: UInt8? = nil) throws -> Tensor {
    let copy = try Tensor(type: tensor.type, shape: tensor.shape)
    let half = tensor.bytes.count / 2
    withExtendedLifetime((tensor, copy)) {
      for index in 0..<2 * half { copy.bytes[index] = tensor.bytes[index % half] }
      if let byte { copy.bytes[2 * half - 4] = byte }
    }
    return copy
  }

  private struct Ran {
    let result: Tensor?
    let multiplyAccumulates: Int
    let entries: [Profiler.Entry]

    init(_ model: Model, _ feeds: [String: Tensor], _ series: RunSeries?) throws {
      let profiler = Profiler()
      result = try model.run(feeds, options: RunOptions(profiler: profiler, series: series)).values.first
      entries = profiler.entries
      multiplyAccumulates = entries.reduce(0) { $0 + $1.multiplyAccumulates }
    }

    func count(_ operatorType: String) -> Int { entries.count { $0.operatorType == operatorType } }
  }

  /// Products of half as many rows may be cut into other blocks: some rounding, in networks with a few dozen layers. A
  /// convolution may take another algorithm, which in bfloat16 rounds other numbers: 2^-9 in each.
  private static func limit(_ precision: Precision) -> Double { precision == .float32 ? 1e-5 : 1e-2 }

  @Test(arguments: ["sd15", "sd15_opset14", "sd15_dynamo", "sd21", "sdxl"], [Precision.float32, .bfloat16])
  func networks(_ name: String, precision: Precision) throws {
    let model = try Model(
      path: FixtureTests.folder.appendingPathComponent("\(name)/model.onnx").path,
      options: ModelOptions(precision: precision))
    var feeds = try FixtureTests.feeds(name, model)
    let sample = try #require(feeds["sample"])
    feeds["sample"] = try repeated(sample)
    let series = RunSeries(
      constantInputs: ["encoder_hidden_states"], repeatedInputs: ["sample", "timestep", "unknown"])
    let (plain, shared) = (try Ran(model, feeds, nil), try Ran(model, feeds, series))
    #expect(try FixtureTests.relativeError(shared.result, plain.result) <= Self.limit(precision))
    #expect(shared.multiplyAccumulates < plain.multiplyAccumulates)
    // Nothing that was fused falls apart.
    for type in ["adadiff.Attention", "adadiff.ConvNHWC", "adadiff.MatMulGeglu", "adadiff.GroupNormNHWC", "Softmax"] {
      #expect(shared.count(type) == plain.count(type), "\(type)")
    }
    // The next run begins behind the keys and values of the text.
    let next = try Ran(model, feeds, series)
    #expect(next.entries.count < shared.entries.count)
    #expect(try FixtureTests.numbers(next.result) == FixtureTests.numbers(shared.result))

    // Halves that differ in one element are two.
    feeds["sample"] = try repeated(sample, byte: 0x55)
    let different = try Ran(model, feeds, series)
    #expect(try FixtureTests.numbers(different.result) == FixtureTests.numbers(Ran(model, feeds, nil).result))
    #expect(different.multiplyAccumulates == plain.multiplyAccumulates)
  }

  /// x of (2, 3, 4) times w, then `nodes` from m to t, then t + u, where only x is repeated.
  private func ran(
    _ nodes: [Proto], to shape: [Int], initializers: [Proto] = []
  ) throws -> (whole: Ran, shared: Ran) {
    let model = try ModelTests.model(
      Onnx.model(
        Onnx.graph(
          [Onnx.node("MatMul", ["x", "w"], ["m"])] + nodes + [Onnx.node("Add", ["t", "u"], ["y"])],
          inputs: [Onnx.value("x", Onnx.float32, [2, 3, 4]), Onnx.value("u", Onnx.float32, shape)],
          outputs: [Onnx.value("y", Onnx.float32, shape)],
          initializers: [Onnx.tensor("w", Onnx.float32, [4, 4], floats: (0..<16).map { Float($0 % 5) - 2 })]
            + initializers)))
    let feeds = [
      "x": try repeated(ModelTests.floats((0..<24).map { Float($0 % 7) - 3 }, [2, 3, 4])),
      "u": try ModelTests.floats((0..<shape.reduce(1, *)).map { Float($0) }, shape),
    ]
    return (
      try Ran(model, feeds, nil), try Ran(model, feeds, RunSeries(constantInputs: [], repeatedInputs: ["x", "u"]))
    )
  }

  /// Small whole numbers: no rounding.
  @Test func everyKindOfNode() throws {
    func integers(_ name: String, _ values: [Int]) -> Proto {
      Onnx.tensor(name, Onnx.int64, [values.count], ints: values)
    }
    let cases: [([Proto], [Int], [Proto])] = [
      ([Onnx.node("Neg", ["m"], ["t"])], [2, 3, 4], []),
      ([Onnx.node("Add", ["m", "m"], ["t"])], [2, 3, 4], []),
      ([Onnx.node("Concat", ["m", "x"], ["t"], attributes: [Onnx.attribute("axis", int: -1)])], [2, 3, 8], []),
      ([Onnx.node("Concat", ["m", "x"], ["t"], attributes: [Onnx.attribute("axis", int: 0)])], [4, 3, 4], []),
      ([Onnx.node("Transpose", ["m"], ["t"], attributes: [Onnx.attribute("perm", ints: [0, 2, 1])])], [2, 4, 3], []),
      ([Onnx.node("Transpose", ["m"], ["t"], attributes: [Onnx.attribute("perm", ints: [1, 0, 2])])], [3, 2, 4], []),
      ([Onnx.node("Reshape", ["m", "s"], ["t"])], [6, 4], [integers("s", [6, -1])]),
      ([Onnx.node("Reshape", ["m", "s"], ["t"])], [3, 8], [integers("s", [3, 8])]),
      (
        [Onnx.node("Reshape", ["m", "s"], ["r"]), Onnx.node("MatMul", ["r", "w"], ["t"])], [6, 4],
        [integers("s", [6, 4])]
      ),
      ([Onnx.node("Softmax", ["m"], ["t"], attributes: [Onnx.attribute("axis", int: 0)])], [2, 3, 4], []),
      (
        [Onnx.node("Slice", ["m", "a", "b", "c"], ["t"])], [2, 2, 4],
        [integers("a", [1]), integers("b", [3]), integers("c", [1])]
      ),
      (
        [Onnx.node("Slice", ["m", "a", "b", "c"], ["t"])], [1, 3, 4],
        [integers("a", [1]), integers("b", [2]), integers("c", [0])]
      ),
    ]
    for (nodes, shape, initializers) in cases {
      let (whole, shared) = try ran(nodes, to: shape, initializers: initializers)
      #expect(try FixtureTests.numbers(shared.result) == FixtureTests.numbers(whole.result))
      #expect(2 * shared.multiplyAccumulates == whole.multiplyAccumulates, "\(shape)")
    }
  }

  /// A result that is shared is whole.
  @Test func results() throws {
    let model = try ModelTests.model(
      Onnx.model(
        Onnx.graph(
          [Onnx.node("MatMul", ["x", "w"], ["y"])], inputs: [Onnx.value("x", Onnx.float32, ["n", 2])],
          outputs: [Onnx.value("y", Onnx.float32, ["n", 2])],
          initializers: [Onnx.tensor("w", Onnx.float32, [2, 2], floats: [1, 2, 3, 4])])))
    let series = RunSeries(constantInputs: [], repeatedInputs: ["x"])
    for (values, rows) in [([1, 2, 1, 2], 2), ([1, 2, 3, 4], 2), ([1, 2], 1), ([], 0)] as [([Float], Int)] {
      let result = try Ran(model, ["x": ModelTests.floats(values, [rows, 2])], series)
      var expected: [Float] = []
      for row in 0..<rows {
        let (a, b) = (values[2 * row], values[2 * row + 1])
        expected += [a + 3 * b, 2 * a + 4 * b]
      }
      #expect(try ModelTests.values(result.result) == expected)
      #expect(result.multiplyAccumulates == (values == [1, 2, 1, 2] ? 4 : 4 * rows))
    }
  }
}
