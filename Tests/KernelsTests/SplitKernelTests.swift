import Testing

@testable import KernelTable
@testable import Kernels

/// Products of numbers that are sums of two bfloat16, for every table of this machine that has them.
@Suite struct SplitKernelTests {
  private static var tables: [(KernelTable, SplitKernels)] {
    Kernels.supported.compactMap { table in table.split.map { (table, $0) } }
  }

  /// Two roundings to 8 bits.
  private static let elementLimit: Float = 0x1p-17

  @Test func weightsComeBack() {
    for (table, split) in Self.tables {
      let tile = table.gemm.tileColumns
      for depth in [0, 32, 64, 256] {
        let rows = numbers(depth * tile, seed: 3, range: 100)
        var panel = [Float](repeating: 9, count: depth * tile + 1)
        split.pack(rows, depth, &panel)
        #expect(panel.last == 9)
        var back = [Float](repeating: 9, count: depth * tile + 1)
        split.unpack(panel, depth, &back)
        #expect(back.last == 9)
        for i in 0..<(depth * tile) { #expect(abs(back[i] - rows[i]) <= Self.elementLimit * abs(rows[i])) }
      }
    }
  }

  /// Products of rows and columns with every kind of edge. Per product, three roundings of 2^-17 (either factor, and low · low
  /// left out), and 2^-24 of the sum of magnitudes per addition, of which there are three per element.
  @Test func panels() {
    for (table, split) in Self.tables {
      for rows in [1, 3, 15, 16, 17, 31, 32, 33, 63, 65] {
        for columns in [1, 7, 15, 16, 17, 31, 32] {
          for depth in [32, 96, 256] {
            check(table, split, rows, columns, depth, halves: false)
            check(table, split, rows, columns, depth, halves: true)
          }
        }
      }
    }
  }

  private func check(
    _ table: KernelTable, _ split: SplitKernels, _ rows: Int, _ columns: Int, _ depth: Int, halves: Bool
  ) {
    let g = table.gemm
    let a = numbers(rows * depth, seed: 1)
    // Float16 numbers.
    let b = numbers(depth * columns, seed: 2).map { Float(Int32($0 * 64)) / 64 }
    var packed = [Float](repeating: .nan, count: rows * g.rowStride)
    packed.withUnsafeMutableBufferPointer { packed in
      guard let base = packed.baseAddress else { return }
      for row in 0..<rows {
        split.splitRow(Array(a[(row * depth)..<((row + 1) * depth)]), base + row * g.rowStride, depth)
      }
    }
    var wide = [Float](repeating: 0, count: depth * g.tileColumns)
    table.packPanel(b, columns, depth, columns, &wide)
    var panel = [Float](repeating: 0, count: depth * g.tileColumns)
    if halves {
      panel.withUnsafeMutableBytes { bytes in
        guard let base = bytes.baseAddress else { return }
        table.toFloat16(wide, base.assumingMemoryBound(to: UInt16.self), wide.count)
      }
    } else {
      split.pack(wide, depth, &panel)
    }
    let stride = columns + 5
    let start = numbers(rows * stride, seed: 3)
    var edge = [Float](repeating: .nan, count: table.edgeFloatCount + 1)
    let kernel = halves ? split.halfPanel : split.panel
    for accumulate in [false, true] {
      var c = start
      kernel(rows, columns, depth, packed, panel, &c, stride, accumulate, &edge, nil, nil, 0, 0)
      #expect(edge[table.edgeFloatCount].isNaN)
      for i in 0..<rows {
        for j in 0..<stride {
          let value = c[i * stride + j]
          guard j < columns else {
            #expect(value == start[i * stride + j])
            continue
          }
          var sum = accumulate ? Double(start[i * stride + j]) : 0
          var magnitude = abs(sum)
          for k in 0..<depth {
            let product = Double(a[i * depth + k]) * Double(b[k * columns + j])
            sum += product
            magnitude += abs(product)
          }
          let limit = (3 * 0x1p-17 + 3 * Double(depth + 1) * 0x1p-24) * magnitude
          #expect(abs(Double(value) - sum) <= limit, "\(rows)×\(columns)×\(depth), row \(i), column \(j)")
        }
      }
    }
  }

  /// The size of an error in practice: a sixtieth of one of bfloat16 products.
  @Test func errorOfLongSums() {
    for (table, split) in Self.tables {
      let (depth, g) = (256, table.gemm)
      let (a, b) = (numbers(32 * depth, seed: 5), numbers(depth * g.tileColumns, seed: 6))
      var packed = [Float](repeating: 0, count: 32 * g.rowStride)
      packed.withUnsafeMutableBufferPointer { packed in
        guard let base = packed.baseAddress else { return }
        for row in 0..<32 {
          split.splitRow(Array(a[(row * depth)..<((row + 1) * depth)]), base + row * g.rowStride, depth)
        }
      }
      var panel = [Float](repeating: 0, count: depth * g.tileColumns)
      split.pack(b, depth, &panel)
      var c = [Float](repeating: 0, count: 32 * g.tileColumns)
      var edge = [Float](repeating: 0, count: table.edgeFloatCount)
      split.panel(32, g.tileColumns, depth, packed, panel, &c, g.tileColumns, false, &edge, nil, nil, 0, 0)
      var (errors, squares) = (0.0, 0.0)
      for i in 0..<32 {
        for j in 0..<g.tileColumns {
          let sum = (0..<depth).reduce(0.0) { $0 + Double(a[i * depth + $1]) * Double(b[$1 * g.tileColumns + j]) }
          errors += (Double(c[i * g.tileColumns + j]) - sum) * (Double(c[i * g.tileColumns + j]) - sum)
          squares += sum * sum
        }
      }
      #expect((errors / squares).squareRoot() < 5e-6)
    }
  }

  /// What is not finite stays so.
  @Test func specialValues() {
    for (table, split) in Self.tables {
      let g = table.gemm
      for special in [Float.nan, .infinity, -.infinity] {
        var row = [Float](repeating: 1, count: 32)
        row[5] = special
        var packed = [Float](repeating: 0, count: g.rowStride)
        split.splitRow(row, &packed, 32)
        var panel = [Float](repeating: 0, count: 32 * g.tileColumns)
        split.pack([Float](repeating: 0.5, count: 32 * g.tileColumns), 32, &panel)
        var c = [Float](repeating: 0, count: g.tileColumns)
        var edge = [Float](repeating: 0, count: table.edgeFloatCount)
        split.panel(1, g.tileColumns, 32, packed, panel, &c, g.tileColumns, false, &edge, nil, nil, 0, 0)
        #expect(c.allSatisfy { !$0.isFinite })
      }
    }
  }

  /// Exponentials of a block are split in place; their sums are those of float32.
  @Test func softmax() {
    for (table, split) in Self.tables {
      let (keys, g) = (96, table.gemm)
      let scores = numbers(keys, seed: 8)
      func run(_ kernel: SoftmaxKernel) -> (line: [Float], state: [Float]) {
        var state = [Float](repeating: 0, count: g.tileColumns)
        var results = [Float](repeating: 0, count: 4)
        var line = scores
        table.attention.begin(1, 4, &state, &results)
        table.attention.maxima(1, keys, line, keys, &state)
        kernel(1, keys, &line, keys, &state, &results, 4)
        return (line, state)
      }
      let (plain, both) = (run(table.attention.softmax), run(split.softmax))
      #expect(plain.state == both.state)
      var again = [Float](repeating: 0, count: keys)
      split.splitRow(plain.line, &again, keys)
      #expect(again == both.line)
    }
  }
}
