import Testing

@testable import KernelTable
@testable import Kernels

/// Transform of weights and products in one give the bits of one after the other.
@Suite struct WinogradFusedTests {
  @Test func products() {
    for table in Kernels.supported {
      let transforms = table.smallWinograd
      let g = table.gemm
      #expect((transforms.fused != nil) == table.name.description.hasPrefix("avx512"))
      guard let fused = transforms.fused else { continue }
      let tile = g.tileColumns
      let (frequencies, tiles) = (transforms.frequencies, WinogradFusedKernels.tiles)
      for depth in [1, 3, 15, 16, 17, 33, 65] {
        // Multiples of 1/64 up to 4: float16 holds them.
        let panel = numbers(9 * depth * tile, seed: 1).map { ($0 * 64).rounded() / 64 }
        var halves = [Float](repeating: 0, count: panel.count / 2)
        halves.withUnsafeMutableBytes {
          table.toFloat16(panel, $0.bindMemory(to: UInt16.self).baseAddress.unsafelyUnwrapped, panel.count)
        }
        let (inputStride, productStride) = (tiles * g.rowStride + 16, tiles * tile + 16)
        let v = numbers(frequencies * inputStride, seed: 2)
        var u = [Float](repeating: 0, count: frequencies * depth * tile)
        transforms.weights(panel, depth * tile, depth, 0, 2, &u, depth * tile)
        var scratch = [Float](repeating: 0, count: WinogradFusedKernels.scratchFloatCount + 1)
        scratch[WinogradFusedKernels.scratchFloatCount] = .nan
        for accumulate in [false, true] {
          let before = numbers(frequencies * productStride, seed: 3)
          var expected = before
          for frequency in 0..<frequencies {
            for row in 0..<tiles {
              for column in 0..<tile {
                let place = frequency * productStride + row * tile + column
                var sum = accumulate ? before[place] : 0
                for k in 0..<depth {
                  sum.addProduct(
                    v[frequency * inputStride + row * g.rowStride + k], u[(frequency * depth + k) * tile + column])
                }
                expected[place] = sum
              }
            }
          }
          var (wide, narrow) = (before, before)
          for vector in 0..<2 {
            let first = vector * tile / 2
            wide.withUnsafeMutableBufferPointer {
              fused.products(
                panel, depth * tile, depth, vector, v, inputStride, $0.baseAddress.unsafelyUnwrapped + first,
                productStride, accumulate, &scratch)
            }
            narrow.withUnsafeMutableBufferPointer {
              fused.halfProducts(
                halves, depth * tile / 2, depth, vector, v, inputStride, $0.baseAddress.unsafelyUnwrapped + first,
                productStride, accumulate, &scratch)
            }
          }
          #expect(wide == expected, "\(table.name) \(depth)")
          #expect(narrow == expected, "\(table.name) \(depth), float16")
          #expect(scratch[WinogradFusedKernels.scratchFloatCount].isNaN)
        }
      }
    }
  }
}
