import Support

/// A token that is recognised in the text as a whole, before anything is split.
struct AddedToken {
  var content: String
  /// Whether it is looked for in the normalised text rather than in the text as given.
  var isNormalized: Bool

  /// From a configuration: a string, or an object as Hugging Face stores them.
  init?(_ value: JSON?, file: String) throws(Failure) {
    switch value {
    case nil, .null: return nil
    case .string(let content):
      self.content = content
      isNormalized = false
    case .object(let members):
      guard let content = members["content"]?.string else {
        throw Failure(.corrupt, "a special token has no content", file: file)
      }
      guard members["single_word"]?.bool != true else {
        throw Failure(.unsupported, "the special token '\(content)' has single_word", file: file)
      }
      self.content = content
      isNormalized = members["normalized"]?.bool ?? (members["special"]?.bool != true)
    default:
      throw Failure(.corrupt, "a special token is a string or an object", file: file)
    }
  }

  init(content: String, isNormalized: Bool) {
    self.content = content
    self.isNormalized = isNormalized
  }
}

/// Finds added tokens in text: leftmost first, of those that begin at the same place the longest.
struct AddedTokenMatcher: Sendable {
  private struct Pattern {
    var scalars: [Unicode.Scalar]
    var id: Int
  }

  private var patterns: [Unicode.Scalar: [Pattern]] = [:]

  mutating func add(_ content: some Collection<Unicode.Scalar>, id: Int) {
    guard let first = content.first else { return }
    patterns[first, default: []].append(Pattern(scalars: Array(content), id: id))
    patterns[first]?.sort { $0.scalars.count > $1.scalars.count }
  }

  /// Calls `text` for every stretch between tokens and `token` for every token, in order.
  func split(
    _ scalars: [Unicode.Scalar], text: (ArraySlice<Unicode.Scalar>) -> Void, token: (Int) -> Void
  ) {
    var (start, position) = (0, 0)
    while position < scalars.count {
      guard let candidates = patterns[scalars[position]],
        let found = candidates.first(where: { scalars[position...].starts(with: $0.scalars) })
      else {
        position += 1
        continue
      }
      if start < position { text(scalars[start..<position]) }
      token(found.id)
      position += found.scalars.count
      start = position
    }
    if start < scalars.count { text(scalars[start...]) }
  }
}
