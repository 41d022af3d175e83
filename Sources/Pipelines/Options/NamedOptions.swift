import Support

/// Every setting of the library under a name, so that bindings need one setter per type and never break.
public struct NamedOptions: Sendable {
  public var pipeline = PipelineOptions()
  public var generation = GenerationOptions()
  public var policyWork = PolicyWorkOptions()

  public init() {}

  /// Sets one option. Throws `.unknownName`, `.typeMismatch`, `.outOfRange` or `.notFinite`.
  public mutating func set(_ name: String, _ value: OptionValue) throws {
    let option = Self.table[try Self.index(of: name)]
    try option.store(&self, option.checked(value))
  }

  /// Back to the default.
  public mutating func reset(_ name: String) throws {
    Self.table[try Self.index(of: name)].reset(&self)
  }

  /// Position of an option in `table`; throws `.unknownName`.
  public static func index(of name: String) throws(Failure) -> Int {
    guard let index = table.firstIndex(where: { $0.name == name }) else {
      throw Failure(
        .unknownName, "unknown option '\(name)'", expected: "one of \(table.map(\.name).joined(separator: ", "))",
        actual: name)
    }
    return index
  }
}
