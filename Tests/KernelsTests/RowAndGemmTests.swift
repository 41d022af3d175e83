import Glibc
import Testing

@testable import KernelTable
@testable import Kernels

@Suite struct RowKernelTests {
  @Test func sumsAndMoments() {
    for table in Kernels.supported {
      for size in oddSizes where size > 0 {
        let x = numbers(size, seed: 3).map { $0 + 100 }
        let sum = x.reduce(0.0) { $0 + Double($1) }
        #expect(abs(table.sum(x, size) / sum - 1) < 2e-7)
        let mean = Float(sum / Double(size))
        let squares = x.reduce(0.0) { $0 + (Double($1) - Double(mean)) * (Double($1) - Double(mean)) }
        #expect(abs(table.squaredDeviations(x, mean, size) - squares) <= 1e-6 * max(squares, 1))
      }
      #expect(table.sum([], 0) == 0)
    }
  }

  @Test func maximumAndSoftmax() {
    for table in Kernels.supported {
      for size in oddSizes where size > 0 {
        var x = numbers(size, seed: 8, range: 30)
        #expect(table.rowMaximum(x, size) == x.max())
        let top = Double(x.max() ?? 0)
        let e = x.map { Glibc.exp(Double($0) - top) }
        let total = e.reduce(0, +)
        var out = [Float](repeating: 7, count: size + 1)
        table.softmaxRow(x, &out, size)
        #expect(out[size] == 7)
        #expect(worst(Array(out.prefix(size)), e.map { $0 / total }) < 5e-7)
        x[size / 2] = .nan
        #expect(table.rowMaximum(x, size).isNaN)
        table.softmaxRow(x, &out, size)
        #expect(out.prefix(size).allSatisfy { $0.isNaN })
      }
      #expect(table.rowMaximum([], 0) == -.infinity)
      // A masked element takes no part.
      var masked: [Float] = [1, -.infinity, 1]
      table.softmaxRow(masked, &masked, 3)
      #expect(masked == [0.5, 0, 0.5])
    }
  }

  @Test func normalization() {
    for table in Kernels.supported {
      for size in [1, 7, 16, 33, 65] {
        let x = numbers(size)
        let scale = numbers(size, seed: 4)
        let bias = numbers(size, seed: 5)
        var out = [Float](repeating: 7, count: size + 1)
        let base = x.map { (Double($0) - 0.5) * 2 }
        table.normalizeRow(x, 0.5, 2, scale, bias, &out, size)
        #expect(
          worst(Array(out.prefix(size)), (0..<size).map { base[$0] * Double(scale[$0]) + Double(bias[$0]) }) < 1e-6)
        table.normalizeRow(x, 0.5, 2, scale, nil, &out, size)
        #expect(worst(Array(out.prefix(size)), (0..<size).map { base[$0] * Double(scale[$0]) }) < 1e-6)
        table.normalizeRow(x, 0.5, 2, nil, bias, &out, size)
        #expect(worst(Array(out.prefix(size)), (0..<size).map { base[$0] + Double(bias[$0]) }) < 1e-6)
        table.normalizeRow(x, 0.5, 2, nil, nil, &out, size)
        #expect(worst(Array(out.prefix(size)), base) < 1e-6)
        #expect(out[size] == 7)
        table.scaleShift(x, 0.5, 2, 0.25, &out, size, Activation.silu.rawValue)
        let silu = base.map { ($0 + 0.25) / (1 + Glibc.exp(-($0 + 0.25))) }
        #expect(worst(Array(out.prefix(size)), silu) < 1e-6)
      }
    }
  }

  @Test func channels() {
    for table in Kernels.supported {
      for (rows, channels) in [(1, 1), (3, 7), (5, 16), (64, 33), (7, 65)] {
        let x = numbers(rows * channels, seed: 2)
        var sums = [Float](repeating: 0, count: channels)
        var squares = sums
        table.channelMoments(x, rows, channels, channels, &sums, &squares)
        let mean = numbers(channels, seed: 3)
        let scale = numbers(channels, seed: 4)
        let bias = numbers(channels, seed: 5)
        var out = [Float](repeating: 7, count: rows * channels + 1)
        table.scaleShiftChannels(x, rows, channels, channels, mean, scale, bias, &out, Activation.none.rawValue)
        #expect(out[rows * channels] == 7)
        // Some channels of wider rows: the same bits.
        let few = (channels + 1) / 2
        var (fewSums, fewSquares) = ([Float](repeating: 0, count: few), [Float](repeating: 0, count: few))
        table.channelMoments(x, rows, few, channels, &fewSums, &fewSquares)
        #expect(fewSums == Array(sums.prefix(few)) && fewSquares == Array(squares.prefix(few)))
        var part = [Float](repeating: 7, count: rows * channels)
        table.scaleShiftChannels(x, rows, few, channels, mean, scale, bias, &part, Activation.none.rawValue)
        for i in part.indices { #expect(part[i] == (i % channels < few ? out[i] : 7)) }
        for c in 0..<channels {
          let column = (0..<rows).map { Double(x[$0 * channels + c]) }
          let sum = column.reduce(0, +)
          let m = sum / Double(rows)
          #expect(abs(Double(sums[c]) - sum) < 1e-4)
          let deviations = column.reduce(0) { $0 + ($1 - m) * ($1 - m) }
          #expect(abs(Double(squares[c]) - deviations) <= 1e-6 * max(1, deviations))
          for r in 0..<rows {
            let expected = (column[r] - Double(mean[c])) * Double(scale[c]) + Double(bias[c])
            #expect(abs(Double(out[r * channels + c]) - expected) < 1e-5)
          }
        }
      }
    }
  }
}

