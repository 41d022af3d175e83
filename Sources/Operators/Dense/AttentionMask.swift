import Graph

/// A tensor seen as (batch, head, position, element); elements of one position are contiguous.
struct HeadView {
  var base: UnsafePointer<Float>
  var batchStride: Int
  var headStride: Int
  var positionStride: Int

  func position(_ batch: Int, _ head: Int, _ position: Int) -> UnsafePointer<Float> {
    base + batch * batchStride + head * headStride + position * positionStride
  }
}

/// What is added to the scores: a float mask, a boolean mask (false: excluded), the causal rule, valid key counts.
struct AttentionMask: @unchecked Sendable {
  var floats: UnsafePointer<Float>?
  var flags: UnsafePointer<UInt8>?
  /// Distances of the mask's (batch, head, query, key) dimensions; 0 where it broadcasts.
  var strides = (0, 0, 0, 0)
  /// Keys that the mask covers; further keys are excluded.
  var keyCount = Int.max
  /// Query i sees keys up to i + offset.
  var causalOffset: Int?
  /// Keys that count, per batch entry.
  var validKeys: UnsafePointer<Int64>?

  var isEmpty: Bool { floats == nil && flags == nil && causalOffset == nil && validKeys == nil }

  /// A mask tensor broadcast to four dimensions; `shape` has been checked.
  mutating func set(_ tensor: Tensor) {
    if tensor.type == .bool {
      flags = UnsafePointer(tensor.pointer(UInt8.self))
    } else {
      floats = UnsafePointer(tensor.floats)
    }
    let shape = [Int](repeating: 1, count: max(0, 4 - tensor.rank)) + tensor.shape
    var distances = [0, 0, 0, 0]
    var distance = 1
    for axis in (0..<4).reversed() {
      distances[axis] = shape[axis] == 1 ? 0 : distance
      distance *= shape[axis]
    }
    strides = (distances[0], distances[1], distances[2], distances[3])
    if shape[3] != 1 { keyCount = shape[3] }
  }

  /// Keys that this query may see at all, as a bound: 0 ..< result.
  func visible(_ batch: Int, _ query: Int, of total: Int) -> Int {
    var bound = min(total, keyCount)
    if let causalOffset { bound = min(bound, query + causalOffset + 1) }
    if let validKeys { bound = min(bound, max(0, Int(clamping: validKeys[batch]))) }
    return max(0, bound)
  }

  /// Adds the mask, times `unit`, to the scores of one query for keys `first ..< first + count`.
  func apply(
    _ scores: UnsafeMutablePointer<Float>, unit: Float = 1, batch: Int, head: Int, query: Int, first: Int, count: Int,
    total: Int
  ) {
    let bound = visible(batch, query, of: total) - first
    if bound < count { for i in max(0, bound)..<count { scores[i] = -.infinity } }
    let open = max(0, min(bound, count))
    let start = batch * strides.0 + head * strides.1 + query * strides.2 + first * strides.3
    if let floats {
      for i in 0..<open {
        let value = floats[start + i * strides.3]
        // Exporters exclude keys with the least finite number: a row that has nothing else stays finite.
        scores[i] += value.isFinite ? max(-Float.greatestFiniteMagnitude, value * unit) : value
      }
    } else if let flags {
      for i in 0..<open where flags[start + i * strides.3] == 0 { scores[i] = -.infinity }
    }
  }
}
