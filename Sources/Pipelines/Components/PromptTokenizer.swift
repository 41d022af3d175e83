import Support
import Tokenizers

/// A prompt as the text encoder reads it.
struct TokenizedPrompt: Sendable {
  /// Padded and truncated to the model's window.
  var ids: [Int]
  /// 1 for the prompt with start and end tokens, 0 for padding.
  var mask: [Int]
  /// Neither padded nor truncated.
  var tokens: [Int]

  /// Whether the model does not see the end of the prompt.
  var isTruncated: Bool { tokens.count > ids.count }
}

/// The tokenizer of a pipeline folder.
struct PromptTokenizer: Sendable {
  /// Longer texts are refused before tokenizing: 16 MiB.
  static let maximumBytes = 1 << 24

  private let tokenizer: CLIPTokenizer
  private let window: Int

  init(folder: PipelineFolder) throws {
    let path = folder.path + "/tokenizer"
    do throws(Failure) {
      tokenizer = try CLIPTokenizer(folder: path)
    } catch {
      throw error.adding(component: "tokenizer", file: path)
    }
    if let known = folder.vocabularySize, tokenizer.vocabularySize > known {
      throw Failure(
        .corrupt, "the vocabulary has tokens that the text encoder does not know", component: "tokenizer",
        file: path + "/vocab.json", expected: "at most \(known) tokens", actual: "\(tokenizer.vocabularySize)")
    }
    // Some tokenizer files name no length, or an absurd one.
    window = min(tokenizer.maximumLength, folder.maximumPositions ?? tokenizer.maximumLength)
    guard (2...65536).contains(window) else {
      throw Failure(.corrupt, "the model's window has \(window) tokens", component: "tokenizer", file: path)
    }
  }

  func tokenize(_ text: String) throws -> TokenizedPrompt {
    guard text.utf8.count <= Self.maximumBytes else {
      throw Failure(
        .outOfRange, "the text is too long", component: "tokenizer", expected: "at most \(Self.maximumBytes) bytes",
        actual: "\(text.utf8.count)")
    }
    let padded = try tokenizer.encodePadded(text, length: window)
    return TokenizedPrompt(ids: padded.ids, mask: padded.attentionMask, tokens: tokenizer.encode(text))
  }
}
