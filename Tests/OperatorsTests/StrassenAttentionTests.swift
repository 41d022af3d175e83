import Graph
import KernelTable
import Kernels
import Support
import Testing

@testable import Operators

/// Attention by Strassen's algorithm against sums in Double.
@Suite struct StrassenAttentionTests {
  private struct Case {
    let queries: Int
    let keys: Int
    var size = 64
    var valueSize = 64
  }

  /// One head.
  private static func attend(
    _ c: Case, _ q: [Float], _ k: [Float], _ v: [Float], scale: Float, threads: Int, _ kernels: KernelTable
  ) throws -> [Float] {
    try runAttention(
      q, k, v, queries: c.queries, keys: c.keys, size: c.size, valueSize: c.valueSize, scale: scale, threads: threads,
      strassen: true, kernels)
  }

  private static func expected(_ c: Case, _ q: [Float], _ k: [Float], _ v: [Float], scale: Float) -> [Double] {
    var y = [Double](repeating: 0, count: c.queries * c.valueSize)
    var scores = [Double](repeating: 0, count: c.keys)
    for query in 0..<c.queries {
      for key in 0..<c.keys {
        var sum = 0.0
        for i in 0..<c.size { sum += Double(q[query * c.size + i]) * Double(k[key * c.size + i]) }
        scores[key] = sum * Double(scale)
      }
      let top = scores.max() ?? 0
      for key in 0..<c.keys { scores[key] = Double.exp(scores[key] - top) }
      let total = scores.reduce(0, +)
      for key in 0..<c.keys {
        let share = scores[key] / total
        for i in 0..<c.valueSize { y[query * c.valueSize + i] += share * Double(v[key * c.valueSize + i]) }
      }
    }
    return y
  }

  /// √(Σ (actual − expected)² / Σ expected²) over these elements.
  private static func error(_ actual: [Float], _ expected: [Double], _ range: Range<Int>? = nil) -> Double {
    let range = range ?? 0..<expected.count
    let squares = range.reduce((0.0, 0.0)) { sum, i in
      let distance = Double(actual[i]) - expected[i]
      return (sum.0 + distance * distance, sum.1 + expected[i] * expected[i])
    }
    return (squares.0 / squares.1).squareRoot()
  }

  /// A last step of queries and a last block of keys that are partly there, every size of head, one step, many blocks.
  private static let cases = [
    Case(queries: 96, keys: 512), Case(queries: 190, keys: 1000),
    Case(queries: 94, keys: 636, size: 40, valueSize: 128), Case(queries: 48, keys: 512, size: 128),
    Case(queries: 24, keys: 4096),
  ]

  /// With scores of ±1 and ±20. Measured: 6e-7 and 1.9e-6, by plain products 1e-6 and 1.4e-6.
  @Test(arguments: [Float(1), 4]) func random(range: Float) throws {
    for c in Self.cases {
      let q = sequence(c.queries * c.size, seed: 1, range: range)
      let k = sequence(c.keys * c.size, seed: 2, range: range)
      let v = sequence(c.keys * c.valueSize, seed: 3)
      let exact = Self.expected(c, q, k, v, scale: 0.125)
      for kernels in Kernels.supported {
        let y = try Self.attend(c, q, k, v, scale: 0.125, threads: 1, kernels)
        #expect(Self.error(y, exact) < 3e-6, "\(kernels.name) \(c)")
        #expect(try Self.attend(c, q, k, v, scale: 0.125, threads: 3, kernels) == y)
      }
    }
  }

  /// A query that looks at few keys beside one that looks at all, and one a thousand times larger beside another: errors follow
  /// the larger sums, and stay below 1e-4 of the row's own values.
  @Test(arguments: [(Float(0.01), Float(60)), (0.1, 1000)]) func unequalRows(small: Float, large: Float) throws {
    let c = Case(queries: 48, keys: 4096)
    let k = sequence(c.keys * c.size, seed: 2)
    for kernels in Kernels.supported {
      let tile = kernels.gemm.tileRows
      for (upper, lower) in [(small, large), (large, small)] {
        for mean in [Float(0), 1] {
          let v = sequence(c.keys * c.valueSize, seed: 3).map { $0 + mean }
          var q = sequence(c.queries * c.size, seed: 1)
          for i in q.indices { q[i] *= i / c.size / tile % 2 == 0 ? upper : lower }
          let exact = Self.expected(c, q, k, v, scale: 0.125)
          let y = try Self.attend(c, q, k, v, scale: 0.125, threads: 1, kernels)
          for row in 0..<2 * tile {
            #expect(Self.error(y, exact, row * c.valueSize..<(row + 1) * c.valueSize) < 1e-4)
          }
        }
      }
    }
  }

