import Testing

@testable import KernelTable
@testable import Kernels

@Suite struct StrassenTileKernelTests {
  private static func integers(_ count: Int, seed: UInt64) -> [Float] {
    numbers(count, seed: seed).map { ($0 * 2).rounded() }
  }

  /// Left factors of `rows` × 2 · depth numbers.
  private static func left(_ table: KernelTable, _ x: [Float], rows: Int, depth: Int, scale: Float) -> [Float] {
    var factors = [Float](repeating: .nan, count: 2 * table.gemm.tileRows * table.gemm.rowStride)
    table.strassenTiles.left(rows, depth, x, 2 * depth, scale, &factors)
    return factors
  }

  /// The seven right factors of 2 · depth × 2 · tileColumns numbers.
  private static func right(_ table: KernelTable, _ x: [Float], depth: Int) -> [Float] {
    let tile = table.gemm.tileColumns
    let count = depth * tile
    var factors = [Float](repeating: .nan, count: 7 * count)
    let distance = 2 * tile
    factors.withUnsafeMutableBufferPointer { factors in
      guard let b = factors.baseAddress else { return }
      x.withUnsafeBufferPointer { x in
        guard let x = x.baseAddress else { return }
        table.packPanel(x, distance, depth, tile, b)
        table.packPanel(x + depth * distance, distance, depth, tile, b + count)
        table.packPanel(x + depth * distance + tile, distance, depth, tile, b + 2 * count)
        table.packPanel(x + tile, distance, depth, tile, b + 3 * count)
      }
      table.strassen.right(count, b, b + count, b + 2 * count, b + 3 * count, b + 3 * count, count)
    }
    return factors
  }

  /// Factors and their product, exact on small integers; nothing outside C is written.
  @Test func products() {
    for table in Kernels.supported {
      let (tile, high) = (table.gemm.tileColumns, 2 * table.gemm.tileRows)
      for (depth, rows) in [(1, high), (3, high - 1), (16, high / 2), (20, high), (33, 1), (64, high)] {
        let a = Self.integers(rows * 2 * depth, seed: 1)
        let b = Self.integers(2 * depth * 2 * tile, seed: 2)
        let factors = Self.left(table, a, rows: rows, depth: depth, scale: 2)
        let right = Self.right(table, b, depth: depth)
        let stride = 2 * tile + 3
        let before = Self.integers(high * stride, seed: 3)
        for accumulate in [false, true] {
          var c = before
          var scratch = [Float](repeating: .nan, count: 2 * table.gemm.tileRows * tile)
          let kernel = accumulate ? table.strassenTiles.accumulate : table.strassenTiles.multiply
          kernel(depth, factors, right, &c, stride, &scratch, right)
          for row in 0..<high {
            for column in 0..<stride {
              var expected = before[row * stride + column]
              if column < 2 * tile {
                if !accumulate { expected = 0 }
                for k in 0..<2 * depth where row < rows {
                  let left = 2 * a[row * 2 * depth + k]
                  expected += left * b[k * 2 * tile + column]
                }
              }
              #expect(c[row * stride + column] == expected, "\(table.name) \(depth) \(row) \(column)")
            }
          }
        }
      }
    }
  }

  /// The left factors of what `SoftmaxKernel` gives, and the same states and results.
  @Test func softmax() {
    for table in Kernels.supported {
      let g = table.gemm
      let (high, width, valueSize) = (2 * g.tileRows, g.blockDepth / 4, 5)
      for keys in [1, width - 1, width, width + 1, 2 * width - 3, 2 * width] {
        // Maxima of some rows grow, those of others do not.
        var scores = numbers(high * g.rowStride, seed: 1, range: 20)
        var states = [Float](repeating: 0, count: high * g.tileColumns)
        var results = numbers(high * valueSize, seed: 2)
        for row in 0..<high {
          states[row * g.tileColumns] = 3
          states[row * g.tileColumns + g.tileColumns / 2] = row % 3 == 0 ? -.infinity : row % 3 == 1 ? 4 : 30
        }
        table.attention.maxima(high, keys, scores, g.rowStride, &states)
        var (plain, plainStates, plainResults) = (scores, states, results)
        table.attention.softmax(high, keys, &plain, g.rowStride, &plainStates, &plainResults, valueSize)
        table.strassenTiles.softmax(keys, &scores, &states, &results, valueSize)
        #expect(results == plainResults)
        for row in 0..<high {
          func sum(_ states: [Float]) -> Float {
            (0..<g.tileColumns / 2).reduce(0) { $0 + states[row * g.tileColumns + $1] }
          }
          let expected = sum(plainStates)
          #expect(abs(sum(states) - expected) <= 1e-6 * expected)
          let maximum = row * g.tileColumns + g.tileColumns / 2
          #expect(states[maximum] == plainStates[maximum])
        }
        for row in 0..<g.tileRows {
          let (upper, lower) = (row * g.rowStride, (g.tileRows + row) * g.rowStride)
          for i in 0..<width {
            func exponential(_ row: Int, _ key: Int) -> Float { key < keys ? plain[row + key] : 0 }
            let (a11, a12) = (exponential(upper, i), exponential(upper, width + i))
            let (a21, a22) = (exponential(lower, i), exponential(lower, width + i))
            let s1 = a21 + a22
            let s2 = s1 - a11
            let upperFactors = [a11, a12, s2, a11 - a21]
            let lowerFactors = [s1, -a22, a12 - s2]
            #expect((0..<4).map { scores[upper + $0 * width + i] } == upperFactors)
            #expect((0..<3).map { scores[lower + $0 * width + i] } == lowerFactors)
          }
        }
      }
    }
  }
}
