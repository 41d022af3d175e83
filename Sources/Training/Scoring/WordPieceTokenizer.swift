import Support

/// BERT's tokenizer for lower-case vocabularies (`vocab.txt`): words and punctuation, then the longest known pieces.
struct WordPieceTokenizer: Sendable {
  private let ids: [String: Int]
  private let (unknown, beginning, end): (Int, Int, Int)
  let padding: Int

  private static let longestWord = 100

  init(vocabularyFile file: String) throws(Failure) {
    let mapped = try MappedFile(path: file)
    defer { withExtendedLifetime(mapped) {} }
    guard let text = String(validating: mapped.bytes, as: UTF8.self) else {
      throw Failure(.corrupt, "the vocabulary is not UTF-8", component: "reward", file: file)
    }
    var ids: [String: Int] = [:]
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      ids[line.hasSuffix("\r") ? String(line.dropLast()) : String(line)] = index
    }
    func id(_ token: String) throws(Failure) -> Int {
      guard let id = ids[token] else {
        throw Failure(.corrupt, "the vocabulary has no token '\(token)'", component: "reward", file: file)
      }
      return id
    }
    (unknown, beginning, end) = (try id("[UNK]"), try id("[CLS]"), try id("[SEP]"))
    padding = try id("[PAD]")
    self.ids = ids
  }

  /// Ids between [CLS] and [SEP], cut and padded to `length`, with their mask.
  func encode(_ text: String, length: Int) -> (ids: [Int], mask: [Int]) {
    var pieces = words(text).flatMap(self.pieces)
    if pieces.count > max(0, length - 2) { pieces.removeSubrange(max(0, length - 2)...) }
    let used = [beginning] + pieces + [end]
    let rest = max(0, length - used.count)
    return (
      used + Array(repeating: padding, count: rest),
      Array(repeating: 1, count: used.count) + Array(repeating: 0, count: rest)
    )
  }

  private func words(_ text: String) -> [String] {
    var words: [String] = []
    var word = ""
    func finish() {
      if !word.isEmpty { words.append(word) }
      word = ""
    }
    for character in text.lowercased() {
      // Accents go: the letter without its marks.
      let base = character.unicodeScalars.first.map { Self.decomposed($0) } ?? character
      if base.isWhitespace {
        finish()
      } else if base.isPunctuation || base.isSymbol || Self.isIdeograph(base) {
        finish()
        words.append(String(base))
      } else {
        word.append(base)
      }
    }
    finish()
    return words
  }

  private static func isIdeograph(_ character: Character) -> Bool {
    character.unicodeScalars.first.map { (0x4E00...0x9FFF).contains($0.value) || (0x3400...0x4DBF).contains($0.value) }
      ?? false
  }

  /// Latin letters with marks to letters without; the table covers what lower-case BERT vocabularies lack.
  private static func decomposed(_ scalar: Unicode.Scalar) -> Character {
    let bases: [(String, Character)] = [
      ("àáâãäåā", "a"), ("çćč", "c"), ("èéêëēę", "e"), ("ìíîïī", "i"), ("ñńň", "n"), ("òóôõöōő", "o"), ("śšș", "s"),
      ("ùúûüūů", "u"), ("ýÿ", "y"), ("źžż", "z"), ("ğ", "g"), ("ř", "r"), ("ť", "t"), ("ď", "d"),
    ]
    let character = Character(scalar)
    return bases.first { $0.0.contains(character) }?.1 ?? character
  }

  private func pieces(_ word: String) -> [Int] {
    let letters = Array(word)
    guard letters.count <= Self.longestWord else { return [unknown] }
    var (result, start): ([Int], Int) = ([], 0)
    while start < letters.count {
      var end = letters.count
      var found: Int?
      while end > start {
        let piece = (start > 0 ? "##" : "") + String(letters[start..<end])
        if let id = ids[piece] {
          found = id
          break
        }
        end -= 1
      }
      guard let found else { return [unknown] }
      result.append(found)
      start = end
    }
    return result
  }
}
