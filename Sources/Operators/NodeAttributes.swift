import Graph
import Support

/// Checked access to a node's attributes, used by the operator tables.
extension Node {
  public func int(_ name: String) throws -> Int? {
    switch attributes[name] {
    case nil: nil
    case .int(let value)?: Int(value)
    default: throw wrongKind(name, "an integer")
    }
  }

  public func int(_ name: String, default value: Int) throws -> Int { try int(name) ?? value }

  public func bool(_ name: String, default value: Bool) throws -> Bool { try int(name).map { $0 != 0 } ?? value }

  public func float(_ name: String) throws -> Float? {
    switch attributes[name] {
    case nil: nil
    case .float(let value)?: value
    default: throw wrongKind(name, "a float")
    }
  }

  public func float(_ name: String, default value: Float) throws -> Float { try float(name) ?? value }

  public func string(_ name: String) throws -> String? {
    switch attributes[name] {
    case nil: nil
    case .string(let value)?: value
    default: throw wrongKind(name, "a string")
    }
  }

  public func string(_ name: String, default value: String) throws -> String { try string(name) ?? value }

  public func ints(_ name: String) throws -> [Int]? {
    switch attributes[name] {
    case nil: nil
    case .ints(let values)?: values.map { Int($0) }
    default: throw wrongKind(name, "a list of integers")
    }
  }

  public func floats(_ name: String) throws -> [Float]? {
    switch attributes[name] {
    case nil: nil
    case .floats(let values)?: values
    default: throw wrongKind(name, "a list of floats")
    }
  }

  public func strings(_ name: String) throws -> [String]? {
    switch attributes[name] {
    case nil: nil
    case .strings(let values)?: values
    default: throw wrongKind(name, "a list of strings")
    }
  }

  public func tensor(_ name: String) throws -> Tensor? {
    switch attributes[name] {
    case nil: nil
    case .tensor(let value)?: value
    default: throw wrongKind(name, "a tensor")
    }
  }

  /// The element type an integer attribute such as `to` or `dtype` names.
  public func dataType(_ name: String) throws -> DataType? {
    guard let raw = try int(name) else { return nil }
    guard let value = Int32(exactly: raw), let type = DataType(rawValue: value) else {
      throw Failure(.unsupported, "attribute '\(name)' names element type \(raw), which is not known")
    }
    return type
  }

  public func required<T>(_ value: T?, _ name: String) throws -> T {
    guard let value else { throw Failure(.corrupt, "required attribute '\(name)' is missing") }
    return value
  }

  private func wrongKind(_ name: String, _ expected: String) -> Failure {
    Failure(.corrupt, "attribute '\(name)' has the wrong kind", expected: expected)
  }
}
