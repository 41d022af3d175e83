import Glibc
import Testing

@testable import KernelTable
@testable import Kernels

/// Kernels of products of 16-bit integers, for every table that has them.
@Suite struct Int16KernelTests {
  private static var tables: [(KernelTable, Int16Kernels)] {
    Kernels.supported.compactMap { table in table.int16.map { (table, $0) } }
  }

  private func integer(_ word: Float, _ half: Int) -> Int {
    Int(Int16(truncatingIfNeeded: word.bitPattern >> (16 * UInt32(half))))
  }

  private func rows(_ table: KernelTable, _ values: [Float], _ depth: Int, _ columns: Int) -> [Float] {
    var rows = [Float](repeating: 0, count: depth * table.gemm.tileColumns)
    table.packPanel(values, columns, depth, columns, &rows)
    return rows
  }

  @Test func tablesOfX86HaveThem() {
    #expect(Kernels.supported.allSatisfy { ($0.int16 == nil) == ($0.name.description == "portable") })
  }

  /// Sums are exact, whatever the edges of the tile, also where they need all of 32 bits.
  @Test(arguments: [false, true]) func panels(asBytes: Bool) {
    for (table, int16) in Self.tables {
      let g = table.gemm
      for rows in [1, 3, 4, 5, 15, 17, 33, g.tileRows - 1, g.tileRows, g.tileRows + 1, 2 * g.tileRows] {
        for columns in [1, 3, g.tileColumns / 2, g.tileColumns / 2 + 1, g.tileColumns] {
          for depth in [1, 2, 17, 64, 2 * g.blockDepth - 1] {
            check(table, int16, rows, columns, depth, asBytes)
          }
        }
      }
    }
  }

  private func check(
    _ table: KernelTable, _ int16: Int16Kernels, _ rowCount: Int, _ columns: Int, _ depth: Int, _ asBytes: Bool
  ) {
    let g = table.gemm
    // The first row and column have the largest elements.
    let a = (0..<rowCount * depth).map { $0 < depth ? ($0 < 2 ? -32_700 : 0) : ($0 * 7919) % 1999 - 999 }
    let top = asBytes ? 127 : 32_767
    let b = (0..<depth * columns).map { i in
      i % columns == 0 ? (i / columns < 2 ? top : 0) : (i * 104_729) % min(top, 1999) - min(top, 1999) / 2
    }
    var packed = [Float](repeating: 0, count: (rowCount + g.tileRows) * g.rowStride)
    packed.withUnsafeMutableBytes { bytes in
      let words = bytes.bindMemory(to: Int16.self)
      for row in 0..<rowCount {
        for k in 0..<depth { words[2 * row * g.rowStride + k] = Int16(a[row * depth + k]) }
      }
    }
    let words = ElementFormat.int16.words(depth)
    var panel = [Float](repeating: 0, count: words * g.tileColumns / (asBytes ? 2 : 1))
    let factors = [Float](repeating: 1, count: g.tileColumns)
    (asBytes ? int16.packBytes : int16.pack)(
      self.rows(table, b.map { Float($0) }, depth, columns), depth, factors, &panel)
    var c = [Float](repeating: 0, count: rowCount * columns)
    var tile = [Float](repeating: 0, count: table.edgeFloatCount)
    let kernel = asBytes ? int16.bytePanel : int16.panel
    kernel(rowCount, columns, words, packed, panel, &c, columns, false, &tile, nil, nil, 0, 0)
    let once = c
    kernel(rowCount, columns, words, packed, panel, &c, columns, true, &tile, nil, nil, 0, 0)
    for i in 0..<rowCount {
      for j in 0..<columns {
        let sum = (0..<depth).reduce(0) { $0 + a[i * depth + $1] * b[$1 * columns + j] }
        #expect(Int(Int32(bitPattern: once[i * columns + j].bitPattern)) == sum)
        #expect(Int32(bitPattern: c[i * columns + j].bitPattern) == Int32(truncatingIfNeeded: 2 * sum))
      }
    }
  }

