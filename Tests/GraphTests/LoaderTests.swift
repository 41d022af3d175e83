import OnnxWriter
import Support
import Testing

@testable import Graph

@Suite struct LoaderTests {
  static func load(_ bytes: [UInt8]) throws -> LoadedModel {
    try bytes.withUnsafeBytes { try ModelLoader.load(bytes: $0) }
  }

  /// Bytes of the constant that the graph gives out.
  static func bytes(of graph: Graph) throws -> [UInt8] {
    let constant = try #require(graph.constants[graph.outputs[0]])
    return withExtendedLifetime(constant) { Array(constant.bytes) }
  }

  /// Typed fields and raw data, each element type: the bytes an ONNX reader must end up with.
  @Test(arguments: [
    (DataType.float16, [0x3c00, 0xbc00], [0x00, 0x3c, 0x00, 0xbc] as [UInt8]),
    (.bfloat16, [0x3f80], [0x80, 0x3f]), (.int8, [-1, 5], [0xff, 5]), (.uint8, [255], [255]),
    (.int16, [-2], [0xfe, 0xff]), (.bool, [1, 0], [1, 0]), (.int32, [-1], [0xff, 0xff, 0xff, 0xff]),
    (.float8e5m2, [0x7b], [0x7b]),
  ])
  func int32Data(_ type: DataType, _ stored: [Int], _ expected: [UInt8]) throws {
    let tensor = Onnx.tensor("w", Int(type.rawValue), [stored.count], ints: stored)
    let graph = try Self.load(
      Onnx.model(Onnx.graph([], outputs: [Onnx.value("w", Int(type.rawValue))], initializers: [tensor]))
    ).graph
    let constant = try #require(graph.constants[graph.outputs[0]])
    #expect(constant.type == type)
    #expect(try Self.bytes(of: graph) == expected)
  }

  /// 4-bit elements: two to a byte, the first in the low half, an odd count rounded up.
  @Test func packedElements() throws {
    let tensor = Onnx.tensor("w", Int(DataType.uint4.rawValue), [3], ints: [0x21, 0x03])
    let graph = try Self.load(
      Onnx.model(Onnx.graph([], outputs: [Onnx.value("w", 21)], initializers: [tensor]))
    ).graph
    #expect(try Self.bytes(of: graph) == [0x21, 0x03])
  }

  @Test func boolBytesAreZeroOrOne() throws {
    let tensor = Onnx.tensor("w", Onnx.bool, [3], raw: [0, 7, 255])
    let graph = try Self.load(
      Onnx.model(Onnx.graph([], outputs: [Onnx.value("w", Onnx.bool)], initializers: [tensor]))
    ).graph
    #expect(try Self.bytes(of: graph) == [0, 1, 1])
  }

  @Test func unsortedNodesAreSorted() throws {
    let graph = try Self.load(
      Onnx.model(
        Onnx.graph(
          [Onnx.node("Neg", ["a"], ["y"]), Onnx.node("Relu", ["x"], ["a"])], inputs: [Onnx.value("x")],
          outputs: [Onnx.value("y")]))
    ).graph
    #expect(graph.nodes.map(\.operatorType) == ["Relu", "Neg"])
  }

  @Test func initializersAmongInputsAreConstants() throws {
    let graph = try Self.load(
      Onnx.model(
        Onnx.graph(
          [Onnx.node("Add", ["x", "w"], ["y"])], inputs: [Onnx.value("x"), Onnx.value("w")], outputs: [Onnx.value("y")],
          initializers: [Onnx.tensor("w", Onnx.float32, [1], floats: [2])]), irVersion: 3)
    ).graph
    #expect(graph.inputs.map { graph.values[$0.index].name } == ["x"])
    #expect(graph.constants.count == 1)
  }

