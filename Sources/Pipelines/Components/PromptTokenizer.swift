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

  init(folder: PipelineFolder) throws {
    throw Failure(.unsupported, "tokenizers are not implemented yet", component: "tokenizer")
  }

  func tokenize(_ text: String) throws -> TokenizedPrompt {
    guard text.utf8.count <= Self.maximumBytes else {
      throw Failure(
        .outOfRange, "the text is too long", component: "tokenizer", expected: "at most \(Self.maximumBytes) bytes",
        actual: "\(text.utf8.count)")
    }
    throw Failure(.unsupported, "tokenizers are not implemented yet", component: "tokenizer")
  }
}
