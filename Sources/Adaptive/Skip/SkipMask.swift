import Support

/// What each call of a run did, as letters: `R` run, `S` reuse, `E` extrapolate, `P` partial. `1` and `0` also mean run
/// and skip.
public struct SkipMask: Sendable, Equatable {
  public enum Entry: Sendable, Equatable {
    case run
    case reuse
    case extrapolate
    case partial
    /// Skipped by whatever prediction the rule is set to.
    case skip
  }

  public var entries: [Entry]

  public init(_ entries: [Entry]) { self.entries = entries }

  public init(_ actions: [StepAction]) {
    entries = actions.map {
      switch $0 {
      case .run: .run
      case .reuse: .reuse
      case .extrapolate: .extrapolate
      case .partial: .partial
      }
    }
  }

  /// Runs at the given calls, skips elsewhere.
  public init(runs: [Int], calls: Int) {
    let runs = Set(runs)
    entries = (0..<calls).map { runs.contains($0) ? .run : .skip }
  }

  /// Throws `.invalidArgument` for an empty text, another letter, or a mask that starts with a skip.
  public init(_ text: String) throws(Failure) {
    entries = []
    for letter in text {
      switch letter {
      case "R", "r", "1": entries.append(.run)
      case "S", "s": entries.append(.reuse)
      case "E", "e": entries.append(.extrapolate)
      case "P", "p": entries.append(.partial)
      case "0": entries.append(.skip)
      default:
        throw Failure(
          .invalidArgument, "a mask holds letters for steps", component: "skip",
          expected: "R or 1 (run), S (reuse), E (extrapolate), P (partial), 0 (skip)", actual: "'\(letter)'")
      }
    }
    guard entries.first == .run else {
      throw Failure(
        .invalidArgument, "a mask must start with a run: there is nothing to reuse yet", component: "skip",
        expected: "R…", actual: text.isEmpty ? "an empty mask" : text)
    }
  }

  /// Calls without any part of the network.
  public var skips: Int { entries.count { $0 != .run && $0 != .partial } }

  public var text: String {
    String(
      entries.map { entry -> Character in
        switch entry {
        case .run: "R"
        case .reuse: "S"
        case .extrapolate: "E"
        case .partial: "P"
        case .skip: "0"
        }
      })
  }

  /// The same pattern over another number of calls: the n-th network call keeps its relative position.
  public func resampled(to calls: Int) -> SkipMask {
    guard calls != entries.count, calls > 1, entries.count > 1 else { return self }
    let scale = Double(calls - 1) / Double(entries.count - 1)
    var result = [Entry](repeating: .skip, count: calls)
    for (index, entry) in entries.enumerated() where entry == .run || entry == .partial {
      let target = Int((Double(index) * scale).rounded())
      if result[target] != .run { result[target] = entry }
    }
    result[0] = .run
    return SkipMask(result)
  }
}