  /// Where the results of an attention with that one number in place of an input's are not finite.
  private static func notFinite(
    _ c: Case, _ kernels: KernelTable, _ change: (_ q: inout [Float], _ k: inout [Float], _ v: inout [Float]) -> Void
  ) throws -> Set<Int> {
    var q = sequence(c.queries * c.size, seed: 1)
    var k = sequence(c.keys * c.size, seed: 2)
    var v = sequence(c.keys * c.valueSize, seed: 3)
    change(&q, &k, &v)
    let y = try attend(c, q, k, v, scale: 0.125, threads: 1, kernels)
    return Set(y.indices.filter { !y[$0].isFinite })
  }

  /// What is not finite reaches its own results, and no others than those of the row or column summed with it.
  @Test func notFinite() throws {
    let c = Case(queries: 48, keys: 512)
    for kernels in Kernels.supported {
      let (rows, columns) = (kernels.gemm.tileRows, kernels.gemm.tileColumns)
      func row(_ row: Int) -> Set<Int> { Set(row * c.valueSize..<(row + 1) * c.valueSize) }
      func column(_ column: Int) -> Set<Int> { Set((0..<c.queries).map { $0 * c.valueSize + column }) }
      for value in [Float.nan, .infinity, -.infinity] {
        for i in [0, c.size - 1] {
          let upper = try Self.notFinite(c, kernels) { q, _, _ in q[c.size + i] = value }
          #expect(upper.isSuperset(of: row(1)) && upper.isSubset(of: row(1).union(row(1 + rows))))
          let lower = try Self.notFinite(c, kernels) { q, _, _ in q[(1 + rows) * c.size + i] = value }
          #expect(lower.isSuperset(of: row(1 + rows)) && lower.isSubset(of: row(1).union(row(1 + rows))))
        }
        for key in [3, 511] {
          for place in [5, columns + 5] {
            let found = try Self.notFinite(c, kernels) { _, _, v in v[key * c.valueSize + place] = value }
            #expect(found.isSuperset(of: column(place)))
            #expect(found.isSubset(of: column(5).union(column(columns + 5))))
          }
        }
      }
      let all = try Self.notFinite(c, kernels) { _, k, _ in k[77 * c.size] = .nan }
      #expect(all.count == c.queries * c.valueSize)
    }
  }

  @Test func choice() {
    for kernels in Kernels.supported {
      func takes(
        queries: Int = 1024, keys: Int = 256, size: Int = 64, valueSize: Int = 64, isMasked: Bool = false,
        formats: AttentionFormats = AttentionFormats()
      ) -> Bool {
        StrassenAttention(
          queries: queries, keys: keys, size: size, valueSize: valueSize, isMasked: isMasked, formats, kernels) != nil
      }
      #expect(takes() && takes(queries: 1100, keys: 4095) && takes(size: 128) && takes(valueSize: 128))
      #expect(
        !takes(isMasked: true)
          && !takes(formats: AttentionFormats(.int8, keys: 256, size: 64, isMasked: false, kernels)))
      // bfloat16 is float32 where neither pairs nor 16-bit integers are multiplied faster.
      #expect(
        takes(formats: AttentionFormats(.bfloat16, keys: 256, size: 64, isMasked: false, kernels))
          != (kernels.narrow.multipliesPairs || kernels.multipliesInt16))
      #expect(!takes(queries: 1023) && !takes(keys: 255) && !takes(keys: 257))
      #expect(!takes(size: 63) && !takes(size: 130) && !takes(size: 0) && !takes(valueSize: 40) && !takes(valueSize: 0))
    }
  }
}
