import Operators
import Support

extension Ladder {
  /// Share of the machine's peak that a run of this time reaches: of arithmetic, or of memory where that is the limit.
  public func efficiency(seconds: Double, _ peak: MachinePeak) -> Double {
    if let operations { return operations / seconds / peak.operationsPerSecond }
    return bytes / seconds / peak.bytesPerSecond
  }
}
