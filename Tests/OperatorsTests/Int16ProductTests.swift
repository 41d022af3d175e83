import Glibc
import Graph
import KernelTable
import Kernels
import Support
import Testing

@testable import Operators

/// Products of 16-bit integers, where a model asks for bfloat16 and the machine multiplies those faster.
@Suite struct Int16ProductTests {
  private static let takesInt16 = WeightStorage(.bfloat16, Kernels.current).format == .int16

  private static func product(_ a: [Float], _ b: [Float], rows: Int, depth: Int, columns: Int) throws -> [Float] {
    try DenseRunner(
      type: "MatMul", domain: "", version: 13, attributes: ReducedPrecisionTests.attributes(.bfloat16), constants: [1]
    ).run([try Tensor(a, [rows, depth]), try Tensor(b, [depth, columns])])[0].values(Float.self)
  }

  /// A row and a column of one direction: the sum is the product of their norms, the largest that may come out. With larger factors
  /// it would not fit 32 bits.
  @Test(arguments: [1, 2, 3, 64, 320, 1280, 11_520, 65_536], [0, 1, 2])
  func sumsFit(depth: Int, kind: Int) throws {
    let shape = sequence(depth, seed: 1)
    let a =
      switch kind {
      case 0: [Float](repeating: -0.7, count: depth)
      case 1: shape.map { $0 > 0 ? Float(1) : -1 }
      // One large element among small ones.
      default: shape.enumerated().map { $0 == depth / 2 ? 1000 : $1 }
      }
    let exact = a.reduce(0.0) { $0 + Double($1) * Double($1) }
    for sign in [Float(1), -1] {
      let y = try Self.product(a, a.map { sign * $0 }, rows: 1, depth: depth, columns: 1)
      // bfloat16's bound, of which integers take a part.
      #expect(abs(Double(sign * y[0]) - exact) <= 2 * 0x1p-8 * exact)
    }
  }

  /// Norms whose squares float32 does not hold.
  @Test(arguments: [Float(1e-30), 1e-15, 1e25]) func sizesOfNumbers(size: Float) throws {
    let (rows, depth, columns) = (3, 100, 5)
    let a = sequence(rows * depth, seed: 1)
    let b = sequence(depth * columns, seed: 2)
    let plain = try Self.product(a, b, rows: rows, depth: depth, columns: columns)
    let left = try Self.product(a.map { $0 * size }, b, rows: rows, depth: depth, columns: columns)
    let right = try Self.product(a, b.map { $0 * size }, rows: rows, depth: depth, columns: columns)
    for i in plain.indices {
      #expect(abs(left[i] / size - plain[i]) < 2e-2 && abs(right[i] / size - plain[i]) < 2e-2)
    }
  }

  /// Random numbers keep 10 bits and more: √depth · 0.29 / 32,700 of a row's norm, and less of a column's.
  @Test(arguments: [64, 320, 1280, 5120]) func errorOfRandomNumbers(depth: Int) throws {
    guard Self.takesInt16 else { return }
    let (rows, columns) = (20, 40)
    let a = sequence(rows * depth, seed: 1)
    let b = sequence(depth * columns, seed: 2)
    let (expected, _) = ReducedPrecisionTests.reference(a, b, rows: rows, depth: depth, columns: columns, .bfloat16)
    let y = try Self.product(a, b, rows: rows, depth: depth, columns: columns)
    let error = zip(y, expected).reduce(0.0) { $0 + (Double($1.0) - $1.1) * (Double($1.0) - $1.1) }
    let norm = expected.reduce(0.0) { $0 + $1 * $1 }
    #expect((error / norm).squareRoot() < 1.3 * 0.29 * Double(depth).squareRoot() / 32_700)
  }

  /// A key that a query knows and many that it does not, whose probabilities of a sixth of a unit are half of the sum.
  @Test func manySmallProbabilitiesKeepTheirSum() throws {
    let (keys, size) = (4096, 64)
    var k = [Float](repeating: 0, count: keys * size)
    k[0] = 1
    // The scale is 1/8, and the sum of the others e^0.
    let q = [Float](repeating: 0, count: size).enumerated().map { i, _ in i == 0 ? 8 * Float(log(Double(keys - 1))) : 0
    }
    var v = [Float](repeating: 1, count: keys * size)
    for i in 0..<size { v[i] = -1 }
    let y = try DenseRunner(
      type: "Attention", attributes: ReducedPrecisionTests.attributes(.bfloat16, ["num_heads": .int(1)])
    ).run([try Tensor(q, [1, 1, size]), try Tensor(k, [1, keys, size]), try Tensor(v, [1, keys, size])])[0]
    // Both halves weigh the same.
    #expect(y.values(Float.self).allSatisfy { abs($0) < 0.02 })
  }
}
