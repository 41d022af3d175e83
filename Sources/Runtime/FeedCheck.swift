import Graph
import Operators
import Support

/// Checks what a caller feeds against what the model declares.
enum FeedCheck {
  static func check(_ value: Value, name: String, declared: DeclaredType) throws {
    switch (value, declared) {
    case (_, .unknown): return
    case (.tensor(let tensor), .tensor(let type, let shape)):
      guard tensor.type == type else {
        throw Failure(
          .typeMismatch, "input '\(name)' has the wrong element type", expected: type.name, actual: tensor.type.name)
      }
      guard let shape else { return }
      let fits =
        tensor.shape.count == shape.count
        && zip(tensor.shape, shape).allSatisfy {
          if case .fixed(let size) = $1 { return $0 == size }
          return true
        }
      guard fits else {
        throw Failure(
          .shapeMismatch, "input '\(name)' has the wrong shape", expected: describe(shape), actual: "\(tensor.shape)")
      }
    case (.sequence(let values), .sequence(let element)):
      for value in values { try check(value, name: name, declared: element) }
    case (.optional(let value), .optional(let element)):
      if let value { try check(value, name: name, declared: element) }
    case (let value, .optional(let element)):
      try check(value, name: name, declared: element)
    default: throw Failure(.typeMismatch, "input '\(name)' is not of the declared kind", expected: "\(declared)")
    }
  }

  /// `[2, height, ?]`.
  static func describe(_ shape: [Dimension]) -> String {
    let parts = shape.map { dimension in
      switch dimension {
      case .fixed(let size): "\(size)"
      case .symbolic(let name): name
      case .unknown: "?"
      }
    }
    return "[" + parts.joined(separator: ", ") + "]"
  }
}
