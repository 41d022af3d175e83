import Glibc
import Testing

@testable import KernelTable
@testable import Kernels

@Suite struct AttentionKernelTests {
  /// States of rows before the block at hand.
  private func states(_ table: KernelTable, rows: Int, maximum: Float = -.infinity, sum: Float = 0) -> [Float] {
    let tile = table.gemm.tileColumns
    var states = [Float](repeating: 0, count: rows * tile)
    for row in 0..<rows {
      states[row * tile] = sum
      states[row * tile + tile / 2] = maximum
    }
    return states
  }

  private func maximum(_ states: [Float], _ table: KernelTable, row: Int) -> Float {
    states[row * table.gemm.tileColumns + table.gemm.tileColumns / 2]
  }

  private func sum(_ states: [Float], _ table: KernelTable, row: Int) -> Float {
    let tile = table.gemm.tileColumns
    return states[row * tile..<row * tile + tile / 2].reduce(0, +)
  }

  private func softmax(
    _ table: KernelTable, _ rows: Int, _ keys: Int, _ scores: inout [Float], _ stride: Int, _ state: inout [Float],
    _ results: inout [Float], _ valueSize: Int
  ) {
    table.attention.maxima(rows, keys, scores, stride, &state)
    table.attention.softmax(rows, keys, &scores, stride, &state, &results, valueSize)
  }

