import Glibc
import Support

/// What a tokenizer folder says, read and checked.
struct TokenizerFiles {
  var vocabulary: [String: Int] = [:]
  var vocabularyFile: String
  var merges: [(left: String, right: String, line: Int)] = []
  var mergesFile: String
  /// Tokens recognised in the text, later ones of the same content replacing earlier ones.
  var addedTokens: [AddedToken] = []
  /// Ids of added tokens, where they are given apart from the vocabulary.
  var ids: [String: Int] = [:]
  var beginning = "<|startoftext|>"
  var end = "<|endoftext|>"
  var unknown = "<|endoftext|>"
  var padding = "<|endoftext|>"
  var maximumLength = 77
  /// What the vocabulary writes behind the last byte of a word: `</w>` in CLIP's, nothing in GPT-2's.
  private(set) var endOfWord = BytePairEncoder.endOfWord
  /// Whether everything comes from `tokenizer.json`.
  private(set) var isCombined = false

  /// More tokens than any published vocabulary by a factor of ten.
  static let maximumTokens = 4_000_000

  enum Family {
    case clip
    case gpt2
  }

  /// `family` nil: a vocabulary none of whose words end in `</w>` is GPT-2's.
  init(folder: String, family: Family? = nil) throws(Failure) {
    let combined = folder + "/tokenizer.json"
    (vocabularyFile, mergesFile) = (folder + "/vocab.json", folder + "/merges.txt")
    var tokenizer: JSON?
    if !Self.exists(vocabularyFile), Self.exists(combined) {
      (vocabularyFile, mergesFile) = (combined, combined)
      tokenizer = try JSON.parse(file: combined)
    }
    if let tokenizer {
      try readCombined(tokenizer)
    } else {
      try readVocabulary(try JSON.parse(file: vocabularyFile))
      try readMerges()
      if !vocabulary.keys.contains(where: { $0.hasSuffix(BytePairEncoder.endOfWord) }) { endOfWord = "" }
    }
    if family ?? (endOfWord.isEmpty ? .gpt2 : .clip) == .gpt2 { (beginning, maximumLength) = (end, 1024) }
    try readConfiguration(folder: folder, combined: tokenizer)
    try checkIDs()
  }

  private static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  private func corrupt(_ message: String, _ file: String) -> Failure {
    Failure(.corrupt, message, component: "tokenizer", file: file)
  }

  private mutating func readVocabulary(_ json: JSON?) throws(Failure) {
    guard let members = json?.object, !members.isEmpty else {
      throw corrupt("a vocabulary is an object of tokens and their ids", vocabularyFile)
    }
    vocabulary.reserveCapacity(members.count)
    for (token, value) in members {
      guard let id = value.int, id >= 0, id < Self.maximumTokens else {
        throw corrupt("the token '\(token)' has no usable id (got \(value.text.prefix(40)))", vocabularyFile)
      }
      vocabulary[token] = id
    }
  }

