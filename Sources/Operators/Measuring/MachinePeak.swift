import Glibc
import Graph
import Kernels
import Support

/// What this machine can do on some threads at once, measured: what times are compared with.
public struct MachinePeak: Sendable {
  /// Float32 multiply-adds from first-level cache, counted as two operations.
  public let operationsPerSecond: Double
  /// Bytes read and written by copying memory that no cache holds.
  public let bytesPerSecond: Double

  /// The better of two measurements, by kind.
  public func max(_ other: MachinePeak) -> MachinePeak {
    MachinePeak(
      operationsPerSecond: Swift.max(operationsPerSecond, other.operationsPerSecond),
      bytesPerSecond: Swift.max(bytesPerSecond, other.bytesPerSecond))
  }

  /// Takes about half a second; `small` is for tests of this code and gives no useful figures.
  public static func measure(pool: ThreadPool, small: Bool = false) throws(Failure) -> MachinePeak {
    let g = Kernels.current.gemm
    let depth = 128
    let threads = pool.threads
    let slotFloats = g.tileRows * g.rowStride + depth * g.tileColumns + 2 * g.tileRows * g.tileColumns
    let slots = try HeapBlock(byteCount: 4 * threads * slotFloats)
    let floats = slots.bytes.assumingMemoryBound(to: Float.self)
    for index in floats.indices { floats[index] = Float(index % 7) / 7 }
    let repeats = small ? 10 : 50_000
    let count = small ? 1 << 12 : (1 << 26) / threads
    let from = try HeapBlock(byteCount: count * threads)
    let to = try HeapBlock(byteCount: count * threads)
    for block in [from, to] { block.bytes.initializeMemory(as: UInt8.self, repeating: 1) }
    guard let first = floats.baseAddress, let source = from.bytes.baseAddress, let target = to.bytes.baseAddress else {
      throw Failure(.internalError, "no memory to measure with")
    }
    let product = seconds(runs: small ? 1 : 5) {
      pool.run(chunks: threads) { thread in
        let a = first + thread * slotFloats
        let b = a + g.tileRows * g.rowStride
        let c = b + depth * g.tileColumns
        let tile = c + g.tileRows * g.tileColumns
        for _ in 0..<repeats {
          Kernels.current.gemmPanel(
            g.tileRows, g.tileColumns, depth, a, b, c, g.tileColumns, false, tile, nil, nil, 0, 0)
        }
      }
    }
    let copy = seconds(runs: small ? 1 : 7) {
      pool.run(chunks: threads) { memcpy(target + $0 * count, source + $0 * count, count) }
    }
    withExtendedLifetime((slots, from, to)) {}
    return MachinePeak(
      operationsPerSecond: 2 * Double(threads * repeats * g.tileRows * g.tileColumns * depth) / product,
      bytesPerSecond: 2 * Double(count * threads) / copy)
  }
}

/// Best of several runs, in seconds.
public func seconds<Problem: Error>(runs: Int, _ body: () throws(Problem) -> Void) throws(Problem) -> Double {
  var best = Double.infinity
  for _ in 0..<max(1, runs) {
    var start = timespec()
    var end = timespec()
    clock_gettime(CLOCK_MONOTONIC, &start)
    try body()
    clock_gettime(CLOCK_MONOTONIC, &end)
    best = min(best, Double(end.tv_sec - start.tv_sec) + Double(end.tv_nsec - start.tv_nsec) * 1e-9)
  }
  return best
}
