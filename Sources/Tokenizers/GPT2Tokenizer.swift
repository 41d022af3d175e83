import Support

/// GPT-2's byte-level byte-pair tokenizer, equal to Hugging Face's fast one: case and white space count, a word's leading
/// space belongs to it.
///
/// Loaded as ``CLIPTokenizer`` is. Language models judge a text from its beginning, so that ``encode(_:)`` puts the
/// beginning-of-text token first, as Hugging Face's perplexity does with `add_start_token`.
public final class GPT2Tokenizer: BytePairTokenizer {
  public let maximumLength: Int
  public let beginningID: Int

  private let encoder: BytePairEncoder
  private let special: AddedTokenMatcher

  public convenience init(folder: String) throws(Failure) {
    try self.init(files: TokenizerFiles(folder: folder, family: .gpt2))
  }

  init(files: TokenizerFiles) throws(Failure) {
    func id(_ role: String, _ content: String) throws(Failure) -> Int {
      guard let id = files.ids[content] ?? files.vocabulary[content] else {
        throw Failure(
          .corrupt, "the vocabulary has no \(role) token '\(content)'", component: "tokenizer",
          file: files.vocabularyFile)
      }
      return id
    }
    beginningID = try id("beginning-of-text", files.beginning)
    maximumLength = files.maximumLength
    encoder = try BytePairEncoder(
      vocabulary: files.vocabulary, merges: files.merges, unknown: try id("unknown", files.unknown), endOfWord: "",
      file: files.mergesFile)
    var matcher = AddedTokenMatcher()
    for token in files.addedTokens { matcher.add(token.content.unicodeScalars, id: try id("special", token.content)) }
    special = matcher
  }

  public func encode(_ text: String) -> [Int] {
    var ids = [beginningID]
    special.split(Array(text.unicodeScalars)) { stretch in
      GPT2WordSplitter.forEachWord(in: stretch) { word in
        var bytes: [UInt8] = []
        for scalar in stretch[word] {
          bytes.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
        }
        encoder.encode(bytes, into: &ids)
      }
    } token: { id in
      ids.append(id)
    }
    return ids
  }
}

/// GPT-2's pre-tokeniser: `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`, first alternative
/// first. Every character belongs to a piece.
enum GPT2WordSplitter {
  /// Calls `body` with the bounds of every piece, in order.
  static func forEachWord(in text: ArraySlice<Unicode.Scalar>, _ body: (Range<Int>) -> Void) {
    var start = text.startIndex
    while start < text.endIndex {
      let end = pieceEnd(text, start)
      body(start..<end)
      start = end
    }
  }

  private static func pieceEnd(_ text: ArraySlice<Unicode.Scalar>, _ start: Int) -> Int {
    if let length = WordSplitter.contraction(text, at: start) { return start + length }
    func runEnd(_ from: Int) -> Int {
      let kind = WordSplitter.classify(text[from])
      return text[from...].firstIndex { WordSplitter.classify($0) != kind } ?? text.endIndex
    }
    let leadsWord =
      text[start] == " " && start + 1 < text.endIndex && WordSplitter.classify(text[start + 1]) != .space
    let word = leadsWord ? start + 1 : start
    guard WordSplitter.classify(text[word]) == .space else { return runEnd(word) }
    // White space leaves its last character to the word that follows.
    let end = runEnd(start)
    return end < text.endIndex && end - start > 1 ? end - 1 : end
  }
}
