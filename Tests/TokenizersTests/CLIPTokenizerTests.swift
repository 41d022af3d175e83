import Foundation
import Support
import Testing

@testable import Tokenizers

/// Texts and ids recorded from Hugging Face's fast tokenizer (`Tests/Fixtures/tokenizers/make_tokenizers.py`).
struct CLIPTokenizerTests {
  static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fixtures/tokenizers")

  /// The real CLIP vocabulary, which is not part of the repository: `CLIP_VOCABULARY` or `../shared/data/clip`.
  static let clipFolder: URL? = {
    let named = ProcessInfo.processInfo.environment["CLIP_VOCABULARY"].map { URL(fileURLWithPath: $0) }
    let root = fixtures.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    let candidates =
      [
        named, root.deletingLastPathComponent().appendingPathComponent("shared/data/clip"),
        root.deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("shared/data/clip"),
      ]
    return candidates.compactMap { $0 }.first {
      FileManager.default.fileExists(atPath: $0.appendingPathComponent("vocab.json").path)
    }
  }()

  static let variants = ["plain", "sd15", "sd21", "decoder"]

  /// A temporary tokenizer folder; removed with the value.
  final class Folder {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("tokenizer-\(UUID().uuidString)")

    init(from source: URL? = nil) throws {
      try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
      for name in source == nil ? [] : ["vocab.json", "merges.txt"] {
        try FileManager.default.copyItem(
          at: source?.appendingPathComponent(name) ?? url, to: url.appendingPathComponent(name))
      }
    }

    func write(_ name: String, _ text: String) throws {
      try text.write(to: url.appendingPathComponent(name), atomically: true, encoding: .utf8)
    }

    func read(_ name: String) throws -> String {
      try String(contentsOf: url.appendingPathComponent(name), encoding: .utf8)
    }

    deinit { try? FileManager.default.removeItem(at: url) }
  }

  static func folder(vocabulary: URL, configurations: JSON?) throws -> Folder {
    let folder = try Folder(from: vocabulary)
    for (name, value) in configurations?.object ?? [:] where !value.isNull { try folder.write(name, value.text) }
    return folder
  }