  /// Two blocks of keys give the softmax, in base 2, of all keys.
  @Test func softmaxOfTwoBlocks() {
    for table in Kernels.supported {
      for keys in [1, 3, 7, 15, 17, 31, 33, 63, 65] {
        let (rows, valueSize, stride) = (3, 5, 101)
        let room = (keys + table.gemm.tileColumns - 1) / table.gemm.tileColumns * table.gemm.tileColumns
        var state = states(table, rows: rows)
        var results = [Float](repeating: 0, count: rows * valueSize)
        let first = numbers(rows * stride, seed: 1, range: 20)
        let second = numbers(rows * stride, seed: 2, range: 30)
        var scores = first
        softmax(table, rows, keys, &scores, stride, &state, &results, valueSize)
        // Results as if every value were 1: they shrink together with the sums.
        for row in 0..<rows { for i in 0..<valueSize { results[row * valueSize + i] = sum(state, table, row: row) } }
        #expect((keys..<room).allSatisfy { scores[$0] == 0 })
        #expect((room..<stride).allSatisfy { scores[$0] == first[$0] })
        var more = second
        softmax(table, rows, keys, &more, stride, &state, &results, valueSize)
        for row in 0..<rows {
          let a = (0..<keys).map { Double(first[row * stride + $0]) }
          let b = (0..<keys).map { Double(second[row * stride + $0]) }
          let top = (a + b).max() ?? 0
          #expect(Double(maximum(state, table, row: row)) == top)
          let early = a.reduce(0) { $0 + Glibc.exp2($1 - top) }
          let total = b.reduce(early) { $0 + Glibc.exp2($1 - top) }
          #expect(abs(Double(sum(state, table, row: row)) - total) < 1e-6 * total)
          #expect(abs(Double(results[row * valueSize]) - early) < 1e-6 * max(early, 1e-3))
          for i in 0..<keys { #expect(abs(Double(more[row * stride + i]) - Glibc.exp2(b[i] - top)) < 5e-7) }
        }
      }
    }
  }

  @Test func specialValues() {
    for table in Kernels.supported {
      var state = states(table, rows: 2)
      var results: [Float] = [0, 0]
      // A row that sees nothing, and one with a single visible key.
      var scores = [Float](repeating: -.infinity, count: 64)
      scores[33] = 2
      softmax(table, 2, 3, &scores, 32, &state, &results, 1)
      #expect(scores[0..<3] == [0, 0, 0] && scores[32..<35] == [0, 1, 0])
      #expect(sum(state, table, row: 0) == 0 && sum(state, table, row: 1) == 1)
      var nan = [Float](repeating: 1, count: 64)
      nan[37] = .nan
      state = states(table, rows: 1)
      softmax(table, 1, 40, &nan, 64, &state, &results, 1)
      #expect(sum(state, table, row: 0).isNaN && nan[37].isNaN)
      #expect(nan[0] == 1)
      // Every NaN, not only those without a payload.
      var other = [Float](repeating: 1, count: 64)
      other[5] = Float(bitPattern: 0x7FC0_0155)
      state = states(table, rows: 1)
      softmax(table, 1, 40, &other, 64, &state, &results, 1)
      #expect(other[5].isNaN && other[6] == 1)
    }
  }

  /// Down to the least normal number as exact as elsewhere; what is smaller may be zero.
  @Test func smallPowers() {
    for table in Kernels.supported {
      let scores: [Float] = [
        0, -1.5, -100.25, -124.5, -125.4, -125.6, -125.99, -126.01, -127, -149, -160, -1000, -3e38,
      ]
      var powers = scores + [Float](repeating: 0, count: 64 - scores.count)
      var (state, results) = (states(table, rows: 1), [Float](repeating: 0, count: 1))
      softmax(table, 1, scores.count, &powers, 64, &state, &results, 1)
      for (score, power) in zip(scores, powers) {
        let exact = Glibc.exp2(Double(score))
        if score > -126 {
          // The polynomial's 9e-8 and a rounding.
          #expect(abs(Double(power) - exact) < 2e-7 * exact, "\(table.name) \(score)")
        } else {
          #expect(power >= 0 && power < .leastNormalMagnitude, "\(table.name) \(score)")
        }
      }
    }
  }

  /// The same softmax; exponentials rounded to bfloat16, within that rounding and the coarser exponential's 1e-4, and zeros
  /// up to whole words.
  @Test func softmaxPairs() {
    for table in Kernels.supported {
      for keys in [1, 3, 7, 15, 16, 17, 31, 33, 63, 65] {
        let (rows, valueSize, stride) = (3, 5, 96)
        var state = states(table, rows: rows, maximum: -3, sum: 2)
        var results = [Float](repeating: 8, count: rows * valueSize)
        let first = numbers(rows * stride, seed: 1, range: 20)
        var scores = first
        table.attention.maxima(rows, keys, scores, stride, &state)
        table.attention.softmaxPairs(rows, keys, &scores, stride, &state, &results, valueSize)
        for row in 0..<rows {
          let line = (0..<keys).map { Double(first[row * stride + $0]) }
          let top = max(-3, line.max() ?? 0)
          let total = line.reduce(2 * Glibc.exp2(-3 - top)) { $0 + Glibc.exp2($1 - top) }
          #expect(Double(maximum(state, table, row: row)) == top)
          // A sum may be of the rounded exponentials.
          #expect(abs(Double(sum(state, table, row: row)) - total) < 0.0041 * total)
          #expect(abs(Double(results[row * valueSize]) - 8 * Glibc.exp2(-3 - top)) < 1e-5)
          for i in 0..<(keys + 1) / 2 * 2 {
            let word = scores[row * stride + i / 2].bitPattern
            let value = Float(bitPattern: i % 2 == 0 ? word << 16 : word & 0xFFFF_0000)
            let expected = i < keys ? Glibc.exp2(line[i] - top) : 0
            #expect(abs(Double(value) - expected) <= 0.0041 * expected + 1e-37, "\(table.name) \(keys) \(i)")
          }
        }
      }
    }
  }

  /// Integers to scores, and their maxima.
  @Test func integerScores() {
    for table in Kernels.supported {
      for keys in [1, 3, 15, 16, 17, 31, 33, 63, 65] {
        let (rows, stride) = (3, 97)
        let products = numbers(rows * stride, seed: 1, range: 9000).map { Int32($0) }
        let offsets = numbers(keys, seed: 2, range: 4000).map { Int32($0) }
        let keyScales = numbers(keys, seed: 3).map { abs($0) + 0.1 }
        let rowScales: [Float] = [0.5, 0.001, 2]
        var scores = products.map { Float(bitPattern: UInt32(bitPattern: $0)) }
        var state = states(table, rows: rows, maximum: -3)
        table.attention.integerScores(rows, keys, &scores, stride, rowScales, keyScales, offsets, &state)
        for row in 0..<rows {
          let expected = (0..<keys).map { key in
            Float(products[row * stride + key] - offsets[key]) * (keyScales[key] * rowScales[row])
          }
          #expect(scores[row * stride..<row * stride + keys] == expected[...], "\(table.name) \(keys)")
          let place = row * table.gemm.tileColumns + table.gemm.tileColumns / 2
          #expect(state[place] == -3 && state[place + 1] == max(-3, expected.max() ?? 0))
        }
      }
    }
  }

  @Test func divide() {
    for table in Kernels.supported {
      for size in [1, 7, 16, 33, 65] {
        var state = states(table, rows: 2, sum: 4)
        state[1] = 1
        let results = numbers(2 * size, seed: 1)
        var y = [Float](repeating: 7, count: 2 * 70)
        table.attention.divide(2, size, results, state, &y, 70)
        for row in 0..<2 {
          for i in 0..<70 {
            #expect(y[row * 70 + i] == (i < size ? results[row * size + i] / (row == 0 ? 5 : 4) : 7))
          }
        }
        // Addresses past the end do no harm, nor does asking for nothing.
        table.attention.prefetchRows(2, size, results, 70)
        table.attention.prefetchRows(0, size, results, 70)
      }
    }
  }

  @Test func rowsAreScaledAndBegun() {
    for table in Kernels.supported {
      let tile = table.gemm.tileColumns
      for size in [0, 1, 7, 16, 33, 65] {
        let x = numbers(3 * 70, seed: 1)
        var y = [Float](repeating: 7, count: 3 * 80)
        table.attention.scaleRows(3, size, x, 70, 0.25, &y, 80)
        for row in 0..<3 {
          for i in 0..<80 { #expect(y[row * 80 + i] == (i < size ? x[row * 70 + i] * 0.25 : 7)) }
        }
        var states = [Float](repeating: .nan, count: 3 * tile)
        var results = [Float](repeating: .nan, count: 3 * size + 1)
        table.attention.begin(3, size, &states, &results)
        for row in 0..<3 {
          #expect(states[(row * tile)..<(row * tile + tile / 2)].allSatisfy { $0 == 0 })
          #expect(states[row * tile + tile / 2] == -.infinity)
        }
        #expect(results.dropLast().allSatisfy { $0 == 0 } && results[3 * size].isNaN)
      }
    }
  }
}
