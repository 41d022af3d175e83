import Testing

@testable import KernelTable
@testable import Kernels

/// The sums of Strassen's algorithm, exact on small integers.
@Suite struct StrassenKernelTests {
  private static func integers(_ count: Int, seed: UInt64) -> [Float] {
    numbers(count, seed: seed).map { ($0 * 64).rounded() }
  }

  @Test func leftFactors() {
    for table in Kernels.supported {
      for (depth, aStride) in zip(
        [1, 3, 7, 15, 17, 31, 33, 63, 65, 256, 257],
        [Int](repeating: table.gemm.rowStride, count: 10) + [table.strassen.rowStride])
      {
        let distance = aStride * 5
        for (rows, lowerRows) in [(1, 0), (1, 1), (5, 4), (5, 5)] {
          let x = Self.integers(2 * rows * 600, seed: 1)
          var a = [Float](repeating: 7, count: 7 * distance)
          x.withUnsafeBufferPointer { x in
            guard let x = x.baseAddress else { return }
            let lower = x + rows * 600
            table.strassen.left(rows, lowerRows, depth, x, x + 300, lower, lower + 300, 600, &a, aStride, distance)
          }
          for row in 0..<rows {
            for k in 0..<depth {
              let (a11, a12) = (x[row * 600 + k], x[row * 600 + 300 + k])
              let below = (rows + row) * 600 + k
              let (a21, a22) = row < lowerRows ? (x[below], x[below + 300]) : (0, 0)
              let (s1, s3) = (a21 + a22, a11 - a21)
              let s2 = s1 - a11
              let expected = [a11, a12, a12 - s2, a22, s1, s2, s3]
              #expect((0..<7).map { a[$0 * distance + row * aStride + k] } == expected)
            }
          }
        }
      }
    }
  }

  /// The same chains of sums as `gemmPanel`'s over several calls: the same bits.
  @Test func products() {
    for table in Kernels.supported {
      let (g, deep) = (table.gemm, table.strassen)
      #expect(deep.depthLimit > g.blockDepth && deep.rowStride >= deep.depthLimit)
      for depth in [0, 1, 17, g.blockDepth + 1, deep.depthLimit] {
        let b = numbers(max(1, depth) * g.tileColumns, seed: 2)
        for rows in 1...(2 * g.tileRows + 1) {
          let whole = (rows + g.tileRows - 1) / g.tileRows * g.tileRows
          let a = numbers(whole * deep.rowStride, seed: 1)
          for (columns, accumulate) in [(g.tileColumns, false), (g.tileColumns, true), (3, true)] {
            let start = numbers(rows * g.tileColumns, seed: 3)
            var (c, expected) = (start, accumulate ? start : [Float](repeating: 0, count: start.count))
            var tile = [Float](repeating: 0, count: table.edgeFloatCount)
            deep.product(rows, columns, depth, a, b, &c, g.tileColumns, accumulate, &tile, a, nil, 0, 0)
            for first in stride(from: 0, to: depth, by: g.blockDepth) {
              let count = min(g.blockDepth, depth - first)
              var piece = [Float](repeating: 0, count: whole * g.rowStride)
              for row in 0..<rows {
                for k in 0..<count { piece[row * g.rowStride + k] = a[row * deep.rowStride + first + k] }
              }
              table.gemmPanel(
                rows, columns, count, piece, Array(b[(first * g.tileColumns)...]), &expected, g.tileColumns, true,
                &tile, nil, nil, 0, 0)
            }
            for row in 0..<rows {
              let (from, to) = (row * g.tileColumns, row * g.tileColumns + columns)
              #expect(c[from..<to] == expected[from..<to], "\(table.name) \(rows)×\(columns)×\(depth)")
              #expect(c[to..<(row + 1) * g.tileColumns] == start[to..<(row + 1) * g.tileColumns])
            }
          }
        }
      }
    }
  }

  /// With B12 elsewhere, and where a sum goes.
  @Test func rightFactors() {
    for table in Kernels.supported {
      for rows in [1, 3, 16] {
        let count = rows * table.gemm.tileColumns
        let x = (0..<4).map { Self.integers(count, seed: UInt64($0 + 1)) }
        for place in [nil, 0, 1, 2, 3] {
          var b = [Float](repeating: 7, count: StrassenKernels.rightSums * count)
          if let place { b.replaceSubrange((place * count)..<((place + 1) * count), with: x[3]) }
          b.withUnsafeMutableBufferPointer { b in
            guard let b = b.baseAddress else { return }
            if let place {
              table.strassen.right(count, x[0], x[1], x[2], b + place * count, b, count)
            } else {
              table.strassen.right(count, x[0], x[1], x[2], x[3], b, count)
            }
          }
          for i in 0..<count {
            let (b11, b21, b22, b12) = (x[0][i], x[1][i], x[2][i], x[3][i])
            let t1 = b12 - b11
            let t2 = b22 - t1
            let sums = (0..<StrassenKernels.rightSums).map { b[$0 * count + i] }
            #expect(sums == [t2 - b21, t1, t2, b22 - b12])
          }
        }
      }
    }
  }

  @Test func results() {
    for table in Kernels.supported {
      let tile = table.gemm.tileColumns
      let (rows, stride) = (5, 3 * tile)
      let distance = rows * tile
      let p = (0..<7).map { Self.integers(distance, seed: UInt64($0 + 1)) }
      let before = Self.integers(2 * rows * stride, seed: 9)
      for (lowerRows, columns, rightColumns) in [(5, tile, tile), (4, tile, tile - 1), (0, tile, 1), (5, 3, 3)] {
        for accumulate in [false, true] {
          var c = before
          c.withUnsafeMutableBufferPointer { c in
            guard let c = c.baseAddress else { return }
            table.strassen.results(
              rows, lowerRows, columns, rightColumns, p.flatMap { $0 }, distance, c, c + tile, c + rows * stride,
              c + rows * stride + tile, stride, accumulate)
          }
          var expected = before
          func put(_ row: Int, _ column: Int, _ value: Float) {
            expected[row * stride + column] = value + (accumulate ? before[row * stride + column] : 0)
          }
          for row in 0..<rows {
            for column in 0..<tile {
              let q = p.map { $0[row * tile + column] }
              if column < columns { put(row, column, q[0] + q[1]) }
              if column < rightColumns { put(row, tile + column, q[0] + q[5] + q[4] + q[2]) }
              guard row < lowerRows else { continue }
              if column < columns { put(rows + row, column, q[0] + q[5] + q[6] - q[3]) }
              if column < rightColumns { put(rows + row, tile + column, q[0] + q[5] + q[6] + q[4]) }
            }
          }
          #expect(c == expected)
        }
      }
    }
  }
}
