import Glibc
import Graph
import KernelTable
import Kernels
import Support
import Testing

@testable import Operators

/// Products by two levels of Strassen's algorithm against sums in Double.
@Suite struct StrassenTwiceTests {
  /// Relative to the largest result: twice what one level is allowed.
  private static let tolerance = 6e-6

  private typealias Case = StrassenTests.Case

  /// One to five groups and so several rounds, one and several blocks of K of unequal size, a last panel that is partly there.
  private static func cases(_ kernels: KernelTable) -> [Case] {
    let tile = kernels.gemm.tileColumns
    return [
      Case(rows: 256, depth: 64, columns: 4 * tile), Case(rows: 512, depth: 1280, columns: 8 * tile - 3),
      Case(rows: 256, depth: 1408, columns: 4 * tile - tile / 2 - 1), Case(rows: 1280, depth: 192, columns: 4 * tile),
      Case(rows: 512, depth: 2752, columns: 4 * tile),
    ]
  }

  private static var tables: [KernelTable] { Kernels.supported.filter { $0.strassenTwice != nil } }

  @Test func equalsSumsInDouble() throws {
    for kernels in Self.tables {
      try StrassenTests.expectSums(kernels, Self.cases(kernels), by: .twice, tolerance: Self.tolerance)
    }
  }

  /// Tasks depend on the threads, what is summed with what does not.
  @Test func isTheSameForAnyNumberOfThreads() throws {
    for kernels in Self.tables { try StrassenTests.expectSameForAnyThreads(kernels, Self.cases(kernels), by: .twice) }
  }

  /// Float16 weights are widened to the same factors.
  @Test func halvesLoseNothing() throws {
    let kernels = Kernels.current
    guard kernels.strassenTwice != nil else { return }
    let size = Case(rows: 512, depth: 1408, columns: 8 * kernels.gemm.tileColumns)
    let b = sequence(size.depth * size.columns, seed: 2).map { Float(Int32($0 * 1024)) / 1024 }
    let stored = try PackedMatrix.packed(
      b, depth: size.depth, columns: size.columns, rowStride: size.columns, format: .float32)
    #expect(stored.isHalf)
    let plain = try PackedMatrix(depth: size.depth, columns: size.columns, kernels: kernels)
    plain.packAll(from: b, rowStride: size.columns, transposed: false)
    let a = sequence(size.rows * size.depth, seed: 3)
    #expect(
      try StrassenTests.product(a, size, stored, bias: nil, residual: nil, threads: 2, by: .twice)
        == StrassenTests.product(a, size, plain, bias: nil, residual: nil, threads: 2, by: .twice))
  }

  /// What is not finite stays in its group of 256 rows; the rows of the other quarters show that operators take two levels.
  @Test func operatorsUseIt() throws {
    let kernels = Kernels.current
    guard kernels.strassenTwice != nil else { return }
    let (rows, depth, columns) = (768, 1024, 1024)
    var a = sequence(rows * depth, seed: 1)
    let b = sequence(depth * columns, seed: 2, range: 0.05)
    let w = try Tensor(b, [depth, columns])
    let product: [Float] = try DenseRunner(type: "MatMulBias").run([Tensor(a, [1, rows, depth]), w, nil])[0].values()
    let size = Case(rows: rows, depth: depth, columns: columns)
    let expected = StrassenTests.expected(a, b, size, bias: nil, residual: nil)
    #expect(StrassenTests.error(product, expected) < Self.tolerance)
    let gated: [Float] = try DenseRunner(type: "MatMulGeglu").run([Tensor(a, [1, rows, depth]), w, nil])[0].values()
    let n = columns / 2
    let gates = (0..<rows * n).map { i -> Double in
      let (row, column) = i.quotientAndRemainder(dividingBy: n)
      let gate = expected[row * columns + n + column]
      return expected[row * columns + column] * gate * 0.5 * Glibc.erfc(-gate / 2.0.squareRoot())
    }
    #expect(StrassenTests.error(gated, gates) < Self.tolerance)
    a[(256 + 3) * depth] = .nan
    for (type, width) in [("MatMulBias", columns), ("MatMulGeglu", n)] {
      let y: [Float] = try DenseRunner(type: type).run([Tensor(a, [1, rows, depth]), w, nil])[0].values()
      for row in 0..<rows where !(256..<512).contains(row) { #expect(!y[row * width].isNaN) }
      for quarter in 0..<4 { #expect(y[(256 + 3 + 64 * quarter) * width].isNaN, "\(type) \(quarter)") }
    }
  }

  /// Sizes that cannot be cut in quarters of quarters, or gain nothing, take one level.
  @Test func otherSizesTakeOneLevel() throws {
    let kernels = Kernels.current
    func twice(_ rows: Int, _ depth: Int, _ columns: Int) -> Bool? {
      StrassenTests.levels(rows, depth, columns, inPlace: true).map { $0.twice != nil }
    }
    #expect(twice(512, 1280, 1280) == (kernels.strassenTwice != nil))
    let oddPairs = 1280 - 2 * kernels.gemm.tileColumns
    for (rows, depth, columns) in [
      (500, 1280, 1280), (512, 1270, 1280), (512, 1280, oddPairs), (512, 640, 1280), (512, 1280, 640),
    ] {
      #expect(twice(rows, depth, columns) == false)
    }
  }
}