  @Test(arguments: [false, true]) func columnsComeBackWithinHalfAStep(asBytes: Bool) {
    for (table, int16) in Self.tables {
      let tile = table.gemm.tileColumns
      for depth in NarrowKernelTests.depths {
        let rows = numbers(depth * tile, seed: 9, range: 3)
        let limit: Float = asBytes ? 127 : 32_767
        let scales = [Float](repeating: 3 / limit, count: tile)
        let count = ElementFormat.int16.words(depth) * tile / (asBytes ? 2 : 1)
        var panel = [Float](repeating: 9, count: count + 1)
        (asBytes ? int16.packBytes : int16.pack)(rows, depth, scales.map { 1 / $0 }, &panel)
        #expect(panel.last == 9)
        var back = [Float](repeating: 9, count: depth * tile + 1)
        (asBytes ? int16.unpackBytes : int16.unpack)(panel, depth, scales, &back)
        #expect(back.last == 9)
        // Half a step, and float32's rounding.
        for i in 0..<(depth * tile) { #expect(abs(back[i] - rows[i]) <= 0.5 * scales[0] + 1e-6) }
      }
    }
  }

  @Test func squares() {
    for (table, int16) in Self.tables {
      let tile = table.gemm.tileColumns
      for depth in NarrowKernelTests.depths {
        let rows = numbers(depth * tile, seed: 3)
        var squares = [Float](repeating: 2, count: tile)
        int16.columnSquares(rows, depth, &squares)
        for j in 0..<tile {
          let sum = (0..<depth).reduce(2.0) { $0 + Double(rows[$1 * tile + j]) * Double(rows[$1 * tile + j]) }
          // An addition's rounding per row.
          #expect(abs(Double(squares[j]) - sum) <= sum * Double(depth + 1) * 0x1p-24)
        }
      }
    }
  }

  @Test func rowsAreRoundedToNearest() {
    for (_, int16) in Self.tables {
      for size in oddSizes {
        let x = numbers(size, seed: 5, range: 32_700)
        var out = [Int16](repeating: 3, count: size + 1)
        int16.quantizeRow(x, 1, &out, size)
        #expect(out[size] == 3)
        for i in 0..<size { #expect(Float(out[i]) == x[i].rounded(.toNearestOrEven)) }
      }
    }
  }

  /// Integers of 2,047 times the exponentials, whose sum is that of the exponentials to a unit per lane, zeros up to whole words.
  @Test func softmax() {
    for (table, int16) in Self.tables {
      let tile = table.gemm.tileColumns
      for keys in [1, 3, 7, 15, 16, 17, 31, 33, 63, 65, 256] {
        for range in [Float(0.1), 20] {
          let (rowCount, valueSize, stride) = (3, 5, 288)
          var states = [Float](repeating: 0, count: rowCount * tile)
          for row in 0..<rowCount { states[row * tile + tile / 2] = -.infinity }
          var results = [Float](repeating: 0, count: rowCount * valueSize)
          var scores = numbers(rowCount * stride, seed: 1, range: range)
          // One large score and many whose exponentials are a sixth of a unit.
          for key in 0..<keys { scores[2 * stride + key] = key == 0 ? 0 : -13.6 }
          let first = scores
          table.attention.maxima(rowCount, keys, scores, stride, &states)
          int16.softmax(rowCount, keys, &scores, stride, &states, &results, valueSize)
          for row in 0..<rowCount {
            let line = (0..<keys).map { Double(first[row * stride + $0]) }
            let top = line.max() ?? 0
            let exact = line.map { 2047 * Glibc.exp2($0 - top) }
            let stored = (0..<2 * ((keys + 1) / 2)).map { integer(scores[row * stride + $0 / 2], $0 % 2) }
            for key in 0..<keys {
              // Half a unit of its own, half of one before, and the coarser exponential's 1e-4.
              #expect(abs(Double(stored[key]) - exact[key]) <= 1.01 + 1e-4 * exact[key])
            }
            #expect(stored.dropFirst(keys).allSatisfy { $0 == 0 } && stored.allSatisfy { (0...2048).contains($0) })
            let sum = stored.reduce(0, +)
            #expect(states[row * tile..<row * tile + tile / 2].reduce(0, +) == Float(sum))
            let total = exact.reduce(0, +)
            #expect(abs(Double(sum) - total) <= 0.5 * Double(min(keys, tile)) + 1e-4 * total)
          }
        }
      }
    }
  }

  @Test func integersAreAdded() {
    for (table, int16) in Self.tables {
      for columns in [1, 3, table.gemm.tileColumns / 2 + 1, table.gemm.tileColumns] {
        let integers = (0..<3 * 40).map { Int32($0 * 7919 - 200_000) }
        let scales = numbers(columns, seed: 6)
        let start = numbers(3 * 50, seed: 7)
        var out = start
        int16.addScaled(
          3, columns, integers.map { Float(bitPattern: UInt32(bitPattern: $0)) }, 40, scales, &out, 50)
        for row in 0..<3 {
          for j in 0..<50 {
            let before = start[row * 50 + j]
            let added = j < columns ? Float(integers[row * 40 + j]) * scales[j] : 0
            #expect(abs(out[row * 50 + j] - (before + added)) <= 1e-6 * abs(added))
          }
        }
      }
    }
  }
}
