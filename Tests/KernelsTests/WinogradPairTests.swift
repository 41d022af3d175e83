import Testing

@testable import KernelTable
@testable import Kernels

/// Winograd's transforms to bfloat16 pairs are those to float32, rounded: the same bits.
@Suite struct WinogradPairTests {
  /// The transforms of every table, and (begin, end) of rows and columns and (shift, phases) that they take.
  private static let transforms: [(KernelTable, WinogradKernels, [(Int, Int, Int, Int)], [(Int, Int, Int)])] =
    Kernels.supported.flatMap { table in
      [
        (table, table.winograd, [(0, 6, 0, 6), (1, 6, 0, 5), (2, 3, 4, 6)], [(0, 0, 0), (1, 0, 1), (1, 1, 0)]),
        (table, table.enlargedWinograd, [(0, 6, 0, 6), (1, 6, 0, 5), (1, 3, 3, 6)], [(1, 1, 1)]),
      ]
    }

  @Test func input() {
    for (table, transforms, bounds, phases) in Self.transforms {
      guard let pairs = transforms.pairs else { continue }
      let count = transforms.inputFrequencies
      let tile = table.gemm.tileColumns
      var scratch = [Float](repeating: 0, count: WinogradKernels.scratchVectors * tile / 2)
      for channels in [2, 14, 16, 18, 30, 32, 34, 64, 66] {
        let x = numbers(36 * channels, seed: 3)
        let stride = (channels + tile - 1) / tile * tile
        for (yBegin, yEnd, xBegin, xEnd) in bounds {
          for (shift, y, x0) in phases {
            var wide = [Float](repeating: 0, count: count * stride)
            var expected = [Float](repeating: 0, count: count * stride / 2)
            var v = [Float](repeating: 7, count: count * stride / 2)
            transforms.input(
              x, channels, 6 * channels, yBegin, yEnd, xBegin, xEnd, channels, &wide, stride, shift, y, x0, &scratch)
            pairs.input(
              x, channels, 6 * channels, yBegin, yEnd, xBegin, xEnd, channels, &v, stride / 2, shift, y, x0, &scratch)
            expected.withUnsafeMutableBytes {
              table.narrow.roundRow(wide, $0.bindMemory(to: UInt16.self).baseAddress.unsafelyUnwrapped, count * stride)
            }
            #expect(v == expected, "\(channels)")
          }
        }
      }
    }
  }

  @Test func weights() {
    for (table, transforms, _, _) in Self.transforms {
      guard let pairs = transforms.pairs else { continue }
      let count = transforms.frequencies
      let tile = table.gemm.tileColumns
      for channels in [4, 8, 36, 128] {
        let rows = numbers(9 * channels * tile, seed: 4)
        /// The nine taps' rows from a panel, transformed, and rounded frequency by frequency.
        func expected(_ wide: [Float]) -> [Float] {
          let stride = channels * tile
          var u = [Float](repeating: 0, count: count * stride)
          transforms.weights(wide, stride, channels, 0, 2, &u, stride)
          return (0..<count).flatMap { frequency in
            var words = [Float](repeating: 0, count: stride / 2)
            table.narrow.packPairs(Array(u[(frequency * stride)..<((frequency + 1) * stride)]), channels, &words)
            return words
          }
        }
        var wide = [Float](repeating: 0, count: rows.count)
        var u = [Float](repeating: 7, count: count * channels * tile / 2)

        var words = [Float](repeating: 0, count: rows.count / 2)
        table.narrow.packPairs(rows, 9 * channels, &words)
        table.narrow.unpackPairs(words, 9 * channels, &wide)
        for vector in 0..<2 {
          pairs.pairWeights(words, channels * tile / 2, channels / 2, vector, vector + 1, &u, channels * tile / 2)
        }
        #expect(u == expected(wide), "\(channels)")

        let scales = (0..<tile).map { Float($0 + 1) / 100 }
        var bytes = [Float](repeating: 0, count: rows.count / 4)
        var sums = [Int32](repeating: 0, count: tile)
        table.narrow.packBytes(rows, 9 * channels, scales.map { 1 / $0 }, &bytes, &sums)
        table.narrow.unpackBytes(bytes, 9 * channels, scales, &wide)
        for vector in 0..<2 {
          pairs.byteWeights(
            bytes, channels * tile / 4, channels / 4, vector, vector + 1, scales, &u, channels * tile / 2)
        }
        #expect(u == expected(wide), "\(channels)")
      }
    }
  }
}
