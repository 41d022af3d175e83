import Testing

@testable import KernelTable
@testable import Kernels

/// Matrices stored as float16 give the bits of the same matrices stored as float32.
@Suite struct HalfKernelTests {
  /// Numbers that are float16, and the panel that holds them.
  private static func panel(_ table: KernelTable, _ count: Int) -> (floats: [Float], halves: [Float]) {
    let source = numbers(count, seed: 5)
    var bits = [UInt16](repeating: 0, count: count)
    var floats = [Float](repeating: 0, count: count)
    table.toFloat16(source, &bits, count)
    table.fromFloat16(bits, &floats, count)
    var halves = [Float](repeating: 0, count: (count + 1) / 2)
    halves.withUnsafeMutableBytes { target in bits.withUnsafeBytes { target.copyMemory(from: $0) } }
    return (floats, halves)
  }

  @Test func products() {
    for table in Kernels.supported {
      guard let half = table.half else { continue }
      let g = table.gemm
      for rows in [1, 2, 3, 4, 5, 8, 9, g.tileRows, g.tileRows + 1, 3 * g.tileRows, 5 * g.tileRows, 6 * g.tileRows + 3]
      {
        for columns in [1, g.tileColumns - 1, g.tileColumns] {
          for depth in [0, 1, 15, 16, 17, 65, g.blockDepth] {
            let a = numbers((rows + g.tileRows) * g.rowStride, seed: 1)
            let (floats, halves) = Self.panel(table, max(1, depth) * g.tileColumns)
            var tile = [Float](repeating: .nan, count: table.edgeFloatCount + 1)
            var expected = numbers(rows * columns, seed: 2)
            var c = expected
            for accumulate in [false, true] {
              table.gemmPanel(rows, columns, depth, a, floats, &expected, columns, accumulate, &tile, nil, nil, 0, 0)
              half.panel(rows, columns, depth, a, halves, &c, columns, accumulate, &tile, nil, nil, 0, 0)
              #expect(c == expected, "\(table.name) \(rows)×\(columns)×\(depth)")
              #expect(tile[table.edgeFloatCount].isNaN)
            }
          }
        }
      }
    }
  }

  @Test func winogradWeights() {
    for table in Kernels.supported {
      let tile = table.gemm.tileColumns
      for transforms in [table.winograd, table.smallWinograd, table.enlargedWinograd] {
        #expect((transforms.halfWeights == nil) == (table.half == nil))
        guard let halfWeights = transforms.halfWeights else { continue }
        for depth in [1, 3, 17, 65] {
          let (floats, halves) = Self.panel(table, 9 * depth * tile)
          let stride = depth * tile + 16
          var expected = [Float](repeating: 7, count: transforms.frequencies * stride)
          var u = expected
          transforms.weights(floats, depth * tile, depth, 0, 2, &expected, stride)
          halfWeights(halves, depth * tile / 2, depth, 0, 1, &u, stride)
          halfWeights(halves, depth * tile / 2, depth, 1, 2, &u, stride)
          #expect(u == expected, "\(table.name) \(depth)")
        }
      }
    }
  }
}
