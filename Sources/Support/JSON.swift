/// A JSON value, in the dialect that Python's `json` writes: `NaN`, `Infinity` and `-Infinity` are numbers.
///
/// Diffusers stores `"lambda_min_clipped": -Infinity` in scheduler configurations, which strict parsers refuse.
public enum JSON: Sendable, Equatable {
  case null
  case bool(Bool)
  case number(Double)
  case string(String)
  case array([JSON])
  /// Keys in file order; of repeated keys the last one counts, as in Python.
  case object([String: JSON])

  /// The member `key` of an object; nil for other kinds and absent keys.
  public subscript(key: String) -> JSON? {
    if case .object(let members) = self { members[key] } else { nil }
  }

  /// The element `index` of an array; nil for other kinds and indices outside.
  public subscript(index: Int) -> JSON? {
    if case .array(let elements) = self, elements.indices.contains(index) { elements[index] } else { nil }
  }

  public var string: String? { if case .string(let value) = self { value } else { nil } }
  public var double: Double? { if case .number(let value) = self { value } else { nil } }
  public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  public var array: [JSON]? { if case .array(let value) = self { value } else { nil } }
  public var object: [String: JSON]? { if case .object(let value) = self { value } else { nil } }
  /// A number without fraction that fits an Int.
  public var int: Int? { if case .number(let value) = self { Int(exactly: value) } else { nil } }
  public var isNull: Bool { self == .null }

  /// Parses a whole document. Throws `.corrupt` with the byte offset and what was expected.
  public static func parse(_ bytes: UnsafeRawBufferPointer, file: String? = nil) throws(Failure) -> JSON {
    var parser = JSONParser(bytes: bytes, file: file)
    return try parser.document()
  }

  public static func parse(_ text: String) throws(Failure) -> JSON {
    let bytes = Array(text.utf8)
    let result: Result<JSON, Failure> = bytes.withUnsafeBytes { raw in
      do throws(Failure) { return .success(try parse(raw)) } catch { return .failure(error) }
    }
    return try result.get()
  }

  /// Reads and parses a file.
  public static func parse(file: String) throws(Failure) -> JSON {
    let mapped = try MappedFile(path: file)
    // The mapping must outlive the parser, which holds only its address.
    defer { withExtendedLifetime(mapped) {} }
    return try parse(mapped.bytes, file: file)
  }
}
