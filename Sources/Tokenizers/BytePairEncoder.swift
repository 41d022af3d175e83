import Support

/// Byte-pair encoding of one word at a time: the word's bytes, joined by the learned merges in the order of their ranks.
/// CLIP marks the last byte with `</w>`, GPT-2 none.
struct BytePairEncoder: Sendable {
  private struct Merge {
    var rank: UInt32
    var token: UInt32
  }

  private let merges: [UInt64: Merge]
  /// The token of each byte inside a word, and at its end.
  private let inner: [UInt32]
  private let final: [UInt32]

  /// How GPT-2's vocabularies write bytes: printable Latin-1 characters stand for themselves, the others follow from
  /// U+0100.
  static let byteCharacters: [Unicode.Scalar] = {
    var characters: [Unicode.Scalar] = []
    var next: UInt32 = 0x100
    for byte in UInt8.min...UInt8.max {
      switch byte {
      case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: characters.append(Unicode.Scalar(byte))
      default:
        characters.append(Unicode.Scalar(next) ?? "?")
        next += 1
      }
    }
    return characters
  }()

  static let endOfWord = "</w>"

  /// - Parameters:
  ///   - merges: pairs of tokens, most frequent first; `line` gives the place of each in the file for messages.
  ///   - unknown: the token of a byte that the vocabulary lacks.
  ///   - endOfWord: what is written behind a word's last byte.
  init(
    vocabulary: [String: Int], merges pairs: [(left: String, right: String, line: Int)], unknown: Int,
    endOfWord: String, file: String
  ) throws(Failure) {
    var merges: [UInt64: Merge] = [:]
    merges.reserveCapacity(pairs.count)
    for (rank, pair) in pairs.enumerated() {
      func id(_ token: String) throws(Failure) -> UInt32 {
        guard let id = vocabulary[token] else {
          throw Failure(
            .corrupt,
            "the merge '\(pair.left) \(pair.right)' in line \(pair.line) needs the token '\(token)', "
              + "which is not in the vocabulary", file: file)
        }
        return UInt32(id)
      }
      let (left, right) = (try id(pair.left), try id(pair.right))
      merges[Self.key(left, right)] = Merge(rank: UInt32(rank), token: try id(pair.left + pair.right))
    }
    self.merges = merges
    let symbols = Self.byteCharacters.map { String($0) }
    inner = symbols.map { UInt32(vocabulary[$0] ?? unknown) }
    final = symbols.map { UInt32(vocabulary[$0 + endOfWord] ?? unknown) }
  }

  private static func key(_ left: UInt32, _ right: UInt32) -> UInt64 { UInt64(left) << 32 | UInt64(right) }

  /// Appends the tokens of a word. Time is n log n in its bytes.
  func encode(_ word: [UInt8], into output: inout [Int]) {
    guard word.count > 1 else {
      if let byte = word.first { output.append(Int(final[Int(byte)])) }
      return
    }
    var tokens = word.map { inner[Int($0)] }
    tokens[word.count - 1] = final[Int(word[word.count - 1])]
    // A linked list over positions; merged-away positions get the successor -2.
    let count = tokens.count
    var previous = (0..<count).map { $0 - 1 }
    var next = (0..<count).map { $0 + 1 < count ? $0 + 1 : -1 }
    var queue = MergeQueue()
    func push(_ position: Int) {
      guard position >= 0, next[position] >= 0,
        let merge = merges[Self.key(tokens[position], tokens[next[position]])]
      else { return }
      queue.push(MergeQueue.Entry(rank: merge.rank, position: UInt32(position), token: merge.token))
    }
    for position in 0..<count - 1 { push(position) }
    while let entry = queue.pop() {
      let position = Int(entry.position)
      let right = next[position]
      // The pair may have changed since it was queued.
      guard right >= 0, let merge = merges[Self.key(tokens[position], tokens[right])], merge.token == entry.token
      else { continue }
      tokens[position] = merge.token
      next[position] = next[right]
      if next[right] >= 0 { previous[next[right]] = position }
      next[right] = -2
      push(previous[position])
      push(position)
    }
    var position = 0
    while position >= 0 {
      output.append(Int(tokens[position]))
      position = next[position]
    }
  }
}

/// A binary heap of possible merges, lowest rank first, then leftmost.
struct MergeQueue {
  struct Entry {
    var rank: UInt32
    var position: UInt32
    var token: UInt32

    var order: UInt64 { UInt64(rank) << 32 | UInt64(position) }
  }

  private var entries: [Entry] = []

  mutating func push(_ entry: Entry) {
    entries.append(entry)
    var child = entries.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard entries[child].order < entries[parent].order else { break }
      entries.swapAt(child, parent)
      child = parent
    }
  }

  mutating func pop() -> Entry? {
    guard let first = entries.first else { return nil }
    let last = entries.removeLast()
    guard !entries.isEmpty else { return first }
    entries[0] = last
    var parent = 0
    while true {
      var smallest = parent
      for child in [2 * parent + 1, 2 * parent + 2]
      where child < entries.count && entries[child].order < entries[smallest].order {
        smallest = child
      }
      guard smallest != parent else { break }
      entries.swapAt(parent, smallest)
      parent = smallest
    }
    return first
  }
}
