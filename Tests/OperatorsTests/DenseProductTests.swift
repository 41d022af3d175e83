import Graph
import Support
import Testing

@testable import Operators

@Suite struct DenseProductTests {
  static func reference(_ a: [Float], _ b: [Float], _ m: Int, _ n: Int, _ k: Int) -> [Double] {
    var c = [Double](repeating: 0, count: m * n)
    for i in 0..<m {
      for x in 0..<k {
        let factor = Double(a[i * k + x])
        for j in 0..<n { c[i * n + j] += factor * Double(b[x * n + j]) }
      }
    }
    return c
  }

  /// Sizes around the register tiles (12 × 32, 6 × 16, 4 × 8), the block depth of 256 and the block of 192 rows.
  @Test(arguments: [(1, 1, 1), (3, 7, 15), (13, 33, 17), (2, 64, 300), (193, 31, 65), (40, 100, 513), (5, 8, 0)])
  func matMulBias(m: Int, n: Int, k: Int) throws {
    let a = sequence(m * k, seed: 1)
    let b = sequence(k * n, seed: 2)
    let bias = sequence(n, seed: 3)
    let residual = sequence(m * n, seed: 4)
    var expected = Self.reference(a, b, m, n, k)
    for i in 0..<m { for j in 0..<n { expected[i * n + j] += Double(bias[j]) + Double(residual[i * n + j]) } }
    let inputs: [Tensor?] = [
      try Tensor(a, [1, m, k]), try Tensor(b, [k, n]), try Tensor(bias), try Tensor(residual, [1, m, n]),
    ]
    var results: [[Float]] = []
    for constants in [nil, Set([1])] {
      for threads in [1, 3] {
        let runner = DenseRunner(type: "MatMulBias", constants: constants, threads: threads)
        let y = try runner.run(inputs)[0]
        #expect(y.shape == [1, m, n])
        // float32 sums of up to 513 products.
        #expect(difference(y, expected) < 2e-6)
        results.append(y.values())
      }
    }
    // Bit-identical for any thread count, and prepared or not.
    #expect(results.allSatisfy { $0 == results[0] })
  }

  @Test func activations() throws {
    let a = try Tensor(sequence(6, seed: 1, range: 3), [2, 3])
    let b = try Tensor(sequence(12, seed: 2, range: 3), [3, 4])
    let plain = try DenseRunner(type: "MatMulBias").run([a, b])[0]
    let relu = try DenseRunner(type: "MatMulBias", attributes: ["activation": .string("Relu")]).run([a, b])[0]
    #expect(relu.values(Float.self) == plain.values(Float.self).map { max(0, $0) })
    for name in ["Silu", "Gelu", "QuickGelu"] {
      let fused = try DenseRunner(type: "MatMulBias", attributes: ["activation": .string(name)]).run([a, b])[0]
      let apart = try DenseRunner(type: name).run([plain])[0]
      #expect(fused.values(Float.self) == apart.values(Float.self))
    }
    #expect(throws: Failure.self) {
      try DenseRunner(type: "MatMulBias", attributes: ["activation": .string("Nothing")]).run([a, b])
    }
  }

  @Test func broadcastBatches() throws {
    let a = sequence(2 * 1 * 5 * 7, seed: 1)
    let b = sequence(3 * 7 * 33, seed: 2)
    let y = try DenseRunner(type: "MatMul", domain: "", version: 13).run(
      [try Tensor(a, [2, 1, 5, 7]), try Tensor(b, [3, 7, 33])])[0]
    #expect(y.shape == [2, 3, 5, 33])
    var expected: [Double] = []
    for i in 0..<2 {
      for j in 0..<3 {
        expected += Self.reference(Array(a[i * 35..<(i + 1) * 35]), Array(b[j * 231..<(j + 1) * 231]), 5, 33, 7)
      }
    }
    #expect(difference(y, expected) < 1e-6)
  }

  @Test func doublesAndTransposes() throws {
    let a = sequence(5 * 3, seed: 1)
    let b = sequence(4 * 5, seed: 2)
    var expected = [Double](repeating: 0, count: 12)
    for i in 0..<3 {
      for j in 0..<4 {
        var sum = 0.0
        for x in 0..<5 {
          let left = Double(a[x * 3 + i])
          sum += left * Double(b[j * 5 + x])
        }
        expected[i * 4 + j] = 2 * sum + 0.5 * Double(i)
      }
    }
    let attributes: [String: Attribute] = [
      "transA": .int(1), "transB": .int(1), "alpha": .float(2), "beta": .float(0.5),
    ]
    for constants in [nil, Set([1])] {
      let y = try DenseRunner(type: "Gemm", domain: "", version: 13, attributes: attributes, constants: constants).run(
        [try Tensor(a, [5, 3]), try Tensor(b, [4, 5]), try Tensor([0, 1, 2], [3, 1])])[0]
      #expect(difference(y, expected) < 1e-6)
    }
    let y = try DenseRunner(type: "Gemm", domain: "", version: 13, attributes: attributes).run([
      try Tensor(doubles: a.map { Double($0) }, [5, 3]), try Tensor(doubles: b.map { Double($0) }, [4, 5]),
      try Tensor(doubles: [0, 1, 2], [3, 1]),
    ])[0]
    for (actual, wanted) in zip(y.values(Double.self), expected) { #expect(abs(actual - wanted) < 1e-12) }
  }

  /// 1000 products of extremes: every block of 256 sums stays exact in float32.
  @Test func byteProductsAreExact() throws {
    let k = 1000
    let a = try Tensor(type: .uint8, shape: [2, k], values: [UInt8](repeating: 255, count: 2 * k))
    let b = try Tensor(type: .uint8, shape: [k, 3], values: (0..<3 * k).map { UInt8($0 % 3 == 0 ? 255 : $0 % 251) })
    let y = try DenseRunner(type: "MatMulInteger", domain: "", version: 10).run([a, b])[0]
    for j in 0..<3 {
      var expected = 0
      for x in 0..<k {
        let index: Int = x * 3 + j
        expected += 255 * (index % 3 == 0 ? 255 : index % 251)
      }
      #expect(Int(y.values(Int32.self)[j]) == expected)
    }
  }

  @Test func badShapes() throws {
    let a = try Tensor(sequence(6), [2, 3])
    let b = try Tensor(sequence(8), [4, 2])
    for (type, domain) in [("MatMul", ""), ("Gemm", ""), ("MatMulBias", "adadiff")] {
      #expect(throws: Failure.self) { try DenseRunner(type: type, domain: domain, version: 13).run([a, b]) }
    }
    #expect(throws: Failure.self) { try DenseRunner(type: "MatMul", domain: "", version: 13).run([a, nil]) }
  }

  @Test func cancellation() throws {
    let runner = DenseRunner(type: "MatMulBias", cancelled: true)
    let error = #expect(throws: Failure.self) {
      try runner.run([try Tensor(sequence(64 * 64), [64, 64]), try Tensor(sequence(64 * 64), [64, 64])])
    }
    #expect(error?.status == .cancelled)
  }
}
