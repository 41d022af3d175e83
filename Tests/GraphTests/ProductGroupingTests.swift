import Testing

@testable import Graph

/// Products of the same rows become one node.
@Suite struct ProductGroupingTests {
  /// A graph of MatMul nodes: rows by name, shape of the matrix (nil: not a constant).
  private func grouped(_ products: [(rows: String, matrix: [Int]?)], precisions: [Precision] = []) throws -> Graph {
    var graph = Graph(name: "")
    var rows: [String: ValueID] = [:]
    func value(_ name: String) -> ValueID {
      graph.addValue(name: name, type: .tensor(.float32, shape: [.fixed(4), .fixed(8)]))
    }
    for (index, product) in products.enumerated() {
      let a = rows[product.rows] ?? value(product.rows)
      rows[product.rows] = a
      let b = value("w\(index)")
      if let shape = product.matrix { graph.constants[b] = try Tensor(type: .float32, shape: shape) }
      let y = value("y\(index)")
      graph.outputs.append(y)
      var node = Node(name: "n\(index)", operatorType: "MatMul", version: 13, inputs: [a, b], outputs: [y])
      if index < precisions.count {
        node.attributes[ReducedPrecisionPass.attribute] = .string(precisions[index].rawValue)
      }
      graph.nodes.append(node)
    }
    graph.inputs = rows.values.sorted()
    ProductGrouping.apply(to: &graph)
    return graph
  }

  @Test func sameRowsAreOneProduct() throws {
    let graph = try grouped([("x", [8, 64]), ("z", [8, 64]), ("x", [8, 64]), ("x", [8, 64]), ("z", [8, 64])])
    #expect(graph.nodes.map(\.name) == ["n0", "n1"])
    #expect(graph.nodes.allSatisfy { $0.isOperator("MatMulGroup", domain: "adadiff") })
    func names(_ ids: [ValueID?]) -> [String] { ids.map { $0.map { graph.values[$0.index].name } ?? "" } }
    #expect(names(graph.nodes[0].inputs) == ["x", "w0", "w2", "w3"])
    #expect(names(graph.nodes[0].outputs) == ["y0", "y2", "y3"])
    #expect(names(graph.nodes[1].inputs) == ["z", "w1", "w4"])
  }

  /// As of keys and values of a text in several layers.
  @Test(arguments: [(4, [2, 2]), (5, [3, 2]), (7, [3, 2, 2]), (9, [3, 3, 3])])
  func manyProductsAreSeveralGroups(_ count: Int, _ sizes: [Int]) throws {
    let graph = try grouped(Array(repeating: ("x", [8, 64]), count: count))
    #expect(graph.nodes.allSatisfy { $0.isOperator("MatMulGroup", domain: "adadiff") })
    #expect(graph.nodes.map(\.outputs.count) == sizes)
    #expect(graph.nodes.flatMap(\.outputs).count == count)
  }

  /// A group has one precision, which its node keeps.
  @Test func precisionsAreKeptApart() throws {
    let products: [(rows: String, matrix: [Int]?)] = Array(repeating: ("x", [8, 64]), count: 4)
    let graph = try grouped(products, precisions: [.int8, .bfloat16, .int8, .bfloat16])
    #expect(graph.nodes.map(\.outputs.count) == [2, 2])
    let names = graph.nodes.map { node -> String in
      if case .string(let name)? = node.attributes[ReducedPrecisionPass.attribute] { return name }
      return ""
    }
    #expect(names == ["int8", "bfloat16"])
  }

  @Test func otherProductsStay() throws {
    for products: [(rows: String, matrix: [Int]?)] in [
      [("x", [8, 64])], [("x", [8, 64]), ("z", [8, 64])], [("x", [8, 64]), ("x", [8, 128])],
      [("x", [8, 80]), ("x", [8, 80])], [("x", nil), ("x", [8, 64])],
    ] {
      let graph = try grouped(products)
      #expect(graph.nodes.map(\.operatorType) == products.map { _ in "MatMul" })
    }
  }
}
