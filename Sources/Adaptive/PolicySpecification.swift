import Support

/// A policy as the option `policy` names it: `NAME[:key=value,…]`, for example `fixed:20`, `words:thresholds=8/10/12/14`,
/// `learned:path=other/policy`. Lists are separated by `/`. A part without `=` is the value of the policy's first key.
public struct PolicySpecification: Sendable, Equatable {
  public var name: String
  public var parameters: [String: String]

  /// Keys of every policy; the first one may be left out.
  static let keys: [String: [String]] = [
    StepPolicyNames.learned: ["path"],
    StepPolicyNames.fixed: ["steps"],
    StepPolicyNames.random: ["weights", "steps"],
    StepPolicyNames.words: ["thresholds", "steps"],
    StepPolicyNames.perplexity: ["path", "thresholds", "steps"],
  ]

  /// Throws `.unknownName` for names and keys that do not exist, `.invalidArgument` and `.outOfRange` for values.
  public init(parsing text: String) throws(Failure) {
    let colon = text.firstIndex(of: ":")
    name = String(text[..<(colon ?? text.endIndex)])
    guard let keys = Self.keys[name], let first = keys.first else {
      throw Failure(
        .unknownName, "there is no step policy '\(name)'",
        expected: "one of \(StepPolicyNames.all.joined(separator: ", "))", actual: text)
    }
    parameters = [:]
    guard let colon else { return }
    for part in text[text.index(after: colon)...].split(separator: ",", omittingEmptySubsequences: false) {
      let equals = part.firstIndex(of: "=")
      let key = equals.map { String(part[..<$0]) } ?? first
      guard keys.contains(key) else {
        throw Failure(
          .unknownName, "the step policy '\(name)' has no parameter '\(key)'",
          expected: "one of \(keys.joined(separator: ", "))", actual: text)
      }
      let value = equals.map { String(part[part.index(after: $0)...]) } ?? String(part)
      guard !value.isEmpty, parameters.updateValue(value, forKey: key) == nil else {
        throw Failure(.invalidArgument, "parameter '\(key)' of a step policy is empty or given twice", actual: text)
      }
    }
    // Values are checked here, so that a wrong one is reported where it is set.
    _ = try steps()
    _ = try numbers("thresholds")
    _ = try numbers("weights")
    if name == StepPolicyNames.fixed, let steps = try steps(), steps.count != 1 {
      throw Failure(.invalidArgument, "the policy 'fixed' takes one number of steps", actual: text)
    }
  }

  /// The parameter `steps`: strictly ascending numbers of steps.
  public func steps() throws(Failure) -> [Int]? {
    guard let text = parameters["steps"] else { return nil }
    return try StepSet.parse(text)
  }

  /// A list of finite numbers.
  func numbers(_ key: String) throws(Failure) -> [Double]? {
    guard let text = parameters[key] else { return nil }
    var numbers: [Double] = []
    for part in text.split(separator: "/", omittingEmptySubsequences: false) {
      guard let number = Double(String(part)), number.isFinite else {
        throw Failure(
          .invalidArgument, "parameter '\(key)' must be numbers separated by '/'", expected: "for example 8/10/12/14",
          actual: text)
      }
      numbers.append(number)
    }
    return numbers
  }
}

/// Sets of step counts to choose from.
public enum StepSet {
  public static let maximumSteps = 1000

  /// Numbers separated by `/`, `,` or spaces, ascending. Throws `.invalidArgument` or `.outOfRange`.
  public static func parse(_ text: String) throws(Failure) -> [Int] {
    var steps: [Int] = []
    for part in text.split(whereSeparator: { "/, ".contains($0) }) {
      guard let number = Int(part) else {
        throw Failure(
          .invalidArgument, "a step set is whole numbers separated by '/'", expected: "for example 10/20/50",
          actual: text)
      }
      steps.append(number)
    }
    try check(steps)
    return steps
  }

  /// Throws `.outOfRange` for numbers outside 1…1000 and `.invalidArgument` for sets that are empty or not ascending.
  public static func check(_ steps: [Int]) throws(Failure) {
    for number in steps where !(1...maximumSteps).contains(number) {
      throw Failure(
        .outOfRange, "a step set holds numbers of steps", expected: "1…\(maximumSteps)", actual: "\(number)")
    }
    guard !steps.isEmpty, zip(steps, steps.dropFirst()).allSatisfy({ $0 < $1 }) else {
      throw Failure(
        .invalidArgument, "a step set must be ascending and not empty", expected: "for example 10/20/50",
        actual: "\(steps)")
    }
  }
}
