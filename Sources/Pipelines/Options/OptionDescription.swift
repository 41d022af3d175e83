import Graph
import Support

/// A value as a caller gives it.
public enum OptionValue: Sendable {
  case text(String)
  case int(Int)
  case float(Double)
  case bool(Bool)
  case floats(Tensor)

  var kindName: String {
    switch self {
    case .text: "string"
    case .int: "int"
    case .float: "float"
    case .bool: "bool"
    case .floats: "floats"
    }
  }
}

/// One named option: its type, range, default and meaning. Raw values of the enums are those of the C interface.
public struct OptionDescription: Sendable {
  public enum Kind: Int32, Sendable {
    case string = 0
    case int = 1
    case float = 2
    case bool = 3
    case floats = 4

    var name: String { "\(self)" }
  }

  public enum Scope: Int32, Sendable {
    case open = 1
    case run = 2
    case openAndRun = 3
    /// Collecting, training and evaluating policies.
    case policy = 4
  }

  public let name: String
  public let kind: Kind
  public let scope: Scope
  public let range: ClosedRange<Double>?
  public let defaultText: String
  public let choices: [String]
  public let documentation: String
  /// Whether the text `auto` is allowed and means nil.
  let allowsAuto: Bool
  let bounds: ClosedRange<Int>?
  /// Stores a checked value of the right kind; nil is `auto`.
  let store: @Sendable (inout NamedOptions, OptionValue?) throws -> Void
  let reset: @Sendable (inout NamedOptions) -> Void

  init<Stored: Sendable>(
    _ name: String, _ kind: Kind, _ scope: Scope, at path: WritableKeyPath<NamedOptions, Stored> & Sendable,
    default defaultText: String, choices: [String] = [], auto: Bool = false, bounds: ClosedRange<Int>? = nil,
    range: ClosedRange<Double>? = nil, _ documentation: String,
    convert: @escaping @Sendable (OptionValue?) throws -> Stored?
  ) {
    self.name = name
    self.kind = kind
    self.scope = scope
    self.range = range ?? bounds.map { Double($0.lowerBound)...Double($0.upperBound) }
    self.defaultText = defaultText
    self.choices = choices
    self.documentation = documentation
    allowsAuto = auto
    self.bounds = bounds
    store = { options, value in
      guard let converted = try convert(value) else {
        throw Failure(.internalError, "option '\(name)' cannot store \(value?.kindName ?? "auto")")
      }
      options[keyPath: path] = converted
    }
    reset = { $0[keyPath: path] = NamedOptions()[keyPath: path] }
  }

  /// Checks kind and range; nil means `auto`.
  func checked(_ value: OptionValue) throws(Failure) -> OptionValue? {
    if case .text(let text) = value, allowsAuto, text == "auto" { return nil }
    switch kind {
    case .string:
      guard case .text(let text) = value else { throw mismatch(value) }
      guard choices.isEmpty || choices.contains(text) else {
        throw Failure(
          .unknownName, "option '\(name)' does not know '\(text)'",
          expected: "one of \(choices.map { $0.isEmpty ? "\"\"" : $0 }.joined(separator: ", "))", actual: text)
      }
      return value
    case .int:
      let number: Int
      switch value {
      case .int(let int): number = int
      case .float(let float):
        guard let int = Int(exactly: float) else { throw mismatch(value) }
        number = int
      case .text(let text):
        guard let int = Int(text) else { throw mismatch(value) }
        number = int
      default: throw mismatch(value)
      }
      guard bounds?.contains(number) ?? true else {
        let range = bounds ?? 0...0
        throw Failure(
          .outOfRange, "option '\(name)' is out of range", expected: "\(range.lowerBound)…\(range.upperBound)",
          actual: "\(number)")
      }
      return .int(number)
    case .float:
      let number: Double
      switch value {
      case .int(let int): number = Double(int)
      case .float(let float): number = float
      case .text(let text):
        guard let float = Double(text) else { throw mismatch(value) }
        number = float
      default: throw mismatch(value)
      }
      guard number.isFinite else { throw Failure(.notFinite, "option '\(name)' must be finite", actual: "\(number)") }
      guard range?.contains(number) ?? true else {
        let range = range ?? 0...0
        throw Failure(
          .outOfRange, "option '\(name)' is out of range", expected: "\(range.lowerBound)…\(range.upperBound)",
          actual: "\(number)")
      }
      return .float(number)
    case .bool:
      switch value {
      case .bool: return value
      case .int(0), .text("0"), .text("false"): return .bool(false)
      case .int(1), .text("1"), .text("true"): return .bool(true)
      default: throw mismatch(value)
      }
    case .floats:
      guard case .floats = value else { throw mismatch(value) }
      return value
    }
  }

  private func mismatch(_ value: OptionValue) -> Failure {
    let actual =
      switch value {
      case .text(let text): "\"\(text)\""
      case .float(let number): "float \(number)"
      default: value.kindName
      }
    return Failure(
      .typeMismatch, "option '\(name)' has another type", expected: allowsAuto ? "\(kind.name) or \"auto\"" : kind.name,
      actual: actual)
  }
}
