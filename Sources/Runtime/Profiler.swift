import Graph

/// Time spent per node of one run, in the order the nodes ran. Not for use by several runs at once.
public final class Profiler {
  public struct Entry: Sendable {
    public var node: String
    public var operatorType: String
    public var seconds: Double
  }

  public private(set) var entries: [Entry] = []

  public init() {}

  func add(_ node: Node, seconds: Double) {
    entries.append(Entry(node: node.name, operatorType: node.qualifiedOperator, seconds: seconds))
  }

  /// Seconds and number of runs per operator type, slowest first.
  public var byOperator: [(operatorType: String, seconds: Double, runs: Int)] {
    var totals: [String: (seconds: Double, runs: Int)] = [:]
    for entry in entries {
      let known = totals[entry.operatorType] ?? (0, 0)
      totals[entry.operatorType] = (known.seconds + entry.seconds, known.runs + 1)
    }
    return totals.map { ($0.key, $0.value.seconds, $0.value.runs) }.sorted { $0.seconds > $1.seconds }
  }
}
