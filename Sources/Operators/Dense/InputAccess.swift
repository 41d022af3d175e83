import Graph
import Support

extension Array where Element == ValueInfo? {
  /// A required input's description.
  func input(_ index: Int, named name: String) throws(Failure) -> ValueInfo {
    guard index < count, let info = self[index] else { throw Failure(.corrupt, "input '\(name)' is missing") }
    return info
  }

  func optionalInput(_ index: Int) -> ValueInfo? { index < count ? self[index] : nil }
}

extension Array where Element == Tensor? {
  func tensor(_ index: Int, named name: String) throws(Failure) -> Tensor {
    guard index < count, let tensor = self[index] else { throw Failure(.internalError, "tensor '\(name)' is missing") }
    return tensor
  }

  func optionalTensor(_ index: Int) -> Tensor? { index < count ? self[index] : nil }
}

extension ValueInfo {
  func expectType(_ types: [DataType], named name: String) throws(Failure) {
    guard types.contains(type) else {
      throw Failure(
        .typeMismatch, "input '\(name)' has an element type that this operator does not take",
        expected: types.map(\.name).joined(separator: " or "), actual: type.name)
    }
  }

  func expectShape(_ expected: [Int], named name: String) throws(Failure) {
    guard shape == expected else {
      throw Failure(.shapeMismatch, "shape of input '\(name)'", expected: "\(expected)", actual: "\(shape)")
    }
  }

  func expectRank(_ ranks: ClosedRange<Int>, named name: String) throws(Failure) {
    guard ranks.contains(shape.count) else {
      let expected = ranks.count == 1 ? "\(ranks.lowerBound)" : "\(ranks.lowerBound) to \(ranks.upperBound)"
      throw Failure(.shapeMismatch, "rank of input '\(name)'", expected: expected, actual: "\(shape)")
    }
  }

  /// Number of elements; the shape has been checked where the tensor was made.
  var elementCount: Int { shape.reduce(1, *) }
}

/// `axis` counted from the front; negative values count from the back.
func checkedAxis(_ axis: Int, rank: Int) throws(Failure) -> Int {
  guard axis >= -rank, axis < rank else { throw Failure(.outOfRange, "axis \(axis) of a tensor of rank \(rank)") }
  return axis < 0 ? axis + rank : axis
}

extension Tensor {
  /// Elements of a float32 tensor.
  var floats: UnsafeMutablePointer<Float> { pointer(Float.self) }
}