  @Test func subgraphsCaptureOuterValues() throws {
    let branch = Onnx.graph([Onnx.node("Neg", ["x"], ["b"])], outputs: [Onnx.value("b")])
    // The inner graph hands an outer value straight through.
    let other = Onnx.graph([], outputs: [Onnx.value("x")])
    let graph = try Self.load(
      Onnx.model(
        Onnx.graph(
          [
            Onnx.node(
              "If", ["c"], ["y"],
              attributes: [Onnx.attribute("then_branch", graph: branch), Onnx.attribute("else_branch", graph: other)])
          ], inputs: [Onnx.value("x"), Onnx.value("c", Onnx.bool, [])], outputs: [Onnx.value("y")]))
    ).graph
    for name in ["then_branch", "else_branch"] {
      guard case .graph(let inner)? = graph.nodes[0].attributes[name] else {
        Issue.record("no \(name)")
        return
      }
      #expect(inner.captures.map(\.outer) == [graph.inputs[0]])
    }
    #expect(Set(graph.nodes[0].reads) == Set(graph.inputs))
  }

  @Test func functionsAreInlinedWithTheirAttributes() throws {
    let inner = Onnx.function(
      "Scale", inputs: ["a"], outputs: ["b"], attributes: ["alpha"],
      defaults: [Onnx.attribute("beta", float: 0.25)],
      nodes: [
        Onnx.node(
          "HardSigmoid", ["a"], ["b"],
          attributes: [
            Onnx.attribute("alpha", reference: "alpha", kind: 1), Onnx.attribute("beta", reference: "beta", kind: 1),
          ])
      ])
    let outer = Onnx.function(
      "Twice", inputs: ["a", "unused"], outputs: ["b", "same"],
      nodes: [
        Onnx.node("Scale", ["a"], ["m"], domain: "test", attributes: [Onnx.attribute("alpha", float: 0.5)]),
        Onnx.node("Scale", ["m"], ["b"], domain: "test"), Onnx.node("Identity", ["m"], ["same"]),
      ], domains: [("test", 1)])
    let graph = try Self.load(
      Onnx.model(
        Onnx.graph(
          [Onnx.node("Twice", ["x"], ["y"], name: "call", domain: "test")], inputs: [Onnx.value("x")],
          outputs: [Onnx.value("y")]), functions: [inner, outer], domains: [("test", 1)])
    ).graph
    #expect(graph.nodes.map(\.operatorType) == ["HardSigmoid", "HardSigmoid", "Identity"])
    guard case .float(0.5)? = graph.nodes[0].attributes["alpha"], case .float(0.25)? = graph.nodes[0].attributes["beta"]
    else {
      Issue.record("attributes were not substituted: \(graph.nodes[0].attributes)")
      return
    }
    // An attribute that the call leaves out is absent, so that the operator's own default holds.
    #expect(graph.nodes[1].attributes["alpha"] == nil)
    #expect(graph.nodes[0].name.hasPrefix("call/"))
  }

  @Test func functionHandsItsInputThrough() throws {
    let function = Onnx.function("Same", inputs: ["a"], outputs: ["a"], nodes: [])
    let graph = try Self.load(
      Onnx.model(
        Onnx.graph(
          [Onnx.node("Same", ["x"], ["y"], domain: "test")], inputs: [Onnx.value("x")], outputs: [Onnx.value("y")]),
        functions: [function], domains: [("test", 1)])
    ).graph
    #expect(graph.nodes.map(\.operatorType) == ["Identity"])
    #expect(graph.nodes[0].inputs == [graph.inputs[0]])
  }

  @Test func declaredDimensions() throws {
    let graph = try Self.load(
      Onnx.model(
        Onnx.graph(
          [Onnx.node("Relu", ["x"], ["y"])], inputs: [Onnx.value("x", Onnx.float32, [2, "height", nil])],
          outputs: [Onnx.value("y")]))
    ).graph
    #expect(
      graph.values[graph.inputs[0].index].type == .tensor(.float32, shape: [.fixed(2), .symbolic("height"), .unknown]))
  }
}
