/// CLIP's pre-tokeniser: the pieces that byte-pair encoding treats as words.
///
/// The pattern is `<|startoftext|>|<|endoftext|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+`, first
/// alternative first, on normalised text; white space belongs to no piece. A second, GPT-2 style split that follows it
/// in Hugging Face's tokenizer only takes `<|startoftext|>` and `<|endoftext|>` apart again.
enum WordSplitter {
  enum CharacterClass {
    case letter
    case number
    case space
    case other
  }

  /// The newest Unicode version whose letters and numbers the regular expression library of tokenizers 0.23 knows;
  /// characters assigned later are "other" to it.
  private static let newestVersion = 16

  static func classify(_ scalar: Unicode.Scalar) -> CharacterClass {
    switch scalar.value {
    case 0x61...0x7A, 0x41...0x5A: return .letter
    case 0x30...0x39: return .number
    case 0x09...0x0D, 0x20: return .space
    case 0..<0x80: return .other
    default: break
    }
    let properties = scalar.properties
    switch properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
      return isKnown(properties) ? .letter : .other
    case .decimalNumber, .letterNumber, .otherNumber:
      return isKnown(properties) ? .number : .other
    default:
      return properties.isWhitespace ? .space : .other
    }
  }

  private static func isKnown(_ properties: Unicode.Scalar.Properties) -> Bool {
    guard let age = properties.age else { return false }
    return age.major <= newestVersion
  }

  private static let markers: [[Unicode.Scalar]] = ["<|startoftext|>", "<|endoftext|>"].map { Array($0.unicodeScalars) }
  private static let contractions: [[Unicode.Scalar]] = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"].map {
    Array($0.unicodeScalars)
  }

  /// Calls `body` with the bounds of every word, in order.
  static func forEachWord(in text: ArraySlice<Unicode.Scalar>, _ body: (Range<Int>) -> Void) {
    var start = text.startIndex
    while start < text.endIndex {
      let first = text[start]
      if first == "<", let marker = markers.first(where: { matches($0, text, at: start) }) {
        // "<|", the name, "|>".
        let end = start + marker.count
        body(start..<start + 2)
        body(start + 2..<end - 2)
        body(end - 2..<end)
        start = end
        continue
      }
      if let length = contraction(text, at: start) {
        body(start..<start + length)
        start += length
        continue
      }
      let kind = classify(first)
      var end = start + 1
      if kind == .letter || kind == .other {
        while end < text.endIndex, classify(text[end]) == kind { end += 1 }
      }
      if kind != .space { body(start..<end) }
      start = end
    }
  }

  /// The length of an English contraction such as `'ll` at a place.
  static func contraction(_ text: ArraySlice<Unicode.Scalar>, at start: Int) -> Int? {
    guard text[start] == "'" else { return nil }
    return contractions.first { matches($0, text, at: start) }?.count
  }

  private static func matches(_ pattern: [Unicode.Scalar], _ text: ArraySlice<Unicode.Scalar>, at start: Int) -> Bool {
    guard text.endIndex - start >= pattern.count else { return false }
    for offset in pattern.indices where text[start + offset] != pattern[offset] { return false }
    return true
  }
}
