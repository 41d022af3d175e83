import Glibc
import KernelTable
import Kernels

/// What this machine can do on one thread, measured.
public struct Peak: Sendable {
  /// Multiply-adds from first-level cache, counted as two operations.
  public let operationsPerSecond: Double
  /// Bytes read and written by copying memory that no cache holds.
  public let bytesPerSecond: Double

  /// The better of two measurements, by kind.
  public func max(_ other: Peak) -> Peak {
    Peak(
      operationsPerSecond: Swift.max(operationsPerSecond, other.operationsPerSecond),
      bytesPerSecond: Swift.max(bytesPerSecond, other.bytesPerSecond))
  }

  public static func measure(small: Bool = false) -> Peak {
    let g = Kernels.current.gemm
    let depth = 128
    let a = numbers(g.tileRows * g.rowStride, seed: 1)
    let b = numbers(depth * g.tileColumns, seed: 2)
    var c = [Float](repeating: 0, count: g.tileRows * g.tileColumns)
    var tile = c
    let repeats = small ? 10 : 100_000
    let product = seconds(runs: small ? 1 : 5) {
      for _ in 0..<repeats {
        Kernels.current.gemmPanel(g.tileRows, g.tileColumns, depth, a, b, &c, g.tileColumns, false, &tile)
      }
    }
    let count = small ? 1 << 12 : 1 << 26
    let from = [UInt8](repeating: 1, count: count)
    var to = from
    let copy = seconds(runs: small ? 1 : 7) { to.withUnsafeMutableBytes { $0.copyBytes(from: from) } }
    return Peak(
      operationsPerSecond: 2 * Double(repeats * g.tileRows * g.tileColumns * depth) / product,
      bytesPerSecond: 2 * Double(count) / copy)
  }
}

extension Ladder {
  /// Share of the machine's peak that a run of this time reaches: of arithmetic, or of memory where that is the limit.
  public func efficiency(seconds: Double, _ peak: Peak) -> Double {
    if let operations { return operations / seconds / peak.operationsPerSecond }
    return bytes / seconds / peak.bytesPerSecond
  }
}
