import Glibc
import Support

/// DeepCache (Ma, Fang and Wang, CVPR 2024): which calls run the whole network and which only its outer blocks.
public struct FeatureCacheSettings: Sendable, Equatable {
  public let specification: Specification

  private struct Entry: Specifiable {
    let name = "deepcache"
    let parameters = [
      Parameter(
        "branch", .integer(0...1000), default: "0",
        "The skip connection, counted from the output, at which the network is cut; 0 recomputes least."),
      Parameter("interval", .integer(1...1000), default: "3", "One call in so many runs the whole network."),
      Parameter(
        "schedule", .choice(["uniform", "quadratic"]), default: "uniform",
        "quadratic: whole calls gather around the centre (the paper's equation 7)."),
      Parameter("center", .number(0...1), default: "0.3", "Centre of a quadratic schedule, share of the calls."),
      Parameter("power", .number(1...4), default: "1.4", "Exponent of a quadratic schedule."),
    ]
  }

  /// Throws `.unknownName` and the like; see ``Specification``.
  public init(_ text: String) throws(Failure) {
    specification = try Specification(text, table: [Entry()], what: "feature cache")
  }

  public static var parameters: [Parameter] { Entry().parameters }
  public var branch: Int { specification.integer("branch") }
  public var text: String { specification.text }

  /// The calls that run the whole network, ascending; always the first.
  public func wholeCalls(of calls: Int) -> [Int] {
    let interval = specification.integer("interval")
    guard specification.text("schedule") == "quadratic" else { return Array(stride(from: 0, to: calls, by: interval)) }
    let wanted = (calls + interval - 1) / interval
    let center = specification.number("center") * Double(calls)
    // Rounding makes neighbours coincide; a smaller exponent spreads them until enough are distinct.
    var power = specification.number("power")
    while true {
      let low = -pow(center, 1 / power)
      let high = pow(Double(calls) - center, 1 / power)
      var chosen: Set<Int> = [0]
      for index in 0..<wanted {
        let position = low + (high - low) * Double(index) / Double(wanted)
        let value = position < 0 ? center - pow(-position, power) : center + pow(position, power)
        chosen.insert(min(calls - 1, max(0, Int(value))))
      }
      if chosen.count >= wanted || power <= 1.02 { return chosen.sorted() }
      power -= 0.02
    }
  }
}
