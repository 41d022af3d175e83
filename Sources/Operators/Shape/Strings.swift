import Graph
import Support

/// StringConcat: joins the elements of two broadcast string tensors.
struct StringConcat: Operator {
  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let left = try inputs.info(at: 0, named: "X")
    let right = try inputs.info(at: 1, named: "Y")
    guard left.type == .string, right.type == .string else {
      throw Failure(.typeMismatch, "strings are required", actual: "\(left.type.name) and \(right.type.name)")
    }
    return [ValueInfo(type: .string, shape: try ShapeRules.broadcast(left.shape, right.shape))]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let output = outputs.optionalTensor(at: 0) else { return }
    var parts: [[String]] = []
    for index in 0..<2 {
      let part = try inputs.tensor(at: index)
      let expanded = try Tensor(type: .string, shape: output.shape)
      try Expand().run(inputs: [part], outputs: [expanded], context: context)
      parts.append(expanded.strings)
    }
    output.strings = zip(parts[0], parts[1]).map { $0 + $1 }
  }
}

/// StringSplit: substrings of every element, padded with empty strings to the longest list, and their counts.
struct StringSplit: DynamicOperator {
  let delimiter: String
  let limit: Int?

  init(_ node: Node) throws {
    delimiter = try node.string("delimiter", default: "")
    limit = try node.int("maxsplit")
  }

  func evaluate(_ inputs: [Value?], context: RunContext) throws -> [Value?] {
    let data = try inputs.tensorValue(at: 0, named: "X")
    guard data.type == .string else { throw Failure(.typeMismatch, "strings are required", actual: data.type.name) }
    let splits = limit.map { $0 < 0 ? Int.max : $0 } ?? Int.max
    let lists = data.strings.map {
      delimiter.isEmpty ? Self.words(of: $0, splits) : Self.parts(of: $0, delimiter, splits)
    }
    let width = lists.map(\.count).max() ?? 0
    let padded = lists.flatMap { $0 + [String](repeating: "", count: width - $0.count) }
    let counts = try Tensor(type: .int64, shape: data.shape, values: lists.map { Int64($0.count) })
    return [.tensor(Tensor(strings: padded, shape: data.shape + [width])), .tensor(counts)]
  }

  /// Words between runs of white space; after `splits` of them the rest stays whole.
  private static func words(of text: String, _ splits: Int) -> [String] {
    var words: [String] = []
    var rest = Substring(text).drop(while: \.isWhitespace)
    while !rest.isEmpty {
      guard words.count < splits else {
        words.append(String(rest))
        break
      }
      let word = rest.prefix { !$0.isWhitespace }
      words.append(String(word))
      rest = rest[word.endIndex...].drop(while: \.isWhitespace)
    }
    return words
  }

  private static func parts(of text: String, _ delimiter: String, _ splits: Int) -> [String] {
    let bytes = Array(text.utf8)
    let mark = Array(delimiter.utf8)
    var parts: [String] = []
    var start = 0
    var index = 0
    while index + mark.count <= bytes.count, parts.count < splits {
      if bytes[index..<(index + mark.count)].elementsEqual(mark) {
        parts.append(String(decoding: bytes[start..<index], as: UTF8.self))
        index += mark.count
        start = index
      } else {
        index += 1
      }
    }
    return parts + [String(decoding: bytes[start...], as: UTF8.self)]
  }
}

/// StringNormalizer: drops stop words and changes case. When nothing is left the result is one empty string.
struct StringNormalizer: DynamicOperator {
  let caseChange: String
  let isCaseSensitive: Bool
  let stopWords: Set<String>

  init(_ node: Node) throws {
    caseChange = try node.word("case_change_action", default: "NONE", among: ["NONE", "LOWER", "UPPER"])
    let sensitive = try node.bool("is_case_sensitive", default: false)
    isCaseSensitive = sensitive
    stopWords = Set((try node.strings("stopwords") ?? []).map { sensitive ? $0 : $0.lowercased() })
  }

  func evaluate(_ inputs: [Value?], context: RunContext) throws -> [Value?] {
    let data = try inputs.tensorValue(at: 0, named: "X")
    guard data.type == .string, data.rank == 1 || (data.rank == 2 && data.shape[0] == 1) else {
      throw Failure(
        .shapeMismatch, "a list of strings is required", expected: "string [C] or [1, C]",
        actual: "\(data.type.name) \(data.shape)")
    }
    let kept = data.strings.filter { !stopWords.contains(isCaseSensitive ? $0 : $0.lowercased()) }
    var result = kept.map { caseChange == "LOWER" ? $0.lowercased() : caseChange == "UPPER" ? $0.uppercased() : $0 }
    if result.isEmpty { result = [""] }
    return [.tensor(Tensor(strings: result, shape: data.rank == 1 ? [result.count] : [1, result.count]))]
  }
}

/// RegexFullMatch: whether a pattern matches each whole string.
struct RegexFullMatch: Operator {
  let expression: RegularExpression

  init(_ node: Node) throws { expression = try RegularExpression(try node.string("pattern", default: "")) }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "X")
    guard data.type == .string else { throw Failure(.typeMismatch, "strings are required", actual: data.type.name) }
    return [ValueInfo(type: .bool, shape: data.shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let data = try inputs.tensor(at: 0)
    guard let output = outputs.optionalTensor(at: 0) else { return }
    for (index, text) in data.strings.enumerated() {
      try context.checkCancelled()
      output.pointer(UInt8.self)[index] = expression.matchesWhole(text) ? 1 : 0
    }
  }
}