  static func check(vocabulary: URL, fixture: JSON, variant: String, configurations: JSON?) throws {
    let folder = try folder(vocabulary: vocabulary, configurations: configurations)
    let tokenizer = try CLIPTokenizer(folder: folder.url.path)
    let expected = try #require(fixture[variant])
    var wrong = 0
    for item in try #require(expected["cases"]?.array) {
      let text = try #require(item[0]?.string)
      let ids = try #require(item[1]?.array).compactMap(\.int)
      let encoded = tokenizer.encode(text)
      if encoded != [tokenizer.beginningID] + ids + [tokenizer.endID] {
        wrong += 1
        if wrong <= 10 {
          let scalars = text.unicodeScalars.map { String($0.value, radix: 16) }.joined(separator: " ")
          Issue.record("'\(text)' (\(scalars)): \(encoded), expected \(ids)")
        }
      }
    }
    #expect(wrong == 0)
    let length = try #require(expected["length"]?.int)
    for item in try #require(expected["padded"]?.array) {
      let encoded = try tokenizer.encodePadded(try #require(item[0]?.string), length: length)
      #expect(encoded.ids == item[1]?.array?.compactMap(\.int))
      #expect(encoded.attentionMask == item[2]?.array?.compactMap(\.int))
      #expect(encoded.isTruncated == (encoded.droppedCount > 0))
    }
  }

  @Test("The tiny vocabulary gives Hugging Face's ids under every kind of configuration", arguments: variants)
  func tiny(variant: String) throws {
    let fixture = try JSON.parse(file: Self.fixtures.appendingPathComponent("tiny.json").path)
    try Self.check(
      vocabulary: Self.fixtures.appendingPathComponent("tiny"), fixture: try #require(fixture["expected"]),
      variant: variant, configurations: fixture["configurations"]?[variant])
  }

  @Test(
    "The real vocabulary gives Hugging Face's ids",
    .enabled(if: clipFolder != nil, "CLIP's vocab.json and merges.txt are not here"), arguments: variants)
  func clip(variant: String) throws {
    let fixture = try JSON.parse(file: Self.fixtures.appendingPathComponent("clip.json").path)
    try Self.check(
      vocabulary: try #require(Self.clipFolder), fixture: try #require(fixture["expected"]), variant: variant,
      configurations: fixture["configurations"]?[variant])
  }

  /// One-off check on a large recorded file: `make_tokenizers.py CLIP_FOLDER --fuzz 20000 FILE`.
  static let fuzzFile = ProcessInfo.processInfo.environment["TOKENIZER_FUZZ"]

  @Test("A large random file", .enabled(if: fuzzFile != nil && clipFolder != nil, "TOKENIZER_FUZZ names no file"))
  func fuzz() throws {
    let fixture = try JSON.parse(file: Self.fixtures.appendingPathComponent("clip.json").path)
    try Self.check(
      vocabulary: try #require(Self.clipFolder), fixture: try JSON.parse(file: try #require(Self.fuzzFile)),
      variant: "sd15", configurations: fixture["configurations"]?["sd15"])
  }

  @Test("Lengths and padding tokens come from the configuration")
  func configuration() throws {
    let fixture = try JSON.parse(file: Self.fixtures.appendingPathComponent("tiny.json").path)
    let tiny = Self.fixtures.appendingPathComponent("tiny")
    let plain = try CLIPTokenizer(folder: tiny.path)
    #expect(plain.maximumLength == 77)
    #expect(plain.paddingID == plain.endID)
    let folder = try Self.folder(vocabulary: tiny, configurations: fixture["configurations"]?["decoder"])
    let decoder = try CLIPTokenizer(folder: folder.url.path)
    #expect(decoder.maximumLength == 20)
    #expect(decoder.paddingID == 0)
    #expect(decoder.vocabularySize == plain.vocabularySize + 1)
    #expect(decoder.token(decoder.endID + 1) == "<my Style>")
    #expect(decoder.token(1 << 40) == nil)
    #expect(decoder.token(-1) == nil)
  }

  @Test("Cutting keeps beginning and end, and says how much was lost")
  func truncation() throws {
    let tokenizer = try CLIPTokenizer(folder: Self.fixtures.appendingPathComponent("tiny").path)
    let all = tokenizer.encode("cat cat cat cat cat cat")
    let cut = try tokenizer.encodePadded("cat cat cat cat cat cat", length: 4)
    #expect(cut.ids == [all[0], all[1], all[2], tokenizer.endID])
    #expect(cut.isTruncated && cut.droppedCount == all.count - 4)
    let exact = try tokenizer.encodePadded("cat cat cat cat cat cat", length: all.count)
    #expect(exact.ids == all && !exact.isTruncated)
    #expect(try tokenizer.encodePadded("", length: 2).ids == [tokenizer.beginningID, tokenizer.endID])
    for length in [1, 0, -5, Int.max] {
      #expect { try tokenizer.encodePadded("cat", length: length) } throws: { ($0 as? Failure)?.status == .outOfRange }
    }
  }

  /// Of this thread: other processes do not count.
  private static func processorSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }

  private struct SplitMix64: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state &+= 0x9e37_79b9_7f4a_7c15
      var z = state
      z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
      z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
      return z ^ (z >> 31)
    }
  }

  @Test("100,000 characters take no more than a few seconds, whatever they are")
  func longTexts() throws {
    let tokenizer = try CLIPTokenizer(folder: (Self.clipFolder ?? Self.fixtures.appendingPathComponent("tiny")).path)
    var letters = SplitMix64(state: 1)
    for text in [
      String(repeating: "a", count: 100_000), String(repeating: "cat ", count: 25_000),
      String(repeating: "e\u{301}", count: 50_000), String(repeating: "\u{301}", count: 100_000),
      String(repeating: "<", count: 100_000), String(repeating: "👨‍👩‍👧‍👦", count: 14_000),
      String(repeating: "<|endoftext|>", count: 7_700), String(repeating: " ", count: 100_000),
      String((0..<100_000).map { _ in Character(Unicode.Scalar(UInt8.random(in: 97...122, using: &letters))) }),
    ] {
      let start = Self.processorSeconds()
      _ = tokenizer.encode(text)
      let time = Self.processorSeconds() - start
      // Measured 0.01 to 0.2 s in release; anything quadratic takes minutes.
      #expect(time < 5, "\(text.prefix(3))…: \(time) s")
    }
  }

  /// A broken tokenizer folder: what to write over the tiny one, and what the message must name.
  struct Broken: CustomTestStringConvertible {
    var name: String
    var file: String
    var text: String
    var status = Status.corrupt
    var mentions: [String]
    var testDescription: String { name }
  }

  static let broken: [Broken] = [
    Broken(name: "truncated JSON", file: "vocab.json", text: "{\"a\": 1, ", mentions: ["vocab.json", "byte"]),
    Broken(name: "vocabulary of the wrong kind", file: "vocab.json", text: "[1, 2]", mentions: ["vocab.json"]),
    Broken(name: "empty vocabulary", file: "vocab.json", text: "{}", mentions: ["vocab.json"]),
    Broken(name: "empty file", file: "vocab.json", text: "", mentions: ["vocab.json"]),
    Broken(
      name: "id is a string", file: "vocab.json", text: "{\"cat</w>\": \"7\"}", mentions: ["vocab.json", "cat</w>"]),
    Broken(name: "id is negative", file: "vocab.json", text: "{\"cat</w>\": -7}", mentions: ["vocab.json", "cat</w>"]),
    Broken(name: "id has a fraction", file: "vocab.json", text: "{\"cat</w>\": 1.5}", mentions: ["cat</w>"]),
    Broken(name: "id is absurd", file: "vocab.json", text: "{\"cat</w>\": 1e300}", mentions: ["cat</w>"]),
    Broken(
      name: "repeated id", file: "vocab.json", text: #"{"<|startoftext|>": 0, "<|endoftext|>": 1, "q": 1}"#,
      mentions: ["vocab.json", "'q'", "id 1"]),
    Broken(
      name: "missing id", file: "vocab.json", text: #"{"<|startoftext|>": 0, "<|endoftext|>": 1, "q": 3}"#,
      mentions: ["vocab.json", "'q'", "gaps"]),
    Broken(
      name: "no special tokens", file: "vocab.json", text: #"{"a": 0, "b": 1}"#,
      mentions: ["vocab.json", "<|startoftext|>"]),
    Broken(
      name: "merge of an unknown token", file: "merges.txt", text: "#version: 0.2\nzebra s</w>\n",
      mentions: ["merges.txt", "line 2", "'zebra'"]),
    Broken(
      name: "merge into an unknown token", file: "merges.txt", text: "#version: 0.2\nq q\n",
      mentions: ["merges.txt", "'qq'"]),
    Broken(
      name: "merge of three", file: "merges.txt", text: "#version: 0.2\na b c\n", mentions: ["merges.txt", "line 2"]),
    Broken(name: "merge of one", file: "merges.txt", text: "#version: 0.2\nabc\n", mentions: ["merges.txt", "line 2"]),
    Broken(name: "configuration", file: "tokenizer_config.json", text: "[]", mentions: ["tokenizer_config.json"]),
    Broken(
      name: "no room", file: "tokenizer_config.json", text: #"{"model_max_length": 1}"#, mentions: ["model_max_length"]),
    Broken(
      name: "unknown padding", file: "tokenizer_config.json", text: #"{"pad_token": "<none>"}"#, mentions: ["<none>"]),
    Broken(
      name: "contradicting id", file: "tokenizer_config.json",
      text: #"{"added_tokens_decoder": {"5": {"content": "<|endoftext|>", "special": true}}}"#,
      mentions: ["<|endoftext|>", "5"]),
    Broken(
      name: "special token of the wrong kind", file: "special_tokens_map.json", text: #"{"pad_token": 7}"#,
      mentions: ["special_tokens_map.json"]),
    Broken(
      name: "single word", file: "special_tokens_map.json",
      text: #"{"pad_token": {"content": "!", "single_word": true}}"#, status: .unsupported, mentions: ["single_word"]),
  ]

  @Test("Broken folders are refused with the file and the entry", arguments: broken)
  func refuses(broken: Broken) throws {
    let folder = try Folder(from: Self.fixtures.appendingPathComponent("tiny"))
    try folder.write(broken.file, broken.text)
    let failure = try #require(throws: Failure.self) { try CLIPTokenizer(folder: folder.url.path) }
    #expect(failure.status == broken.status)
    for mention in broken.mentions { #expect(failure.description.contains(mention), "\(failure.description)") }
  }

  @Test("Invalid UTF-8 in the merges is refused")
  func invalidMerges() throws {
    let folder = try Folder(from: Self.fixtures.appendingPathComponent("tiny"))
    try Data([0x61, 0x20, 0xFF, 0x0A]).write(to: folder.url.appendingPathComponent("merges.txt"))
    let failure = try #require(throws: Failure.self) { try CLIPTokenizer(folder: folder.url.path) }
    #expect(failure.status == .corrupt && failure.description.contains("line 1"))
  }

  @Test("A missing folder or file is not found")
  func missing() throws {
    #expect { try CLIPTokenizer(folder: "/nonexistent") } throws: { ($0 as? Failure)?.status == .notFound }
    let folder = try Folder(from: Self.fixtures.appendingPathComponent("tiny"))
    try FileManager.default.removeItem(at: folder.url.appendingPathComponent("merges.txt"))
    #expect { try CLIPTokenizer(folder: folder.url.path) } throws: { ($0 as? Failure)?.status == .notFound }
  }

  @Test("tokenizer.json alone gives the same ids")
  func combined() throws {
    let tiny = Self.fixtures.appendingPathComponent("tiny")
    let reference = try CLIPTokenizer(folder: tiny.path)
    let vocabulary = try JSON.parse(file: tiny.appendingPathComponent("vocab.json").path)
    let merges = try String(contentsOf: tiny.appendingPathComponent("merges.txt"), encoding: .utf8)
      .split(separator: "\n").dropFirst()
    for pairs in [true, false] {
      let folder = try Folder()
      let list = merges.map { line -> JSON in
        pairs ? .array(line.split(separator: " ").map { JSON(String($0)) }) : JSON(String(line))
      }
      let special: (String, Int) -> JSON = { content, id in
        ["content": JSON(content), "id": JSON(id), "normalized": false, "special": true]
      }
      let json: JSON = [
        "added_tokens": [special("<|startoftext|>", reference.beginningID), special("<|endoftext|>", reference.endID)],
        "model": ["type": "BPE", "end_of_word_suffix": "</w>", "vocab": vocabulary, "merges": .array(list)],
      ]
      try folder.write("tokenizer.json", json.text)
      let tokenizer = try CLIPTokenizer(folder: folder.url.path)
      let text = "Two cats <|endoftext|> and a tree, don't!"
      #expect(tokenizer.encode(text) == reference.encode(text))
    }
  }

  @Test("Without a byte's token the unknown token stands in, as often as the byte")
  func unknownBytes() throws {
    let folder = try Folder()
    try folder.write("vocab.json", #"{"a": 0, "a</w>": 1, "<|startoftext|>": 2, "<|endoftext|>": 3}"#)
    try folder.write("merges.txt", "#version: 0.2\n")
    let tokenizer = try CLIPTokenizer(folder: folder.url.path)
    #expect(tokenizer.encode("ab ba") == [2, 0, 3, 3, 1, 3])
  }
}
