import Graph
import Support

/// Text features of many prompts, padding cut off: what the network reads.
public final class FeatureCache: @unchecked Sendable {
  public let width: Int
  private let values: FloatBuffer
  /// First row of every prompt, and the number of all rows.
  public let offsets: [Int]

  public var prompts: Int { offsets.count - 1 }

  /// `state` float32 (1, length, width) and `mask` (length) per prompt.
  public convenience init(_ features: [(state: Tensor, mask: [Int])]) throws(Failure) {
    guard let width = features.first?.state.shape.last else {
      throw Failure(.invalidArgument, "there are no prompts to learn from", component: "training")
    }
    var rows: [[Float]] = []
    var lengths: [Int] = []
    for (state, mask) in features {
      guard state.type == .float32, state.shape == [1, mask.count, width] else {
        throw Failure(
          .shapeMismatch, "text features of different shape", component: "training",
          expected: "float32 (1, \(mask.count), \(width))", actual: "\(state.type.name) \(state.shape)")
      }
      let used = mask.indices.filter { mask[$0] != 0 }
      guard !used.isEmpty else {
        throw Failure(.invalidArgument, "a prompt has no tokens at all", component: "training")
      }
      rows += withExtendedLifetime(state) {
        let values = state.buffer(Float.self)
        return used.map { Array(values[$0 * width..<($0 + 1) * width]) }
      }
      lengths.append(used.count)
    }
    try self.init(width: width, lengths: lengths, rows: rows)
  }

  init(width: Int, lengths: [Int], rows: [[Float]]) throws(Failure) {
    self.width = width
    offsets = lengths.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1) }
    values = try FloatBuffer(count: rows.count * width)
    for (row, content) in rows.enumerated() {
      for (index, value) in content.prefix(width).enumerated() { values.pointer[row * width + index] = value }
    }
    guard values.values.allSatisfy(\.isFinite) else {
      throw Failure(.notFinite, "the text features hold NaN or infinity", component: "training")
    }
  }

  /// The features of some prompts, stacked into `buffer`.
  func batch(_ prompts: ArraySlice<Int>, into buffer: FloatBuffer) throws(Failure) -> FeatureBatch {
    var stacked = [0]
    for prompt in prompts { stacked.append((stacked.last ?? 0) + offsets[prompt + 1] - offsets[prompt]) }
    try buffer.reserve((stacked.last ?? 0) * width)
    for (position, prompt) in prompts.enumerated() {
      (buffer.pointer + stacked[position] * width).update(
        from: values.pointer + offsets[prompt] * width, count: (offsets[prompt + 1] - offsets[prompt]) * width)
    }
    return FeatureBatch(features: UnsafePointer(buffer.pointer), offsets: stacked)
  }

  /// The first values of the first token where all prompts agree on them, as with causal text encoders; else empty.
  public var fingerprint: [Float] {
    let count = min(16, width)
    let first = (0..<count).map { values.pointer[$0] }
    let scale = first.reduce(0) { max($0, abs($1)) }
    for prompt in 1..<max(1, prompts) {
      for index in 0..<count where abs(values.pointer[offsets[prompt] * width + index] - first[index]) > 1e-3 * scale {
        return []
      }
    }
    return prompts > 1 && scale > 0 ? first : []
  }
}
