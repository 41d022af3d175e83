import Glibc
import Testing

@testable import KernelTable
@testable import Kernels

@Suite struct FusedKernelTests {
  @Test func gegluTile() {
    for table in Kernels.supported {
      for columns in [1, 3, 7, 8, 15, 17, 31, 33, 63, 65] {
        let (rows, stride) = (3, 66)
        let x = numbers(rows * stride, seed: 1)
        let gate = numbers(rows * stride, seed: 2)
        let bias = numbers(2 * columns, seed: 3)
        var out = [Float](repeating: 7, count: rows * stride)
        bias.withUnsafeBufferPointer { b in
          guard let base = b.baseAddress else { return }
          table.fused.gegluTile(rows, columns, x, gate, stride, base, base + columns, &out, stride)
        }
        for row in 0..<rows {
          for i in 0..<stride {
            guard i < columns else {
              #expect(out[row * stride + i] == 7)
              continue
            }
            let g = Double(gate[row * stride + i] + bias[columns + i])
            let expected = Double(x[row * stride + i] + bias[i]) * g * 0.5 * Glibc.erfc(-g / 2.0.squareRoot())
            #expect(abs(Double(out[row * stride + i]) - expected) < 4e-7 * max(1, abs(expected)))
          }
        }
      }
    }
  }

  /// A window over an image of twice the size, read from the small image: the same bits.
  @Test(arguments: [(0, 0), (1, 1), (1, 0)]) func winogradInputOfAnEnlargedImage(yPhase: Int, xPhase: Int) {
    for table in Kernels.supported {
      var scratch = [Float](repeating: 0, count: 18 * table.gemm.tileColumns)
      let cases = [table.winograd, table.smallWinograd].flatMap { t in [1, 7, 16, 33].map { (t, $0) } }
      for (transforms, channels) in cases {
        let side = transforms.windowSide
        let small = numbers(16 * channels, seed: 5)
        var large: [Float] = []
        for row in 0..<side {
          for column in 0..<side {
            let pixel = (row + yPhase) / 2 * 4 + (column + xPhase) / 2
            large += small[(pixel * channels)..<((pixel + 1) * channels)]
          }
        }
        for (yBegin, yEnd, xBegin, xEnd) in [(0, side, 0, side), (1, side, 0, side - 1)] {
          var expected = [Float](repeating: 0, count: transforms.frequencies * channels)
          var v = expected
          transforms.input(
            large, channels, side * channels, yBegin, yEnd, xBegin, xEnd, channels, &expected, channels, 0, 0, 0,
            &scratch)
          transforms.input(
            small, channels, 4 * channels, yBegin, yEnd, xBegin, xEnd, channels, &v, channels, 1, yPhase, xPhase,
            &scratch)
          #expect(v == expected)
        }
      }
    }
  }

  /// One window through input, weights, product and output transform of every table.
  @Test func winogradTransforms() {
    for table in Kernels.supported {
      for channels in [1, 3, 7, 15, 16, 17, 33] {
        checkTransforms(table, table.winograd, channels)
        checkTransforms(table, table.smallWinograd, channels)
      }
    }
  }

  private func checkTransforms(_ table: KernelTable, _ transforms: WinogradKernels, _ channels: Int) {
    let tile = table.gemm.tileColumns
    let (side, out, count) = (transforms.windowSide, transforms.outputSide, transforms.frequencies)
    var scratch = [Float](repeating: 0, count: WinogradKernels.scratchVectors * tile / 2)
    for (yBegin, yEnd, xBegin, xEnd) in [(0, side, 0, side), (1, side, 0, side - 1), (2, 3, 1, 2)] {
      let x = numbers(count * channels, seed: 1, range: 1)
      let w = numbers(9 * channels * tile, seed: 2, range: 1)
      var v = [Float](repeating: 0, count: count * channels)
      var u = [Float](repeating: 0, count: count * channels * tile)
      transforms.input(
        x, channels, side * channels, yBegin, yEnd, xBegin, xEnd, channels, &v, channels, 0, 0, 0, &scratch)
      transforms.weights(w, channels * tile, channels, &u, channels * tile)
      var m = [Float](repeating: 0, count: count * tile)
      for f in 0..<count {
        for c in 0..<channels {
          for n in 0..<tile { m[f * tile + n] += v[f * channels + c] * u[(f * channels + c) * tile + n] }
        }
      }
      for (rows, columns, filters) in [(out, out, tile), (1, 3, tile - 1), (2, out, 1)] {
        let bias = numbers(tile, seed: 3)
        let residual = numbers(out * out * tile, seed: 4)
        var y = [Float](repeating: 7, count: out * out * tile)
        transforms.output(
          m, tile, rows, columns, filters, &y, tile, out * tile, bias, residual, Activation.none.rawValue, &scratch)
        for row in 0..<out {
          for column in 0..<out {
            for n in 0..<tile {
              let index = (row * out + column) * tile + n
              guard row < rows, column < columns, n < filters else {
                #expect(y[index] == 7)
                continue
              }
              var sum = Double(bias[n]) + Double(residual[index])
              for ky in 0..<3 {
                for kx in 0..<3 where (yBegin..<yEnd).contains(row + ky) && (xBegin..<xEnd).contains(column + kx) {
                  for c in 0..<channels {
                    let pixel = ((row + ky) * side + column + kx) * channels + c
                    sum += Double(x[pixel]) * Double(w[((ky * 3 + kx) * channels + c) * tile + n])
                  }
                }
              }
              #expect(abs(Double(y[index]) - sum) < 1e-5 * max(1, abs(sum)) * Double(channels).squareRoot())
            }
          }
        }
      }
    }
  }
}
