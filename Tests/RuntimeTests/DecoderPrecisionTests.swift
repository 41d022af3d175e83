import Graph
import KernelTable
import Kernels
import OnnxWriter
import Operators
import Support
import Testing

@testable import Runtime

/// Early layers of decoders in bfloat16: only their weights are rounded.
@Suite struct DecoderPrecisionTests {
  private static let channels = 16

  private enum Enlarging: CaseIterable { case resize, transposed }

  /// Four 3×3 convolutions with enlargements by two between them, of weights that are float16 and no bfloat16; `reducing`: the first moves by two
  /// pixels; `narrowEnd`: the last two have too few filters for bfloat16.
  private static func model(_ enlarging: Enlarging, reducing: Bool = false, narrowEnd: Bool = false) -> [UInt8] {
    var nodes: [Proto] = []
    var initializers = [Onnx.tensor("scales", Onnx.float32, [4], floats: [1, 1, 2, 2])]
    func filters(_ layer: Int) -> Int { narrowEnd && layer > 1 ? 8 : channels }
    func weights(_ name: String, _ shape: [Int]) {
      initializers.append(
        Onnx.tensor(
          name, Onnx.float32, shape,
          floats: (0..<shape.reduce(1, *)).map { Float(($0 * 37 + 11) % 2001 - 1000) / 8192 }))
    }
    for layer in 0..<4 {
      weights("w\(layer)", [filters(layer), layer == 0 ? channels : filters(layer - 1), 3, 3])
      nodes.append(
        Onnx.node(
          "Conv", [layer == 0 ? "x" : "e\(layer)", "w\(layer)"], [layer == 3 ? "y" : "c\(layer)"],
          attributes: [
            Onnx.attribute("pads", ints: [1, 1, 1, 1]),
            Onnx.attribute("strides", ints: reducing && layer == 0 ? [2, 2] : [1, 1]),
          ]))
      guard layer < 3 else { continue }
      switch enlarging {
      case .resize:
        nodes.append(
          Onnx.node(
            "Resize", ["c\(layer)", "", "scales"], ["e\(layer + 1)"],
            attributes: [
              Onnx.attribute("mode", string: Array("nearest".utf8)),
              Onnx.attribute("coordinate_transformation_mode", string: Array("asymmetric".utf8)),
              Onnx.attribute("nearest_mode", string: Array("floor".utf8)),
            ]))
      case .transposed:
        weights("t\(layer)", [filters(layer), filters(layer), 2, 2])
        nodes.append(
          Onnx.node(
            "ConvTranspose", ["c\(layer)", "t\(layer)"], ["e\(layer + 1)"],
            attributes: [Onnx.attribute("strides", ints: [2, 2])]))
      }
    }
    return Onnx.model(
      Onnx.graph(
        nodes, inputs: [Onnx.value("x", Onnx.float32, [1, channels, 8, 8])],
        outputs: [Onnx.value("y", Onnx.float32, [1, filters(3), nil, nil])], initializers: initializers))
  }

  /// What was chosen for the convolutions, in order.
  private static func choices(_ bytes: [UInt8], _ precision: Precision) throws -> [String] {
    let loaded = try bytes.withUnsafeBytes { try ModelLoader.load(bytes: $0) }.graph
    let infos = [loaded.inputs[0]: ValueInfo(type: .float32, shape: [1, channels, 8, 8])]
    var graph = try Specialization.specialize(
      loaded, inputs: infos, executor: EagerExecutor(pool: ThreadPool(threads: 1), checkCancelled: {})
    ).graph
    FusionPasses.apply(to: &graph, precision: precision)
    let convolutions = graph.nodes.filter { $0.operatorType == "Conv" || $0.operatorType == "ConvNHWC" }
    return convolutions.map { node -> String in
      if case .string(let name)? = node.attributes[ReducedPrecisionPass.attribute] { return name }
      return ""
    }
  }

  @Test func layersBeforeTwoEnlargementsKeepTheirProducts() throws {
    for enlarging in Enlarging.allCases {
      let model = Self.model(enlarging)
      #expect(try Self.choices(model, .bfloat16) == ["float16", "float16", "bfloat16", "bfloat16"])
      #expect(try Self.choices(model, .float32) == ["", "", "", ""])
      #expect(try !Self.choices(model, .int8).contains("float16"))
    }
  }

  /// A network that also makes images smaller is no decoder.
  @Test func networksThatReduceAreNoDecoders() throws {
    #expect(try Self.choices(Self.model(.resize, reducing: true), .bfloat16) == Array(repeating: "bfloat16", count: 4))
  }

  /// Weights that are float16 already leave float32's bits, where the machine reads float16 and has no tiles.
  @Test func onlyWeightsAreRounded() throws {
    func run(_ precision: Precision) throws -> [Float] {
      let loaded = try Self.model(.resize, narrowEnd: true).withUnsafeBytes { try ModelLoader.load(bytes: $0) }
      let x = (0..<Self.channels * 64).map { Float($0 * 53 % 97) / 48 - 1 }
      let model = try Model(loaded, options: ModelOptions(precision: precision))
      return try ModelTests.values(model.run(["x": ModelTests.floats(x, [1, Self.channels, 8, 8])])["y"])
    }
    #expect(
      try Self.choices(Self.model(.resize, narrowEnd: true), .bfloat16) == ["float16", "float16", "", ""])
    let isExact = Kernels.current.half != nil && Kernels.current.narrow.shape == nil
    #expect(try (run(.bfloat16) == run(.float32)) == isExact)
  }
}
