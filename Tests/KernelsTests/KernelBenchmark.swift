import Glibc
import Testing

@testable import KernelTable
@testable import Kernels

/// Speeds of the kernels per table: `ADADIFF_BENCH=1 swift test … --filter KernelBenchmark` prints them; as a test they
/// only have to run. The FMA peak of one core is 2 · 2 · lanes · GHz GFLOP/s.
@Suite struct KernelBenchmark {
  static func seconds(_ body: () -> Void) -> Double {
    var best = Double.infinity
    for _ in 0..<(getenv("ADADIFF_BENCH") == nil ? 1 : 20) {
      var start = timespec()
      var end = timespec()
      clock_gettime(CLOCK_MONOTONIC, &start)
      body()
      clock_gettime(CLOCK_MONOTONIC, &end)
      best = min(best, Double(end.tv_sec - start.tv_sec) + Double(end.tv_nsec - start.tv_nsec) * 1e-9)
    }
    return best
  }

  @Test func kernels() {
    for table in Kernels.supported {
      let g = table.gemm
      let rows = 16 * g.tileRows
      let a = numbers(rows * g.rowStride)
      let b = numbers(g.blockDepth * g.tileColumns)
      var c = [Float](repeating: 0, count: rows * g.tileColumns)
      var tile = [Float](repeating: 0, count: table.edgeFloatCount)
      let gemm = Self.seconds {
        for _ in 0..<8 {
          table.gemmPanel(rows, g.tileColumns, g.blockDepth, a, b, &c, g.tileColumns, false, &tile, nil, nil, 0, 0)
        }
      }
      let flops = 8.0 * 2 * Double(rows * g.tileColumns * g.blockDepth)
      let x = numbers(4096)
      var y = [Float](repeating: 0, count: 4096)
      let silu = Self.seconds { table.silu(x, &y, 4096) } / 4096 * 1e9
      let gelu = Self.seconds { table.gelu(x, &y, 4096) } / 4096 * 1e9
      let softmax = Self.seconds { table.softmaxRow(x, &y, 4096) } / 4096 * 1e9
      if getenv("ADADIFF_BENCH") != nil {
        print(
          table.name, "gemm", flops / gemm * 1e-9, "GFLOP/s; ns per element: silu", silu, "gelu", gelu, "softmax",
          softmax)
      }
      #expect(gemm > 0)
    }
  }
}
