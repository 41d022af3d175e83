import Foundation
import Support
import Testing

@testable import Tokenizers

/// Texts and ids recorded from Hugging Face's fast tokenizer (`Tests/Fixtures/scorers/make_scorers.py`).
struct GPT2TokenizerTests {
  static let scorers = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fixtures/scorers")

  struct Row: Decodable, Sendable, CustomTestStringConvertible {
    var text: String
    var ids: [Int]
    var testDescription: String { "'\(text.prefix(12))'" }

    static let all: [Row] = {
      struct File: Decodable { var language_model: [Row] }
      let data = try? Data(contentsOf: scorers.appendingPathComponent("expected.json"))
      return data.flatMap { try? JSONDecoder().decode(File.self, from: $0).language_model } ?? []
    }()
  }

  @Test func rowsAreThere() { #expect(Row.all.count > 10) }

  @Test(arguments: Row.all)
  func idsAreHuggingFaces(_ row: Row) throws {
    let tokenizer = try GPT2Tokenizer(folder: Self.scorers.appendingPathComponent("language-model").path)
    #expect(tokenizer.encode(row.text) == row.ids)
    #expect(tokenizer.maximumLength == 64)
  }

  /// Pieces of GPT-2's pattern, between bars.
  @Test(arguments: [
    ("a  b", "a| | b"), ("a   ", "a|   "), ("\n\nx", "\n|\n|x"), (" 's", " '|s"), ("it's", "it|'s"),
    ("x12 3!?", "x|12| 3|!?"),
    ("'re'", "'re|'"), ("\t y", "\t| y"), ("", ""),
  ])
  func piecesFollowThePattern(_ text: String, _ pieces: String) {
    let scalars = Array(text.unicodeScalars)[...]
    var found: [String] = []
    GPT2WordSplitter.forEachWord(in: scalars) { range in
      var piece = String.UnicodeScalarView()
      piece.append(contentsOf: scalars[range])
      found.append(String(piece))
    }
    #expect(found.joined(separator: "|") == pieces)
  }

  @Test func foldersOpenAsWhatTheyHold() throws {
    let clip = CLIPTokenizerTests.fixtures.appendingPathComponent("tiny").path
    #expect(try bytePairTokenizer(folder: clip) is CLIPTokenizer)
    #expect(try bytePairTokenizer(folder: Self.scorers.appendingPathComponent("language-model").path) is GPT2Tokenizer)
  }
}
