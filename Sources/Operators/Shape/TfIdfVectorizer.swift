import Graph
import Support

/// TfIdfVectorizer: counts the n-grams of a pool in every row, skipping up to a number of elements between members.
struct TfIdfVectorizer: Operator {
  private enum Weighting: String { case counts = "TF", presence = "IDF", weighted = "TFIDF" }

  private let weighting: Weighting
  private let lengths: ClosedRange<Int>
  private let skips: Int
  /// Output column of every n-gram; elements are written as text so that numbers and strings share one table.
  private let columns: [[String]: Int]
  private let columnWeights: [Int: Float]
  private let width: Int
  private let readsStrings: Bool

  init(_ node: Node) throws {
    let mode = try node.word("mode", default: "TF", among: ["TF", "IDF", "TFIDF"])
    weighting = Weighting(rawValue: mode) ?? .counts
    let shortest = try node.required(node.int("min_gram_length"), "min_gram_length")
    let longest = try node.required(node.int("max_gram_length"), "max_gram_length")
    skips = try node.required(node.int("max_skip_count"), "max_skip_count")
    guard shortest >= 1, longest >= shortest, longest <= 1_024, skips >= 0, skips <= 1 << 20 else {
      throw Failure(.outOfRange, "n-grams of \(shortest) to \(longest) with up to \(skips) skips are not usable")
    }
    lengths = shortest...longest
    let starts = try node.required(node.ints("ngram_counts"), "ngram_counts")
    let indices = try node.required(node.ints("ngram_indexes"), "ngram_indexes")
    let texts = try node.strings("pool_strings")
    readsStrings = texts != nil
    let pool = try texts ?? node.required(node.ints("pool_int64s"), "pool_int64s").map { String($0) }
    guard starts.first == 0 || pool.isEmpty, starts == starts.sorted(), starts.last ?? 0 <= pool.count,
      indices.allSatisfy({ $0 >= 0 && $0 < 1 << 28 })
    else {
      throw Failure(.corrupt, "ngram_counts \(starts) or ngram_indexes do not fit the pool of \(pool.count)")
    }
    // The pool lists all 1-grams, then all 2-grams, …; the k-th n-gram of the pool has the k-th column.
    var columns: [[String]: Int] = [:]
    var gram = 0
    for (position, start) in starts.enumerated() {
      let end = position + 1 < starts.count ? starts[position + 1] : pool.count
      let length = position + 1
      guard (end - start) % length == 0 else {
        throw Failure(.corrupt, "the pool's \(length)-grams have \(end - start) members")
      }
      for first in stride(from: start, to: end, by: length) {
        guard gram < indices.count else { throw Failure(.corrupt, "ngram_indexes is shorter than the pool") }
        columns[Array(pool[first..<(first + length)])] = indices[gram]
        gram += 1
      }
    }
    self.columns = columns
    width = (indices.max() ?? -1) + 1
    let weights = try node.floats("weights") ?? []
    guard weights.isEmpty || weights.count == indices.count else {
      throw Failure(
        .corrupt, "one weight per n-gram is required", expected: "\(indices.count)", actual: "\(weights.count)")
    }
    columnWeights = Dictionary(zip(indices, weights), uniquingKeysWith: { first, _ in first })
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "X")
    guard data.shape.count == 1 || data.shape.count == 2 else {
      throw Failure(.shapeMismatch, "rows are required", expected: "rank 1 or 2", actual: "\(data.shape)")
    }
    guard readsStrings ? data.type == .string : data.type == .int32 || data.type == .int64 else {
      throw Failure(
        .typeMismatch, "the input does not fit the pool", expected: readsStrings ? "string" : "int32 or int64",
        actual: data.type.name)
    }
    let shape = Array(data.shape.dropLast()) + [width]
    _ = try CheckedSize.product(shape, of: "vectors")
    return [ValueInfo(type: .float32, shape: shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let data = try inputs.tensor(at: 0)
    guard let output = outputs.optionalTensor(at: 0) else { return }
    let elements = readsStrings ? data.strings : try data.integers().map { String($0) }
    let length = data.shape.last ?? 0
    var counts = [Double](repeating: 0, count: output.count)
    for row in 0..<data.shape.dropLast().reduce(1, *) {
      try context.checkCancelled()
      let line = Array(elements[(row * length)..<((row + 1) * length)])
      for size in lengths {
        // A 1-gram has no gaps.
        for step in 1...(size == 1 ? 1 : skips + 1) {
          let reach = (size - 1) * step
          guard reach < length else { break }
          for first in 0..<(length - reach) {
            let gram = stride(from: first, through: first + reach, by: step).map { line[$0] }
            if let column = columns[gram] { counts[row * width + column] += 1 }
          }
        }
      }
    }
    if weighting != .counts {
      for index in counts.indices {
        let weight = Double(columnWeights[index % width] ?? 1)
        counts[index] = weighting == .presence ? (counts[index] > 0 ? weight : 0) : counts[index] * weight
      }
    }
    try output.store(counts)
  }
}
