import Glibc
import Graph
import KernelTable
import Kernels
import Support
import Testing

@testable import Operators

/// Products by one level of Strassen's algorithm on register tiles against sums in Double.
@Suite struct StrassenOnceTests {
  /// Relative to the largest result, as with `StrassenProduct`.
  private static let tolerance = 3e-6

  private typealias Case = StrassenTests.Case

  /// Several groups and ranges of pairs, one and several blocks of K of unequal size, a last panel that is partly there.
  private static func cases(_ kernels: KernelTable) -> [Case] {
    let tile = kernels.gemm.tileColumns
    return [
      Case(rows: 256, depth: 32, columns: 2 * tile), Case(rows: 512, depth: 320, columns: 10 * tile - 3),
      Case(rows: 256, depth: 704, columns: 4 * tile - tile / 2 - 1), Case(rows: 768, depth: 1248, columns: 16 * tile),
      Case(rows: 256, depth: 2752, columns: 6 * tile),
    ]
  }

  private static var tables: [KernelTable] { Kernels.supported.filter { $0.strassenOnce != nil } }

  @Test func equalsSumsInDouble() throws {
    for kernels in Self.tables {
      try StrassenTests.expectSums(kernels, Self.cases(kernels), by: .once, tolerance: Self.tolerance)
    }
  }

  /// Which thread makes what depends on the threads, what is summed with what does not.
  @Test func isTheSameForAnyNumberOfThreads() throws {
    for kernels in Self.tables { try StrassenTests.expectSameForAnyThreads(kernels, Self.cases(kernels), by: .once) }
  }

  /// What is not finite stays in its tile, two register tiles high or, at a group's end, two lower ones; its partner shows that operators take this way.
  @Test func operatorsUseIt() throws {
    let kernels = Kernels.current
    guard let once = kernels.strassenOnce else { return }
    let tile = kernels.gemm.tileColumns
    let (rows, depth, columns) = (512, 640, 10 * tile)
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
    // A product of two results.
    #expect(StrassenTests.error(gated, gates) < 2 * Self.tolerance)
    (a[(256 + 3) * depth], a[(256 + 241) * depth]) = (.nan, .nan)
    for (type, width) in [("MatMulBias", columns), ("MatMulGeglu", n)] {
      let y: [Float] = try DenseRunner(type: type).run([Tensor(a, [1, rows, depth]), w, nil])[0].values()
      let spoiled = Set((0..<rows).filter { y[$0 * width].isNaN })
      let (whole, last) = (kernels.gemm.tileRows, once.lastRows)
      let partners = [259, 259 + whole, 497, 497 + last]
      let tiles = [256..<256 + 2 * whole, 496..<496 + 2 * last]
      #expect(spoiled.isSuperset(of: partners), "\(type) \(spoiled)")
      #expect(spoiled.allSatisfy { row in tiles.contains { $0.contains(row) } }, "\(type) \(spoiled)")
    }
  }

  @Test func otherSizesTakeOtherWays() throws {
    let kernels = Kernels.current
    let tile = kernels.gemm.tileColumns
    func once(_ rows: Int, _ depth: Int, _ panels: Int, inPlace: Bool = true, isHalf: Bool = false) -> Bool {
      StrassenTests.levels(rows, depth, panels * tile, inPlace: inPlace, isHalf: isHalf)?.once != nil
    }
    #expect(once(512, 640, 10) == (kernels.strassenOnce != nil))
    // Few terms pay off with wide panels alone.
    #expect(once(512, 320, 10) == (kernels.strassenOnce != nil && tile == 32))
    #expect(!once(512, 640, 10, inPlace: false) && !once(512, 640, 10, isHalf: true))
    for (rows, depth, panels) in [
      (500, 640, 10), (256, 640, 10), (512, 630, 10), (512, 192, 10), (512, 2560, 10), (512, 640, 6),
      (512, 1280, 1280 / tile),
    ] {
      #expect(!once(rows, depth, panels), "\(rows) \(depth) \(panels)")
    }
    // Nothing at all where rows are few and so are terms.
    #expect(StrassenTests.levels(512, 320, 10 * tile, inPlace: false) == nil)
  }
}
