import Glibc
import Support

/// An interpolated n-gram language model over words, after Witten and Bell (1991): the estimate of a context is mixed with
/// that of the context one word shorter, the less often the context was seen the more, down to equal chances for all words.
///
/// Stored as JSON: `{"format": 1, "order": 3, "counts": {"a red apple": 4, …}}`; keys are one to `order` words separated by
/// spaces, `<s>` begins and `</s>` ends a text.
public struct NGramTable: LanguageModel {
  public static let format = 1
  static let (beginning, end) = ("<s>", "</s>")

  public let order: Int
  private let counts: [String: Int]
  /// Per context: how often it was followed by anything, and by how many different words.
  private let contexts: [String: (total: Int, distinct: Int)]
  /// Different words, `</s>` included.
  private let vocabularySize: Int

  /// Counts the n-grams of `captions`. Throws `.invalidArgument` where there is nothing to count.
  public init(captions: [String], order: Int = 3) throws(Failure) {
    guard (1...5).contains(order) else {
      throw Failure(.outOfRange, "the order of an n-gram table", expected: "1…5", actual: "\(order)")
    }
    var counts: [String: Int] = [:]
    for caption in captions {
      let words = Self.words(caption)
      guard !words.isEmpty else { continue }
      let padded = Array(repeating: Self.beginning, count: order - 1) + words + [Self.end]
      for position in (order - 1)..<padded.count {
        for length in 1...order {
          counts[padded[(position - length + 1)...position].joined(separator: " "), default: 0] += 1
        }
      }
    }
    guard !counts.isEmpty else {
      throw Failure(.invalidArgument, "an n-gram table needs at least one caption with words", component: "policy")
    }
    self.init(order: order, counts: counts)
  }

  private init(order: Int, counts: [String: Int]) {
    self.order = order
    self.counts = counts
    var contexts: [String: (total: Int, distinct: Int)] = [:]
    for (key, count) in counts {
      let context = key.lastIndex(of: " ").map { String(key[..<$0]) } ?? ""
      let known = contexts[context] ?? (0, 0)
      contexts[context] = (known.total &+ count, known.distinct + 1)
    }
    self.contexts = contexts
    vocabularySize = contexts[""]?.distinct ?? 0
  }

  /// Reads a file that `json` was written to.
  public init(file: String) throws(Failure) {
    let json = try JSON.parse(file: file)
    func bad(_ message: String) -> Failure { Failure(.corrupt, message, component: "policy", file: file) }
    guard json["format"]?.int == Self.format else { throw bad("not an n-gram table of format \(Self.format)") }
    guard let order = json["order"]?.int, (1...5).contains(order) else { throw bad("'order' must be 1 to 5") }
    guard let members = json["counts"]?.object, !members.isEmpty else { throw bad("'counts' must be an object") }
    var counts: [String: Int] = [:]
    counts.reserveCapacity(members.count)
    for (key, value) in members {
      guard let count = value.int, (1...(1 << 40)).contains(count), !key.isEmpty,
        key.split(separator: " ", omittingEmptySubsequences: false).count <= order
      else { throw bad("'counts' holds the entry '\(key)' that is no n-gram with its count") }
      counts[key] = count
    }
    self.init(order: order, counts: counts)
  }

  public var json: JSON {
    .object([
      "format": JSON(Self.format), "order": JSON(order), "counts": .object(counts.mapValues { JSON($0) }),
    ])
  }

  /// Lower-cased runs of letters and digits.
  static func words(_ text: String) -> [String] {
    text.lowercased().split { !($0.isLetter || $0.isNumber) }.map(String.init)
  }

  public func perplexity(_ text: String, checkCancelled: @escaping () throws -> Void = {}) -> Double {
    let padded = Array(repeating: Self.beginning, count: order - 1) + Self.words(text) + [Self.end]
    var logarithms = 0.0
    for position in (order - 1)..<padded.count {
      // One place more than words: all the words that no caption has.
      var probability = 1 / Double(vocabularySize + 1)
      for length in 1...order {
        let context = padded[(position - length + 1)..<position].joined(separator: " ")
        guard let seen = contexts[context] else { break }
        let key = context.isEmpty ? padded[position] : "\(context) \(padded[position])"
        let (total, distinct) = (Double(seen.total), Double(seen.distinct))
        probability = (Double(counts[key] ?? 0) + distinct * probability) / (total + distinct)
      }
      logarithms += log(probability)
    }
    return exp(-logarithms / Double(padded.count - order + 1))
  }
}
