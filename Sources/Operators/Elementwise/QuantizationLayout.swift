import Graph
import Support

/// Which scale and zero point belong to which element: one for all, one per index of an axis, or one per block of it.
struct QuantizationLayout: Sendable {
  /// Elements before, along and after the quantised axis.
  let outer: Int
  let length: Int
  let inner: Int
  /// Neighbours along the axis that share a scale; `length` (at least 1) when one scale serves the whole tensor.
  let blockSize: Int
  /// Scales along the axis.
  let blocks: Int
  private let isUniform: Bool
  /// The scale has the axes of the input (blocked); otherwise it is one vector along the axis.
  private let isBlocked: Bool

  init(shape: [Int], scale: [Int], axis: Int, blockSize: Int) throws(Failure) {
    if scale.allSatisfy({ $0 == 1 }), scale.count <= 1 {
      outer = 1
      length = 1
      inner = shape.reduce(1, *)
      self.blockSize = 1
      blocks = 1
      isUniform = true
      isBlocked = false
      return
    }
    isUniform = false
    let axis = try normalizedAxis(axis, rank: shape.count)
    guard axis < shape.count else { throw Failure(.shapeMismatch, "a scalar has no axis to quantise along") }
    outer = shape[..<axis].reduce(1, *)
    length = shape[axis]
    inner = shape[(axis + 1)...].reduce(1, *)
    if scale.count == 1, blockSize == 0 {
      guard scale[0] == length else {
        throw Failure(
          .shapeMismatch, "one scale per index of axis \(axis)", expected: "[\(length)]", actual: "\(scale)")
      }
      isBlocked = false
      self.blockSize = 1
      blocks = length
      return
    }
    guard blockSize > 0 else {
      throw Failure(.shapeMismatch, "a scale of several axes needs block_size", actual: "\(scale)")
    }
    var expected = shape
    expected[axis] = length / blockSize + (length % blockSize == 0 ? 0 : 1)
    guard scale == expected else {
      throw Failure(.shapeMismatch, "one scale per block of \(blockSize)", expected: "\(expected)", actual: "\(scale)")
    }
    isBlocked = true
    self.blockSize = blockSize
    blocks = expected[axis]
  }

  /// Calls `body(first element, count, first scale, scale step)` for runs of a range; along a run the scale's index grows
  /// by the step, 0 or 1, per element.
  @inline(__always)
  func forEachRun(_ range: Range<Int>, _ body: (Int, Int, Int, Int) -> Void) {
    guard !isUniform else { return body(range.lowerBound, range.count, 0, 0) }
    var element = range.lowerBound
    while element < range.upperBound {
      let position = element % inner
      let index = element / inner % length
      let outerIndex = element / inner / length
      let available = range.upperBound - element
      let block = index / blockSize
      let count: Int
      if isBlocked, inner > 1 {
        count = min(inner - position, available)
        body(element, count, (outerIndex * blocks + block) * inner + position, 1)
      } else if isBlocked {
        count = min((block + 1) * blockSize, length) - index
        body(element, min(count, available), outerIndex * blocks + block, 0)
      } else if inner == 1 {
        count = min(length - index, available)
        body(element, count, index, 1)
      } else {
        count = min(inner - position, available)
        body(element, count, index, 0)
      }
      element += min(count, available)
    }
  }
}
