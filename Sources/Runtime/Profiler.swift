import Graph

/// Time spent per node of one run, in the order the nodes ran. Not for use by several runs at once.
public final class Profiler {
  public struct Entry: Sendable {
    public var node: String
    public var operatorType: String
    public var seconds: Double
    /// The algorithm, where there are several.
    public var kernel: String?
    public var multiplyAccumulates: Int
    /// Activations read and written.
    public var byteCount: Int
  }

  /// Several entries taken together.
  public struct Total: Sendable {
    public var operatorType: String
    public var kernel: String?
    /// The node's name; nil in totals over several nodes.
    public var node: String?
    public var seconds = 0.0
    public var runs = 0
    public var multiplyAccumulates = 0
    public var byteCount = 0
  }

  public private(set) var entries: [Entry] = []

  public init() {}

  func add(_ node: Node, seconds: Double, cost: Plan.Cost = Plan.Cost()) {
    entries.append(
      Entry(
        node: node.name, operatorType: node.qualifiedOperator, seconds: seconds, kernel: cost.kernel,
        multiplyAccumulates: cost.multiplyAccumulates, byteCount: cost.byteCount))
  }

  /// By operator and algorithm, slowest first.
  public var byOperator: [Total] {
    totals { "\($0.operatorType)|\($0.kernel ?? "")" }.sorted { $0.seconds > $1.seconds }
  }

  /// By node, in the order the nodes first ran.
  public var byNode: [Total] { totals { "\($0.node)|\($0.operatorType)" } }

  private func totals(_ key: (Entry) -> String) -> [Total] {
    var totals: [Total] = []
    var places: [String: Int] = [:]
    for entry in entries {
      let key = key(entry)
      let place = places[key] ?? totals.count
      if place == totals.count {
        places[key] = place
        totals.append(Total(operatorType: entry.operatorType, kernel: entry.kernel, node: entry.node))
      }
      if totals[place].node != entry.node { totals[place].node = nil }
      totals[place].seconds += entry.seconds
      totals[place].runs += 1
      totals[place].multiplyAccumulates += entry.multiplyAccumulates
      totals[place].byteCount += entry.byteCount
    }
    return totals
  }
}