  private mutating func readMerges() throws(Failure) {
    let file = try MappedFile(path: mergesFile)
    defer { withExtendedLifetime(file) {} }
    var lines = file.bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)[...]
    if let last = lines.last, last.isEmpty { lines = lines.dropLast() }
    merges.reserveCapacity(lines.count)
    for (index, bytes) in lines.enumerated() {
      guard var line = String(validating: bytes, as: UTF8.self) else {
        throw corrupt("line \(index + 1) is not UTF-8", mergesFile)
      }
      if line.unicodeScalars.last == "\r" { line = String(String.UnicodeScalarView(line.unicodeScalars.dropLast())) }
      if line.hasPrefix("#version") || (index == 0 && line.hasPrefix("#") && line.split(separator: " ").count != 2) {
        continue
      }
      if line.isEmpty { continue }
      try addMerge(line, line: index + 1)
    }
  }

  private mutating func addMerge(_ text: String, line: Int) throws(Failure) {
    let parts = text.unicodeScalars.split(separator: " ", omittingEmptySubsequences: false)
    guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else {
      throw corrupt("line \(line) is no merge of two tokens: '\(text.prefix(60))'", mergesFile)
    }
    merges.append((String(parts[0]), String(parts[1]), line))
  }

  /// `tokenizer.json`, which newer versions of transformers write instead of the other files.
  private mutating func readCombined(_ json: JSON) throws(Failure) {
    guard let model = json["model"], model["type"]?.string == "BPE" else {
      throw Failure(
        .unsupported, "the tokenizer is no byte-pair encoding", component: "tokenizer", file: vocabularyFile)
    }
    isCombined = true
    endOfWord = model["end_of_word_suffix"]?.string ?? ""
    try readVocabulary(model["vocab"])
    guard let entries = model["merges"]?.array else { throw corrupt("the model has no merges", mergesFile) }
    for (index, entry) in entries.enumerated() {
      if let text = entry.string {
        try addMerge(text, line: index + 1)
      } else if let left = entry[0]?.string, let right = entry[1]?.string, entry.array?.count == 2 {
        merges.append((left, right, index + 1))
      } else {
        throw corrupt("merge \(index + 1) is no pair of tokens", mergesFile)
      }
    }
    for value in json["added_tokens"]?.array ?? [] {
      try addDecoded(value, id: value["id"]?.int, file: vocabularyFile)
    }
  }

  private mutating func addDecoded(_ value: JSON, id: Int?, file: String) throws(Failure) {
    guard let token = try AddedToken(value, file: file), let id, id >= 0, id < Self.maximumTokens else {
      throw corrupt("an added token has no usable id: \(value.text.prefix(60))", file)
    }
    if let known = vocabulary[token.content], known != id {
      throw corrupt("the added token '\(token.content)' has id \(id), the vocabulary gives it \(known)", file)
    }
    ids[token.content] = id
    add(token)
  }

  private mutating func add(_ token: AddedToken) {
    addedTokens.removeAll { $0.content == token.content }
    addedTokens.append(token)
  }

  private mutating func readConfiguration(folder: String, combined: JSON?) throws(Failure) {
    let (configurationFile, mapFile) = (folder + "/tokenizer_config.json", folder + "/special_tokens_map.json")
    let addedFile = folder + "/added_tokens.json"
    let configuration = Self.exists(configurationFile) ? try JSON.parse(file: configurationFile) : .object([:])
    guard configuration.object != nil else { throw corrupt("a configuration is an object", configurationFile) }
    if let length = configuration["model_max_length"]?.double, length < Double(CLIPTokenizer.maximumPaddedLength) {
      guard length >= 2, let whole = Int(exactly: length) else {
        throw corrupt("model_max_length \(length) leaves no room for a text", configurationFile)
      }
      maximumLength = whole
    }
    let decoder = configuration["added_tokens_decoder"]?.object
    for (key, value) in (decoder ?? [:]).sorted(by: { $0.key < $1.key }) {
      try addDecoded(value, id: Int(key), file: configurationFile)
    }
    let hasFlags = decoder != nil || combined != nil
    // The older file; where the flags of all added tokens are given it has nothing to add.
    let map = !hasFlags && Self.exists(mapFile) ? try JSON.parse(file: mapFile) : .object([:])
    guard map.object != nil else { throw corrupt("a special tokens map is an object", mapFile) }
    if !hasFlags, Self.exists(addedFile) {
      guard let added = try JSON.parse(file: addedFile).object else {
        throw corrupt("added tokens are an object of tokens and their ids", addedFile)
      }
      for (content, value) in added.sorted(by: { $0.key < $1.key }) {
        try addDecoded(.object(["content": .string(content), "normalized": true]), id: value.int, file: addedFile)
      }
    }

    func special(_ key: String, _ standard: String?) throws(Failure) -> AddedToken? {
      if let value = map[key], !value.isNull { return try AddedToken(value, file: mapFile) }
      if let value = configuration[key], !value.isNull { return try AddedToken(value, file: configurationFile) }
      return standard.map { AddedToken(content: $0, isNormalized: false) }
    }
    // In this order: of tokens with the same content the last one's flags count.
    for (key, path) in [
      ("bos_token", \TokenizerFiles.beginning), ("eos_token", \.end), ("unk_token", \.unknown),
      ("pad_token", \.padding),
    ] as [(String, WritableKeyPath<TokenizerFiles, String>)] {
      guard let token = try special(key, self[keyPath: path]) else { continue }
      self[keyPath: path] = token.content
      if !hasFlags || !addedTokens.contains(where: { $0.content == token.content }) { add(token) }
    }
    let more = map["additional_special_tokens"] ?? configuration["additional_special_tokens"]
    for value in more?.array ?? [] {
      guard let token = try AddedToken(value, file: mapFile) else { continue }
      if !hasFlags || !addedTokens.contains(where: { $0.content == token.content }) { add(token) }
    }
  }

  /// Ids must be 0, 1, 2, … without gap or repetition over vocabulary and added tokens together.
  private func checkIDs() throws(Failure) {
    var all = vocabulary
    for (content, id) in ids { all[content] = id }
    var owners = [String?](repeating: nil, count: all.count)
    for (token, id) in all {
      guard owners.indices.contains(id) else {
        throw corrupt(
          "the ids have gaps: the token '\(token)' has id \(id), but there are only \(all.count) tokens", vocabularyFile
        )
      }
      if let owner = owners[id] {
        let pair = [owner, token].sorted()
        throw corrupt("the tokens '\(pair[0])' and '\(pair[1])' have the same id \(id)", vocabularyFile)
      }
      owners[id] = token
    }
  }

  func tokensByID() -> [String] {
    var tokens = [String](repeating: "", count: max(vocabulary.count, (ids.values.max() ?? -1) + 1))
    for (token, id) in vocabulary where tokens.indices.contains(id) { tokens[id] = token }
    for (token, id) in ids where tokens.indices.contains(id) { tokens[id] = token }
    return tokens
  }
}
