import Testing

@testable import Graph

/// Additions become inputs of the operators beside them.
@Suite struct ResidualFusionTests {
  private struct Builder {
    var graph = Graph(name: "")

    mutating func value(_ name: String, _ shape: [Int]) -> ValueID {
      graph.addValue(name: name, type: .tensor(.float32, shape: shape.map { .fixed($0) }))
    }

    mutating func constant(_ name: String, _ shape: [Int]) throws -> ValueID {
      let id = value(name, shape)
      graph.constants[id] = try Tensor(type: .float32, shape: shape)
      return id
    }

    mutating func node(_ type: String, _ inputs: [ValueID?], _ output: ValueID, domain: String = "adadiff") {
      graph.nodes.append(
        Node(
          name: type, operatorType: type, domain: domain, version: 1, inputs: inputs, outputs: [output],
          attributes: ["activation": .string("")]))
    }
  }

  private static let image = [2, 4, 4, 64]

  /// x → MatMulBias → Reshape to an image → Add(skip) → y.
  private func linear(skip: [Int] = image, readTwice: Bool = false) throws -> Graph {
    var builder = Builder()
    let (x, product) = (builder.value("x", [2, 16, 64]), builder.value("product", [2, 16, 64]))
    builder.node("MatMulBias", [x, try builder.constant("w", [64, 64]), try builder.constant("b", [64])], product)
    let sizes = builder.graph.addValue(name: "sizes", type: .tensor(.int64, shape: [.fixed(4)]))
    builder.graph.constants[sizes] = try Tensor(int64: Self.image.map { Int64($0) })
    let (picture, other, y) = (
      builder.value("picture", Self.image), builder.value("skip", skip), builder.value("y", Self.image)
    )
    builder.node("Reshape", [product, sizes], picture, domain: "")
    builder.node("Add", [other, picture], y, domain: "")
    builder.graph.inputs = [x, other]
    builder.graph.outputs = readTwice ? [y, picture] : [y]
    return ResidualFusion.apply(builder.graph)
  }

  @Test func linearLayersTakeResidualsThroughReshape() throws {
    let graph = try linear()
    #expect(graph.nodes.map(\.operatorType) == ["Reshape", "MatMulBias", "Reshape"])
    let product = graph.nodes[1]
    #expect(product.inputs.count == 4 && product.inputs[3] == graph.nodes[0].outputs[0])
    #expect(graph.nodes[0].inputs[0].map { graph.values[$0.index].name } == "skip")
    #expect(graph.fixedShape(of: product.inputs[3]) == [2, 16, 64])
    #expect(graph.nodes[2].inputs[0] == product.outputs[0] && graph.nodes[2].outputs[0] == graph.outputs[0])
  }

  @Test func otherAdditionsStay() throws {
    for graph in [try linear(skip: [1, 1, 1, 64]), try linear(readTwice: true)] {
      #expect(graph.nodes.map(\.operatorType) == ["MatMulBias", "Reshape", "Add"])
    }
  }

  /// Add(x, embedding) → GroupNormNHWC → y.
  private func norm(embedding: [Int], isFirst: Bool = false, readTwice: Bool = false) throws -> Graph {
    var builder = Builder()
    let (x, shift) = (builder.value("x", Self.image), builder.value("embedding", embedding))
    let (sum, y) = (builder.value("sum", Self.image), builder.value("y", Self.image))
    builder.node("Add", isFirst ? [shift, x] : [x, shift], sum, domain: "")
    builder.node("GroupNormNHWC", [sum, try builder.constant("scale", [64]), try builder.constant("bias", [64])], y)
    builder.graph.inputs = [x, shift]
    builder.graph.outputs = readTwice ? [y, sum] : [y]
    return ResidualFusion.apply(builder.graph)
  }

  @Test(arguments: [false, true]) func normsTakeEmbeddings(isFirst: Bool) throws {
    let graph = try norm(embedding: [2, 1, 1, 64], isFirst: isFirst)
    #expect(graph.nodes.map(\.operatorType) == ["GroupNormNHWC"])
    let names = graph.nodes[0].inputs.map { $0.map { graph.values[$0.index].name } ?? "" }
    #expect(names == ["x", "scale", "bias", "embedding"])
  }

  @Test func normsTakeNothingElse() throws {
    for graph in [
      try norm(embedding: [1, 1, 1, 64]), try norm(embedding: Self.image), try norm(embedding: [2, 1, 1, 1]),
      try norm(embedding: [2, 1, 1, 64], readTwice: true),
    ] {
      #expect(graph.nodes.map(\.operatorType) == ["Add", "GroupNormNHWC"])
    }
  }
}
