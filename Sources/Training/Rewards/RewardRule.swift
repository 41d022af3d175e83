import Glibc
import Support

/// How a metric's numbers become the quality Q of the reward.
public enum QualityScale: String, Sendable, CaseIterable {
  /// As they are (ImageReward's are standardised already).
  case none
  /// Mean 0 and deviation 1 over the table.
  case standard
  /// The logistic of the standardised number: 0…1, for metrics with long tails.
  case logistic
}

/// The reward of a number of steps (AdaDiff, AAAI 2025):
/// `R = (1 − t / S_max) + λ · Q` where Q is among the `topK` best of its prompt's step set, else `−γ`.
public struct RewardRule: Sendable {
  public enum Gate: Sendable, Equatable {
    /// Q must be among the k best of the same prompt and seed; equal values share the better rank.
    case top(Int)
    /// Q must be at least this, after scaling.
    case threshold(Double)
    /// Quality does not count: R = 1 − t / S_max.
    case stepsOnly
  }

  /// λ; 2 in the paper.
  public var qualityWeight = 2.0
  /// γ; no version of the paper prints it.
  public var penalty = 0.5
  public var gate = Gate.top(3)
  public var scale = QualityScale.none
  /// Metrics with weights; empty: the table's first one with weight 1.
  public var mixture: [(name: String, weight: Double)] = []
  /// Mean and deviation per metric for the scale; nil: those of the table. A policy's file keeps those of its training.
  public var moments: [String: Moments]?

  public struct Moments: Sendable, Equatable {
    public var mean: Double
    /// Positive.
    public var deviation: Double

    init(_ values: [Double]) {
      let count = Double(max(1, values.count))
      let mean = values.reduce(0, +) / count
      self.mean = mean
      let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / count
      deviation = variance > 0 ? variance.squareRoot() : 1
    }

    init(mean: Double, deviation: Double) {
      self.mean = mean
      self.deviation = deviation
    }
  }

  /// Metrics and weights on this table.
  func parts(_ table: RewardTable) -> [(name: String, weight: Double)] {
    mixture.isEmpty ? table.metricNames.prefix(1).map { ($0, 1.0) } : mixture
  }

  /// The same rule with everything that it takes from a table written out.
  public func settled(on table: RewardTable) -> RewardRule {
    var rule = self
    rule.mixture = parts(table)
    if scale != .none {
      let own = rule.mixture.map { ($0.name, moments?[$0.name] ?? Moments(table.metrics[$0.name] ?? [])) }
      rule.moments = Dictionary(own, uniquingKeysWith: { first, _ in first })
    }
    return rule
  }

  public init() {}

  /// `name[:weight]` separated by commas, for example `reward` or `reward:1,niqe:-0.1`.
  public static func mixture(parsing text: String) throws(Failure) -> [(name: String, weight: Double)] {
    var parts: [(name: String, weight: Double)] = []
    for part in text.split(separator: ",") {
      let colon = part.lastIndex(of: ":")
      let weight = colon.map { Double(String(part[part.index(after: $0)...])) } ?? 1
      guard let weight, weight.isFinite else {
        throw Failure(
          .invalidArgument, "metrics are named as name[:weight], separated by commas", expected: "reward:1,niqe:-0.1",
          actual: text)
      }
      parts.append((String(part[..<(colon ?? part.endIndex)]), weight))
    }
    return parts
  }

  /// Q of every unit and number of steps, (units × step counts).
  public func quality(_ table: RewardTable) throws(Failure) -> [Double] {
    var total = [Double](repeating: 0, count: table.units.count * table.stepSet.count)
    for (name, weight) in parts(table) {
      guard let values = table.metrics[name] else {
        throw Failure(
          .unknownName, "the table has no metric '\(name)'", component: "table",
          expected: "one of \(table.metricNames.joined(separator: ", "))", actual: name)
      }
      // In a mixture every metric is scaled by itself, so that weights compare like with like.
      let scaledValues = scaled(values, moments?[name] ?? Moments(values))
      for (index, value) in scaledValues.enumerated() { total[index] += weight * value }
    }
    return total
  }

  private func scaled(_ values: [Double], _ moments: Moments) -> [Double] {
    guard scale != .none else { return values }
    return values.map { value in
      let standard = (value - moments.mean) / moments.deviation
      return scale == .standard ? standard : 1 / (1 + exp(-standard))
    }
  }

  /// Rewards of one unit.
  public func rewards(quality: ArraySlice<Double>, stepSet: [Int]) -> [Double] {
    let largest = Double(stepSet.last ?? 1)
    return zip(quality, stepSet).map { value, steps in
      let saved = 1 - Double(steps) / largest
      let passes: Bool
      switch gate {
      case .stepsOnly: return saved
      case .threshold(let least): passes = value >= least
      case .top(let k): passes = quality.count { $0 > value } < k
      }
      return passes ? saved + qualityWeight * value : -penalty
    }
  }

  /// Rewards of every prompt, averaged over its seeds: (prompts × step counts).
  public func rewards(_ table: RewardTable) throws(Failure) -> [[Double]] {
    let quality = try quality(table)
    let choices = table.stepSet.count
    var all: [Double] = []
    all.reserveCapacity(quality.count)
    for unit in table.units.indices {
      all += rewards(quality: quality[unit * choices..<(unit + 1) * choices], stepSet: table.stepSet)
    }
    return table.promptMeans(all)
  }

  /// A rule that `json` wrote; nil for anything else.
  public init?(json: JSON) {
    guard let weight = json["lambda"]?.double, let penalty = json["gamma"]?.double,
      let scale = json["scale"]?.string.flatMap(QualityScale.init(rawValue:))
    else { return nil }
    (qualityWeight, self.penalty, self.scale) = (weight, penalty, scale)
    switch (json["gate"]?.string, json["top_k"]?.int, json["threshold"]?.double) {
    case ("top", let k?, _): gate = .top(k)
    case ("threshold", _, let least?): gate = .threshold(least)
    case ("steps", _, _): gate = .stepsOnly
    default: return nil
    }
    for part in json["metrics"]?.array ?? [] {
      guard let name = part["name"]?.string, let weight = part["weight"]?.double else { return nil }
      mixture.append((name, weight))
      if let mean = part["mean"]?.double, let deviation = part["deviation"]?.double, deviation > 0 {
        moments = (moments ?? [:]).merging([name: Moments(mean: mean, deviation: deviation)]) { _, new in new }
      }
    }
  }

  public var json: JSON {
    var members: [String: JSON] = [
      "lambda": JSON(qualityWeight), "gamma": JSON(penalty), "scale": JSON(scale.rawValue),
      "metrics": .array(
        mixture.map { part in
          var members = ["name": JSON(part.name), "weight": JSON(part.weight)]
          if let moments = moments?[part.name] {
            members["mean"] = JSON(moments.mean)
            members["deviation"] = JSON(moments.deviation)
          }
          return .object(members)
        }),
    ]
    switch gate {
    case .top(let k):
      members["gate"] = "top"
      members["top_k"] = JSON(k)
    case .threshold(let least):
      members["gate"] = "threshold"
      members["threshold"] = JSON(least)
    case .stepsOnly: members["gate"] = "steps"
    }
    return .object(members)
  }
}
