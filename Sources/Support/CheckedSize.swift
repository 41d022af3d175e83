/// Sizes computed from untrusted numbers: every function reports overflow as a `Failure`, none traps.
public enum CheckedSize {
  /// The largest number of bytes one tensor may have: 2^46 (64 TiB), beyond any machine's memory but safe to add up.
  public static let maximumBytes = 1 << 46

  public static func product(_ factors: [Int], of what: String) throws(Failure) -> Int {
    var total = 1
    for factor in factors {
      guard factor >= 0 else { throw Failure(.outOfRange, "negative size \(factor) in \(what) \(factors)") }
      let (value, overflow) = total.multipliedReportingOverflow(by: factor)
      guard !overflow, value <= maximumBytes else {
        // A later zero would make the product zero; such shapes are as suspicious as the overflow itself.
        throw Failure(.outOfMemory, "\(what) \(factors) is too large")
      }
      total = value
    }
    return total
  }

  public static func sum(_ a: Int, _ b: Int, of what: String) throws(Failure) -> Int {
    let (value, overflow) = a.addingReportingOverflow(b)
    guard !overflow else { throw Failure(.outOfMemory, "\(what) is too large") }
    return value
  }
}