@Suite struct GemmKernelTests {
  /// Every combination of tile edges; the values beyond the edges stay untouched.
  @Test func panels() {
    for table in Kernels.supported {
      let g = table.gemm
      for rows in [1, 2, 3, g.tileRows - 1, g.tileRows, g.tileRows + 1, 2 * g.tileRows + 1] where rows > 0 {
        for columns in [1, 3, g.tileColumns / 2, g.tileColumns / 2 + 1, g.tileColumns - 1, g.tileColumns] {
          for depth in [0, 1, 2, 17, g.blockDepth] {
            check(table, rows, columns, depth)
          }
        }
      }
    }
  }

  func check(_ table: KernelTable, _ rows: Int, _ columns: Int, _ depth: Int) {
    let g = table.gemm
    let whole = (rows + g.tileRows - 1) / g.tileRows * g.tileRows
    let a = numbers(whole * g.rowStride, seed: 1)
    let b = numbers(depth * columns + 1, seed: 2)
    var transposed = [Float](repeating: 0, count: depth * columns + 1)
    for k in 0..<depth { for n in 0..<columns { transposed[n * depth + k] = b[k * columns + n] } }
    var panel = [Float](repeating: 9, count: depth * g.tileColumns + 1)
    var other = panel
    table.packPanel(b, columns, depth, columns, &panel)
    table.packPanelTransposed(transposed, depth, depth, columns, &other)
    #expect(panel == other)
    #expect(panel[depth * g.tileColumns] == 9)
    let stride = columns + 5
    var tile = [Float](repeating: 0, count: table.edgeFloatCount)
    let start = numbers(rows * stride, seed: 3)
    for accumulate in [false, true] {
      var c = start
      table.gemmPanel(rows, columns, depth, a, panel, &c, stride, accumulate, &tile, nil, nil, 0, 0)
      var worst = 0.0
      for i in 0..<rows {
        for j in 0..<stride {
          var expected = Double(start[i * stride + j])
          if j < columns {
            if !accumulate { expected = 0 }
            for k in 0..<depth { expected += Double(a[i * g.rowStride + k]) * Double(b[k * columns + j]) }
          }
          worst = max(worst, abs(expected - Double(c[i * stride + j])))
        }
      }
      // 256 products of numbers up to 16 in float32.
      #expect(worst < 1e-3, "\(table.name) \(rows)×\(columns)×\(depth)")
    }
  }

  /// Rows of any length and distance; nothing beyond them is written.
  @Test func rowsAreCopied() {
    for table in Kernels.supported {
      for count in [0, 1, 7, 15, 16, 17, 33, 65] {
        let (rows, from, to) = (3, count + 2, count + 5)
        let x = numbers(rows * from, seed: 1)
        var out = [Float](repeating: 9, count: rows * to)
        table.copyRows(x, from, rows, count, &out, to)
        for row in 0..<rows {
          for i in 0..<to { #expect(out[row * to + i] == (i < count ? x[row * from + i] : 9)) }
        }
      }
    }
  }

  @Test func epilogues() {
    for table in Kernels.supported {
      for columns in [1, 7, 16, 33] {
        let rows = 3
        let stride = columns + 2
        let start = numbers(rows * stride, seed: 1)
        let bias = numbers(columns, seed: 2)
        let residual = numbers(rows * columns, seed: 3)
        for (useBias, useResidual) in [(false, false), (true, false), (false, true), (true, true)] {
          var c = start
          bias.withUnsafeBufferPointer { b in
            residual.withUnsafeBufferPointer { r in
              table.epilogue(
                rows, columns, &c, stride, useBias ? b.baseAddress : nil, useResidual ? r.baseAddress : nil, columns,
                Activation.relu.rawValue)
            }
          }
          for i in 0..<rows {
            for j in 0..<stride {
              var expected = Double(start[i * stride + j])
              if j < columns {
                if useBias { expected += Double(bias[j]) }
                if useResidual { expected += Double(residual[i * columns + j]) }
                expected = max(expected, 0)
              }
              #expect(abs(expected - Double(c[i * stride + j])) < 1e-6)
            }
          }
        }
      }
    }
  }
}

@Suite struct GemmEdgeTests {
  /// Every number of rows and columns around the tiles: the right sums, and nothing written beyond them.
  @Test func nothingIsWrittenBeyondTheRows() {
    for table in Kernels.supported {
      let g = table.gemm
      let depth = 5
      for rows in 1...(2 * g.tileRows + 1) {
        for columns in [1, g.tileColumns / 2, g.tileColumns / 2 + 1, g.tileColumns - 1, g.tileColumns] {
          for accumulate in [false, true] {
            let a = numbers((rows + g.tileRows) * g.rowStride, seed: 1)
            let b = numbers(depth * g.tileColumns, seed: 2)
            let stride = g.tileColumns + 3
            var c = [Float](repeating: 7, count: (rows + g.tileRows) * stride)
            var tile = [Float](repeating: 0, count: table.edgeFloatCount)
            table.gemmPanel(rows, columns, depth, a, b, &c, stride, accumulate, &tile, nil, nil, 0, 0)
            for row in 0..<(rows + g.tileRows) {
              for column in 0..<stride {
                let value = c[row * stride + column]
                guard row < rows, column < columns else {
                  #expect(value == 7, "\(table.name): \(rows) rows, \(columns) columns wrote to \(row), \(column)")
                  continue
                }
                var sum = accumulate ? 7.0 : 0.0
                for k in 0..<depth { sum += Double(a[row * g.rowStride + k]) * Double(b[k * g.tileColumns + column]) }
                #expect(abs(Double(value) - sum) < 1e-5 * max(1, abs(sum)))
              }
            }
          }
        }
      }
    }
  }
}
