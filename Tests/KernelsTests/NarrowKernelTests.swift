import Testing

@testable import KernelTable
@testable import Kernels

/// Kernels of bfloat16 and 8-bit products, for every table this machine has.
@Suite struct NarrowKernelTests {
  static let depths = [1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 33, 63, 65, 256, 257]

  /// Round to nearest even, by the definition.
  static func rounded(_ x: Float) -> Float {
    guard x.isFinite else { return x }
    let bits = x.bitPattern
    return Float(bitPattern: (bits &+ 0x7FFF &+ ((bits >> 16) & 1)) & 0xFFFF_0000)
  }

  @Test func pairsAreRoundedAndComeBack() {
    for table in Kernels.supported {
      let tile = table.gemm.tileColumns
      for depth in Self.depths {
        var rows = numbers(depth * tile, seed: 7, range: 100)
        rows[0] = .nan
        if rows.count > 3 { (rows[1], rows[2], rows[3]) = (.infinity, -.infinity, 3.4e38) }
        var panel = [Float](repeating: 9, count: ElementFormat.bfloat16.words(depth) * tile + 1)
        table.narrow.packPairs(rows, depth, &panel)
        #expect(panel.last == 9)
        var back = [Float](repeating: 9, count: depth * tile + 1)
        table.narrow.unpackPairs(panel, depth, &back)
        #expect(back.last == 9)
        #expect(back[0].isNaN)
        for i in 1..<(depth * tile) { #expect(back[i] == Self.rounded(rows[i])) }
      }
    }
  }

  /// Every combination of tile edges. Products of rounded values are exact in float32, so the error is that of the sums:
  /// 2^-24 of the sum of magnitudes per addition.
  @Test func pairPanels() {
    for table in Kernels.supported {
      let g = table.gemm
      for rows in [1, 3, 4, 5, 15, 16, 17, 31, 32, 33, 49, g.tileRows - 1, g.tileRows, g.tileRows + 1] {
        for columns in [1, 3, g.tileColumns / 2, g.tileColumns / 2 + 1, g.tileColumns - 1, g.tileColumns] {
          for depth in [1, 2, 17, 64, 2 * g.blockDepth - 1] { checkPairs(table, rows, columns, depth) }
        }
      }
    }
  }

  private func checkPairs(_ table: KernelTable, _ rows: Int, _ columns: Int, _ depth: Int) {
    let g = table.gemm
    let a = numbers(rows * depth, seed: 1)
    let b = numbers(depth * columns, seed: 2)
    let packed = packA(table, rows, depth) { words, row in
      words.withMemoryRebound(to: UInt16.self, capacity: 2 * g.rowStride) { halves in
        table.narrow.roundRow(Array(a[(row * depth)..<((row + 1) * depth)]), halves, depth)
      }
    }
    var panel = [Float](repeating: 0, count: ElementFormat.bfloat16.words(depth) * g.tileColumns)
    table.narrow.packPairs(packedRows(table, b, depth, columns), depth, &panel)
    let stride = columns + 5
    let start = numbers(rows * stride, seed: 3)
    var tile = [Float](repeating: 0, count: table.edgeFloatCount)
    for accumulate in [false, true] {
      var c = start
      table.narrow.pairPanel(
        rows, columns, ElementFormat.bfloat16.words(depth), packed, panel, &c, stride, accumulate, &tile, nil, nil, 0, 0
      )
      for i in 0..<rows {
        for j in 0..<stride {
          guard j < columns else {
            #expect(c[i * stride + j] == start[i * stride + j])
            continue
          }
          var sum = accumulate ? Double(start[i * stride + j]) : 0
          var magnitude = abs(sum)
          for k in 0..<depth {
            let product = Double(Self.rounded(a[i * depth + k])) * Double(Self.rounded(b[k * columns + j]))
            sum += product
            magnitude += abs(product)
          }
          #expect(abs(Double(c[i * stride + j]) - sum) <= 0x1p-24 * Double(depth + 1) * magnitude)
        }
      }
    }
  }

  /// Integer sums are the same in every table, bit for bit.
  @Test func bytePanels() {
    for table in Kernels.supported {
      let g = table.gemm
      for rows in [1, 4, 7, 15, 16, 17, 31, 32, 33, 49, g.tileRows, g.tileRows + 1] {
        for columns in [1, g.tileColumns / 2, g.tileColumns / 2 + 1, g.tileColumns] {
          for depth in [1, 3, 4, 17, 64, 4 * g.blockDepth - 1] { checkBytes(table, rows, columns, depth) }
        }
      }
    }
  }

  private func checkBytes(_ table: KernelTable, _ rows: Int, _ columns: Int, _ depth: Int) {
    let g = table.gemm
    let words = ElementFormat.int8.words(depth)
    // Every value that a byte can have, the extremes first: 255 · 127 four times does not fit 16 bits.
    let a = (0..<rows * depth).map { UInt8(truncatingIfNeeded: 255 - $0 * 7) }
    let b = (0..<depth * columns).map { Float(127 - $0 * 5 % 255) }
    let packed = packA(table, rows, depth) { words, row in
      words.withMemoryRebound(to: UInt8.self, capacity: 4 * g.rowStride) { bytes in
        for k in 0..<depth { bytes[k] = a[row * depth + k] }
      }
    }
    var panel = [Float](repeating: 0, count: words * g.tileColumns)
    var sums = [Int32](repeating: 5, count: g.tileColumns)
    let factors = [Float](repeating: 1, count: g.tileColumns)
    table.narrow.packBytes(packedRows(table, b, depth, columns), depth, factors, &panel, &sums)
    var c = [Float](repeating: 0, count: rows * columns)
    var tile = [Float](repeating: 0, count: table.edgeFloatCount)
    table.narrow.bytePanel(rows, columns, words, packed, panel, &c, columns, false, &tile, nil, nil, 0, 0)
    table.narrow.bytePanel(rows, columns, words, packed, panel, &c, columns, true, &tile, nil, nil, 0, 0)
    for j in 0..<columns {
      #expect(sums[j] == 5 + (0..<depth).reduce(Int32(0)) { $0 + Int32(b[$1 * columns + j]) })
      for i in 0..<rows {
        let sum = (0..<depth).reduce(Int32(0)) { $0 + Int32(a[i * depth + $1]) * Int32(b[$1 * columns + j]) }
        #expect(Int32(bitPattern: c[i * columns + j].bitPattern) == 2 * sum)
      }
    }
  }

  @Test func bytesComeBackWithinHalfAStep() {
    for table in Kernels.supported {
      let tile = table.gemm.tileColumns
      for depth in Self.depths {
        let rows = numbers(depth * tile, seed: 9, range: 3)
        var magnitudes = [Float](repeating: 0, count: tile)
        table.narrow.columnMagnitudes(rows, depth, &magnitudes)
        for j in 0..<tile {
          #expect(magnitudes[j] == (0..<depth).reduce(0) { max($0, abs(rows[$1 * tile + j])) })
        }
        let scales = magnitudes.map { $0 / 127 }
        var panel = [Float](repeating: 9, count: ElementFormat.int8.words(depth) * tile + 1)
        var sums = [Int32](repeating: 0, count: tile)
        table.narrow.packBytes(rows, depth, magnitudes.map { 127 / $0 }, &panel, &sums)
        #expect(panel.last == 9)
        var back = [Float](repeating: 9, count: depth * tile + 1)
        table.narrow.unpackBytes(panel, depth, scales, &back)
        #expect(back.last == 9)
        // Half a step, and rounding of the scale itself.
        for i in 0..<(depth * tile) { #expect(abs(back[i] - rows[i]) <= 0.5001 * scales[i % tile]) }
      }
    }
  }

  @Test func magnitudesKeepNaN() {
    for table in Kernels.supported {
      #expect(table.narrow.magnitude([], 0) == 0)
      for size in oddSizes where size > 0 {
        var x = numbers(size, seed: 4)
        #expect(table.narrow.magnitude(x, size) == x.reduce(0) { max($0, abs($1)) })
        x[size / 2] = -.infinity
        #expect(table.narrow.magnitude(x, size) == .infinity)
        x[size - 1] = .nan
        #expect(table.narrow.magnitude(x, size).isNaN)
        var columns = [Float](repeating: 0, count: table.gemm.tileColumns)
        var rows = [Float](repeating: 1, count: 3 * table.gemm.tileColumns)
        rows[1] = .nan
        table.narrow.columnMagnitudes(rows, 3, &columns)
        #expect(columns[0] == 1 && columns[1].isNaN)
      }
    }
  }

  @Test func rowsAreQuantisedToNearest() {
    for table in Kernels.supported {
      for size in oddSizes {
        let x = numbers(size, seed: 5, range: 127)
        var out = [UInt8](repeating: 3, count: size + 1)
        table.narrow.quantizeRow(x, 1, &out, size)
        #expect(out[size] == 3)
        for i in 0..<size { #expect(Float(out[i]) == 128 + x[i].rounded(.toNearestOrEven)) }
      }
    }
  }

  @Test func rescaling() {
    for table in Kernels.supported {
      for columns in [1, 3, table.gemm.tileColumns / 2 + 1, table.gemm.tileColumns] {
        let (rows, stride) = (3, columns + 2)
        let integers = (0..<rows * stride).map { Int32($0 * 7919 - 20000) }
        let offsets = (0..<columns).map { Int32($0 * 128 - 640) }
        let scales = numbers(columns, seed: 6).map { abs($0) + 0.1 }
        let bias = numbers(columns, seed: 7)
        let residual = numbers(rows * stride, seed: 8)
        let rowScales: [Float] = [0.5, 1e-3, 2]
        for (hasBias, hasResidual) in [(false, false), (true, false), (true, true), (false, true)] {
          var c = integers.map { Float(bitPattern: UInt32(bitPattern: $0)) }
          bias.withUnsafeBufferPointer { bias in
            residual.withUnsafeBufferPointer { residual in
              table.narrow.rescale(
                rows, columns, &c, stride, rowScales, scales, offsets, hasBias ? bias.baseAddress : nil,
                hasResidual ? residual.baseAddress : nil, stride, Activation.relu.rawValue)
            }
          }
          for i in 0..<rows {
            for j in 0..<stride {
              guard j < columns else {
                #expect(c[i * stride + j].bitPattern == UInt32(bitPattern: integers[i * stride + j]))
                continue
              }
              var e = Double(integers[i * stride + j] - offsets[j]) * Double(rowScales[i]) * Double(scales[j])
              let magnitude = abs(e) + 8
              if hasBias { e += Double(bias[j]) }
              if hasResidual { e += Double(residual[i * stride + j]) }
              // Two roundings of the product of scales and one of the sum.
              #expect(abs(Double(c[i * stride + j]) - max(0, e)) <= 3e-7 * magnitude)
            }
          }
        }
      }
    }
  }

  /// Rows of A as a product reads them: whole register tiles, zero words beyond the depth.
  private func packA(
    _ table: KernelTable, _ rows: Int, _ depth: Int, _ write: (UnsafeMutablePointer<Float>, Int) -> Void
  ) -> [Float] {
    let g = table.gemm
    var packed = [Float](repeating: 0, count: (rows + g.tileRows) * g.rowStride)
    packed.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      for row in 0..<rows { write(base + row * g.rowStride, row) }
    }
    return packed
  }

  /// A row-major depth × columns matrix as `packPanel` leaves it.
  private func packedRows(_ table: KernelTable, _ b: [Float], _ depth: Int, _ columns: Int) -> [Float] {
    var rows = [Float](repeating: 0, count: depth * table.gemm.tileColumns)
    table.packPanel(b, columns, depth, columns, &rows)
    return rows
  }
}
