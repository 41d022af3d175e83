import Support

/// CLIP's byte-level byte-pair tokenizer, equal on any Unicode text to Hugging Face's fast one.
///
/// Loaded from a tokenizer folder: `vocab.json` and `merges.txt` (or a `tokenizer.json` that holds both), with
/// `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` where present. Immutable; any number of
/// threads may use one.
///
///     let tokenizer = try CLIPTokenizer(folder: "model/tokenizer")
///     let prompt = try tokenizer.encodePadded("a photo of a cat")  // 77 ids for Stable Diffusion
public final class CLIPTokenizer: BytePairTokenizer {
  /// The text encoder's number of positions (`model_max_length`), 77 where the configuration names none.
  public let maximumLength: Int
  /// Begins every encoded text.
  public let beginningID: Int
  /// Ends every encoded text.
  public let endID: Int
  /// Fills up to the length asked for.
  public let paddingID: Int
  /// One more than the largest id.
  public let vocabularySize: Int

  private let tokens: [String]
  private let encoder: BytePairEncoder
  private let rawTokens: AddedTokenMatcher
  private let normalizedTokens: AddedTokenMatcher

  /// A text as the text encoder takes it.
  public struct Encoded: Sendable, Equatable {
    /// Exactly as many as asked for.
    public var ids: [Int]
    /// 1 for tokens of the text with its beginning and end, 0 for padding.
    public var attentionMask: [Int]
    /// Whether the text was longer and its end was cut off.
    public var isTruncated: Bool
    /// How many tokens of the text, without beginning and end, were cut off.
    public var droppedCount: Int
  }

  /// Reads a tokenizer folder. Throws `.notFound` without a vocabulary and `.corrupt`, naming file and entry, for one
  /// that contradicts itself.
  public convenience init(folder: String) throws(Failure) {
    try self.init(files: TokenizerFiles(folder: folder, family: .clip))
  }

  init(files: TokenizerFiles) throws(Failure) {
    guard files.endOfWord == BytePairEncoder.endOfWord || !files.isCombined else {
      throw Failure(
        .unsupported, "the tokenizer is not CLIP's (end_of_word_suffix is not </w>)", component: "tokenizer",
        file: files.vocabularyFile)
    }
    let vocabulary = files.vocabulary
    func id(_ role: String, _ content: String) throws(Failure) -> Int {
      guard let id = files.ids[content] ?? vocabulary[content] else {
        throw Failure(
          .corrupt, "the vocabulary has no \(role) token '\(content)'", component: "tokenizer",
          file: files.vocabularyFile)
      }
      return id
    }
    beginningID = try id("beginning-of-text", files.beginning)
    endID = try id("end-of-text", files.end)
    paddingID = try id("padding", files.padding)
    maximumLength = files.maximumLength
    encoder = try BytePairEncoder(
      vocabulary: vocabulary, merges: files.merges, unknown: try id("unknown", files.unknown),
      endOfWord: BytePairEncoder.endOfWord, file: files.mergesFile)
    var (raw, normalized) = (AddedTokenMatcher(), AddedTokenMatcher())
    for token in files.addedTokens {
      let id = try id("special", token.content)
      if token.isNormalized {
        normalized.add(TextNormalizer.normalize(Array(token.content.unicodeScalars)), id: id)
      } else {
        raw.add(Array(token.content.unicodeScalars), id: id)
      }
    }
    (rawTokens, normalizedTokens) = (raw, normalized)
    tokens = files.tokensByID()
    vocabularySize = tokens.count
  }

  /// The ids of a text between beginning and end, however long.
  public func encode(_ text: String) -> [Int] {
    var ids = [beginningID]
    appendTokens(of: text, to: &ids)
    ids.append(endID)
    return ids
  }

  /// The ids of a text cut or padded to `length`, which is at least 2; nil is `maximumLength`.
  public func encodePadded(_ text: String, length: Int? = nil) throws(Failure) -> Encoded {
    let length = length ?? maximumLength
    guard length >= 2, length <= Self.maximumPaddedLength else {
      throw Failure(
        .outOfRange, "the padded length is out of range", component: "tokenizer",
        expected: "2 to \(Self.maximumPaddedLength)", actual: "\(length)")
    }
    var ids = encode(text)
    let dropped = max(0, ids.count - length)
    if dropped > 0 {
      ids.removeSubrange((length - 1)..<(ids.count - 1))
    }
    let padding = length - ids.count
    return Encoded(
      ids: ids + [Int](repeating: paddingID, count: padding),
      attentionMask: [Int](repeating: 1, count: ids.count) + [Int](repeating: 0, count: padding),
      isTruncated: dropped > 0, droppedCount: dropped)
  }

  /// How the vocabulary writes a token, such as `cat</w>`; nil for ids it does not have.
  public func token(_ id: Int) -> String? {
    tokens.indices.contains(id) ? tokens[id] : nil
  }

  /// Far above any text encoder's positions; keeps sizes from outside within reason.
  static let maximumPaddedLength = 1 << 20

  private func appendTokens(of text: String, to ids: inout [Int]) {
    var output: [Int] = []
    // Prompts repeat words; encoding each once keeps long ones linear in practice.
    var known: [[UInt8]: Range<Int>] = [:]
    rawTokens.split(Array(text.unicodeScalars)) { stretch in
      let normalized = TextNormalizer.normalize(stretch)
      normalizedTokens.split(normalized) { words in
        WordSplitter.forEachWord(in: words) { word in
          let bytes = utf8(words[word])
          if let range = known[bytes] {
            output.append(contentsOf: Array(output[range]))
          } else {
            let start = output.count
            encoder.encode(bytes, into: &output)
            known[bytes] = start..<output.count
          }
        }
      } token: { id in
        output.append(id)
      }
    } token: { id in
      output.append(id)
    }
    ids.append(contentsOf: output)
  }

  private func utf8(_ scalars: ArraySlice<Unicode.Scalar>) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(scalars.count)
    for scalar in scalars { bytes.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter) }
    return bytes
  }
}
