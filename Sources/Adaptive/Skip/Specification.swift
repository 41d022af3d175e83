import Support

/// One setting of a skip rule or feature cache: its kind, range, default and meaning.
public struct Parameter: Sendable {
  public enum Kind: Sendable, Equatable {
    case number(ClosedRange<Double>)
    case integer(ClosedRange<Int>)
    case flag
    case choice([String])
    case text
  }

  public let name: String
  public let kind: Kind
  public let defaultText: String
  public let documentation: String

  public init(_ name: String, _ kind: Kind, default defaultText: String, _ documentation: String) {
    self.name = name
    self.kind = kind
    self.defaultText = defaultText
    self.documentation = documentation
  }

  /// Throws `.typeMismatch`, `.outOfRange` or `.unknownName`.
  func check(_ text: String, owner: String) throws(Failure) {
    func failure(_ status: Status, _ expected: String) -> Failure {
      Failure(
        status, "\(owner): '\(name)' cannot be '\(text)'", component: "skip", expected: expected, actual: text)
    }
    switch kind {
    case .number(let range):
      guard let value = Double(text), value.isFinite else { throw failure(.typeMismatch, "a number") }
      guard range.contains(value) else { throw failure(.outOfRange, "\(range.lowerBound)…\(range.upperBound)") }
    case .integer(let range):
      guard let value = Int(text) else { throw failure(.typeMismatch, "an integer") }
      guard range.contains(value) else { throw failure(.outOfRange, "\(range.lowerBound)…\(range.upperBound)") }
    case .flag: guard ["true", "false"].contains(text) else { throw failure(.typeMismatch, "true or false") }
    case .choice(let names):
      guard names.contains(text) else { throw failure(.unknownName, "one of \(names.joined(separator: ", "))") }
    case .text: break
    }
  }
}

/// A named thing with parameters that a specification can ask for.
public protocol Specifiable: Sendable {
  var name: String { get }
  var parameters: [Parameter] { get }
}

/// `NAME[:key=value,…]`, or the same as a JSON object `{"name": …, key: value, …}`, checked against a table.
public struct Specification: Sendable, Equatable {
  public let name: String
  /// Every parameter of the entry; those that the text leaves out have their default.
  private let values: [String: String]
  /// What the text said, in the table's order.
  private let given: [String]

  /// Throws `.unknownName` with the known names, `.corrupt` for broken JSON, and what ``Parameter`` throws.
  public init(_ text: String, table: [any Specifiable], what: String) throws(Failure) {
    let (name, pairs) = try Self.parts(text, what: what)
    guard let entry = table.first(where: { $0.name == name }) else {
      let known = table.map(\.name).joined(separator: ", ")
      throw Failure(
        .unknownName, "unknown \(what) '\(name)'", component: "skip", expected: "one of \(known)", actual: name)
    }
    var values: [String: String] = [:]
    for (key, value) in pairs {
      guard let parameter = entry.parameters.first(where: { $0.name == key }) else {
        let known = entry.parameters.map(\.name).joined(separator: ", ")
        throw Failure(
          .unknownName, "\(what) '\(name)' has no parameter '\(key)'", component: "skip",
          expected: known.isEmpty ? "no parameters" : "one of \(known)", actual: key)
      }
      guard values[key] == nil else {
        throw Failure(.invalidArgument, "\(what) '\(name)': '\(key)' is given twice", component: "skip")
      }
      try parameter.check(value, owner: "\(what) '\(name)'")
      values[key] = value
    }
    given = entry.parameters.map(\.name).filter { values[$0] != nil }
    for parameter in entry.parameters where values[parameter.name] == nil {
      values[parameter.name] = parameter.defaultText
    }
    self.name = name
    self.values = values
  }

  private static func parts(_ text: String, what: String) throws(Failure) -> (String, [(String, String)]) {
    if text.first == "{" {
      let json = try JSON.parse(text)
      guard let object = json.object, let name = object["name"]?.string else {
        throw Failure(.invalidArgument, "a \(what) in JSON needs a 'name'", component: "skip", actual: text)
      }
      var pairs: [(String, String)] = []
      for (key, value) in object.sorted(by: { $0.key < $1.key }) where key != "name" {
        switch value {
        case .string(let text): pairs.append((key, text))
        case .number(let number): pairs.append((key, value.int.map(String.init) ?? "\(number)"))
        case .bool(let flag): pairs.append((key, "\(flag)"))
        default:
          throw Failure(
            .typeMismatch, "\(what) '\(name)': '\(key)' must be a number, a text or a flag", component: "skip")
        }
      }
      return (name, pairs)
    }
    guard let colon = text.firstIndex(of: ":") else { return (text, []) }
    var pairs: [(String, String)] = []
    for part in text[text.index(after: colon)...].split(separator: ",", omittingEmptySubsequences: false) {
      guard let equals = part.firstIndex(of: "="), equals != part.startIndex else {
        throw Failure(
          .invalidArgument, "parameters of a \(what) are written key=value", component: "skip",
          expected: "NAME:key=value,key=value", actual: text)
      }
      pairs.append((String(part[..<equals]), String(part[part.index(after: equals)...])))
    }
    return (String(text[..<colon]), pairs)
  }

  /// The text that gives the same specification again.
  public var text: String {
    given.isEmpty ? name : name + ":" + given.map { "\($0)=\(self.text($0))" }.joined(separator: ",")
  }

  public func isGiven(_ key: String) -> Bool { given.contains(key) }
  public func text(_ key: String) -> String { values[key] ?? "" }
  public func number(_ key: String) -> Double { Double(text(key)) ?? 0 }
  public func integer(_ key: String) -> Int { Int(text(key)) ?? 0 }
  public func flag(_ key: String) -> Bool { text(key) == "true" }
}
