import Glibc
import Testing

@testable import KernelTable
@testable import Kernels

@Suite struct FusedKernelTests {
  /// The gate that a tile applies, its error relative to results above 1 and absolute below, and rows of what products left.
  private static func gated(
    _ error: Double,
    _ tile: (
      KernelTable, _ rows: Int, _ columns: Int, _ bias: UnsafePointer<Float>,
      _ x: [Float], _ gate: [Float], _ out: inout [Float], _ stride: Int
    ) -> (x: [Double], gate: [Double])
  ) {
    for table in Kernels.supported {
      for columns in [1, 3, 7, 8, 15, 17, 31, 33, 63, 65] {
        let (rows, stride) = (3, 66)
        let x = numbers(rows * stride, seed: 1)
        let gate = numbers(rows * stride, seed: 2)
        let bias = numbers(2 * columns, seed: 3)
        var out = [Float](repeating: 7, count: rows * stride)
        let values = bias.withUnsafeBufferPointer { b in
          tile(table, rows, columns, UnsafePointer(b.baseAddress.unsafelyUnwrapped), x, gate, &out, stride)
        }
        for row in 0..<rows {
          for i in 0..<stride {
            guard i < columns else {
              #expect(out[row * stride + i] == 7)
              continue
            }
            let g = values.gate[row * stride + i] + Double(bias[columns + i])
            let expected =
              (values.x[row * stride + i] + Double(bias[i])) * g * 0.5 * Glibc.erfc(-g / 2.0.squareRoot())
            #expect(abs(Double(out[row * stride + i]) - expected) < error * max(1, abs(expected)))
          }
        }
      }
    }
  }

  @Test func gegluTile() {
    Self.gated(4e-7) { table, rows, columns, bias, x, gate, out, stride in
      table.fused.gegluTile(rows, columns, x, gate, stride, bias, bias + columns, &out, stride)
      return (x.map(Double.init), gate.map(Double.init))
    }
  }

  /// 3e-5 of the fit times values up to 8, and 6e-5 of the reciprocal.
  @Test func gegluTileCoarse() {
    Self.gated(3e-4) { table, rows, columns, bias, x, gate, out, stride in
      table.fused.gegluTileCoarse(rows, columns, x, gate, stride, bias, bias + columns, &out, stride)
      return (x.map(Double.init), gate.map(Double.init))
    }
  }

  @Test func gegluTileIntegers() {
    Self.gated(3e-4) { table, rows, columns, bias, x, gate, out, stride in
      let rowScales = (0..<rows).map { 0.01 + Float($0) / 300 }
      let scales = (0..<2 * columns).map { 0.02 + Float($0) / 7000 }
      let offsets = (0..<2 * columns).map { Int32($0 * 37 - 300) }
      func products(_ values: [Float], _ first: Int) -> (words: [Float], values: [Double]) {
        var words = [Float](repeating: 0, count: values.count)
        var reals = [Double](repeating: 0, count: values.count)
        for row in 0..<rows {
          for column in 0..<columns {
            let integer = Int32(values[row * stride + column] * 1000)
            words[row * stride + column] = Float(bitPattern: UInt32(bitPattern: integer + offsets[first + column]))
            reals[row * stride + column] = Double(integer) * Double(rowScales[row]) * Double(scales[first + column])
          }
        }
        return (words, reals)
      }
      let (xWords, xValues) = products(x, 0)
      let (gateWords, gateValues) = products(gate, columns)
      scales.withUnsafeBufferPointer { s in
        offsets.withUnsafeBufferPointer { o in
          table.fused.gegluTileIntegers(
            rows, columns, xWords, gateWords, stride, rowScales, s.baseAddress.unsafelyUnwrapped,
            o.baseAddress.unsafelyUnwrapped,
            s.baseAddress.unsafelyUnwrapped + columns, o.baseAddress.unsafelyUnwrapped + columns, bias, bias + columns,
            &out, stride)
        }
      }
      return (xValues, gateValues)
    }
  }

  /// NaN stays, infinities and large numbers have their limits.
  @Test func coarseGatesHaveLimits() {
    for table in Kernels.supported {
      let gate: [Float] = [.nan, .infinity, -.infinity, 3e38, -3e38, 100, -100, 0]
      let x = [Float](repeating: 1, count: gate.count)
      var out = x
      table.fused.gegluTileCoarse(1, gate.count, x, gate, 8, nil, nil, &out, 8)
      #expect(out[0].isNaN)
      #expect(out[1] == .infinity)
      #expect(out[3] > 2.99e38)
      #expect(abs(out[5] - 100) < 0.01)
      #expect([out[2], out[4], out[6], out[7]] == [0, 0, 0, 0])
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
        checkTransforms(table, table.enlargedWinograd, channels, isEnlarged: true)
      }
    }
  }

  /// `isEnlarged`: a pixel of the window is one of four by four small ones.
  private func checkTransforms(
    _ table: KernelTable, _ transforms: WinogradKernels, _ channels: Int, isEnlarged: Bool = false
  ) {
    let tile = table.gemm.tileColumns
    let (side, out, count) = (transforms.windowSide, transforms.outputSide, transforms.frequencies)
    var scratch = [Float](repeating: 0, count: WinogradKernels.scratchVectors * tile / 2)
    let stored = isEnlarged ? 4 : side
    let shift = isEnlarged ? 1 : 0
    for (yBegin, yEnd, xBegin, xEnd) in [
      (0, side, 0, side), (1, side, 0, side - 1), isEnlarged ? (1, 3, 3, 5) : (2, 3, 1, 2),
    ] {
      let x = numbers(stored * stored * channels, seed: 1, range: 1)
      let w = numbers(9 * channels * tile, seed: 2, range: 1)
      var v = [Float](repeating: 0, count: transforms.inputFrequencies * channels)
      var u = [Float](repeating: 0, count: count * channels * tile)
      transforms.input(
        x, channels, stored * channels, yBegin, yEnd, xBegin, xEnd, channels, &v, channels, shift, shift, shift,
        &scratch)
      transforms.weights(w, channels * tile, channels, 0, 1, &u, channels * tile)
      transforms.weights(w, channels * tile, channels, 1, 2, &u, channels * tile)
      var m = [Float](repeating: 0, count: count * tile)
      for f in 0..<count {
        for c in 0..<channels {
          let value = v[transforms.inputPlace(ofFrequency: f) * channels + c]
          for n in 0..<tile { m[f * tile + n] += value * u[(f * channels + c) * tile + n] }
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
                    let (down, across) = ((row + ky + shift) >> shift, (column + kx + shift) >> shift)
                    let pixel = (down * stored + across) * channels + c
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
