import Graph
import OnnxWriter
import Support
import Testing

@testable import Runtime

/// The option `precision` of a model.
@Suite struct PrecisionTests {
  private static let size = 128

  private static func weights(_ seed: UInt64) -> [Float] {
    var state = seed
    return (0..<size * size).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (Float(state >> 40) / Float(1 << 24) - 0.5) * 0.2
    }
  }

  /// Four products in a row; the first reads the input, the last makes the output.
  private static let chain: [UInt8] = {
    var nodes: [Proto] = []
    var initializers: [Proto] = []
    for layer in 0..<4 {
      let input = layer == 0 ? "x" : "r\(layer - 1)"
      nodes.append(Onnx.node("MatMul", [input, "w\(layer)"], [layer == 3 ? "y" : "p\(layer)"]))
      if layer < 3 { nodes.append(Onnx.node("Relu", ["p\(layer)"], ["r\(layer)"])) }
      initializers.append(
        Onnx.tensor("w\(layer)", Onnx.float32, [size, size], floats: weights(UInt64(layer + 1))))
    }
    return Onnx.model(
      Onnx.graph(
        nodes, inputs: [Onnx.value("x", Onnx.float32, ["n", 128])],
        outputs: [Onnx.value("y", Onnx.float32, ["n", 128])], initializers: initializers))
  }()

  private static func run(_ options: ModelOptions) throws -> [Float] {
    let loaded = try chain.withUnsafeBytes { try ModelLoader.load(bytes: $0) }
    let model = try Model(loaded, options: options)
    #expect(model.precision == options.precision)
    let x = try ModelTests.floats(weights(9).prefix(5 * size).map { $0 * 30 }, [5, size])
    return try ModelTests.values(model.run(["x": x])["y"])
  }

  private static func error(_ a: [Float], _ b: [Float]) -> Double {
    let difference = zip(a, b).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
    return (difference / b.reduce(0.0) { $0 + Double($1) * Double($1) }).squareRoot()
  }

  @Test func namesAreUnderstood() {
    #expect(Precision(named: "float32") == .float32 && Precision(named: "fp32") == .float32)
    #expect(Precision(named: "bfloat16") == .bfloat16 && Precision(named: "bf16") == .bfloat16)
    #expect(Precision(named: "int8") == .int8)
    #expect(Precision(named: "fp4") == nil && Precision(named: "") == nil)
  }

  /// Roundings of 2^-9 and of 1/254 of the largest, over four layers; a result without any difference would mean that the
  /// option does nothing.
  @Test func resultsAreAsPreciseAsAsked() throws {
    let full = try Self.run(ModelOptions())
    #expect(try Self.run(ModelOptions(precision: .float32)) == full)
    let bfloat16 = try Self.run(ModelOptions(precision: .bfloat16))
    #expect((1e-5...1e-2).contains(Self.error(bfloat16, full)))
    let int8 = try Self.run(ModelOptions(precision: .int8))
    #expect((1e-5...3e-2).contains(Self.error(int8, full)))
    #expect(int8 != bfloat16)
  }

  @Test func firstAndLastLayersStayAboveInt8() throws {
    var graph = try Self.chain.withUnsafeBytes { try ModelLoader.load(bytes: $0) }.graph
    ReducedPrecisionPass.apply(.int8, to: &graph)
    var chosen: [String] = []
    for node in graph.nodes where node.operatorType == "MatMul" {
      if case .string(let text)? = node.attributes[ReducedPrecisionPass.attribute] { chosen.append(text) }
    }
    #expect(chosen == ["bfloat16", "int8", "int8", "bfloat16"])
    // 4 weights: two of 2 bytes, two of 1 byte instead of 4.
    let saved = ReducedPrecisionPass.savedBytes(.int8, in: graph)
    #expect(saved == (2 * 2 + 2 * 3) * Self.size * Self.size)
    #expect(ReducedPrecisionPass.savedBytes(.float32, in: graph) == 0)
  }

  /// A residual block between two products: of its 1×1 convolutions the one on the way past the normalisation stays above
  /// int8, also where a Transpose lies before one of the readers.
  @Test(arguments: [false, true]) func shortcutsStayAboveInt8(transposed: Bool) throws {
    func weights(_ name: String) -> Proto {
      Onnx.tensor(name, Onnx.float32, [Self.size, Self.size, 1, 1], floats: Self.weights(1))
    }
    let ones = [Float](repeating: 1, count: Self.size)
    var nodes = [
      Onnx.node("Conv", ["x", "first"], ["h"]),
      Onnx.node("InstanceNormalization", [transposed ? "t" : "h", "scale", "bias"], ["normal"]),
      Onnx.node("Conv", ["normal", "inner"], ["a"]), Onnx.node("Conv", ["h", "shortcut"], ["b"]),
      Onnx.node("Add", ["a", "b"], ["sum"]), Onnx.node("Relu", ["sum"], ["r"]),
      Onnx.node("Conv", ["r", "last"], ["y"]),
    ]
    if transposed {
      nodes.insert(
        Onnx.node("Transpose", ["h"], ["t"], attributes: [Onnx.attribute("perm", ints: [0, 1, 3, 2])]), at: 1)
    }
    let names = ["first", "inner", "shortcut", "last"]
    let shape: [Any?] = [1, Self.size, 4, 4]
    let bytes = Onnx.model(
      Onnx.graph(
        nodes, inputs: [Onnx.value("x", Onnx.float32, shape)], outputs: [Onnx.value("y", Onnx.float32, shape)],
        initializers: names.map(weights)
          + ["scale", "bias"].map { Onnx.tensor($0, Onnx.float32, [Self.size], floats: ones) }))
    var graph = try bytes.withUnsafeBytes { try ModelLoader.load(bytes: $0) }.graph
    ReducedPrecisionPass.apply(.int8, to: &graph)
    let chosen = graph.nodes.filter { $0.operatorType == "Conv" }.map { node -> String in
      if case .string(let text)? = node.attributes[ReducedPrecisionPass.attribute] { return text }
      return "float32"
    }
    #expect(chosen == ["bfloat16", "int8", "bfloat16", "bfloat16"])
  }
}
