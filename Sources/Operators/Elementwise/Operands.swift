import Graph
import Support

/// Checked access to an operator's inputs and outputs by position.
extension Array {
  /// What is known of a required input.
  func operand(_ index: Int) throws(Failure) -> ValueInfo where Element == ValueInfo? {
    guard index < count, let info = self[index] else { throw missingOperand(index) }
    return info
  }

  /// A required input.
  func operand(_ index: Int) throws(Failure) -> Tensor where Element == Tensor? {
    guard index < count, let tensor = self[index] else { throw missingOperand(index) }
    return tensor
  }

  /// An optional input, nil where the model leaves it out.
  func optionalOperand<Wrapped>(_ index: Int) -> Wrapped? where Element == Wrapped? {
    index < count ? self[index] : nil
  }
}

private func missingOperand(_ index: Int) -> Failure {
  Failure(.corrupt, "input \(index) is required but missing")
}

extension ValueInfo {
  func requireType(_ allowed: Bool, _ expected: String) throws(Failure) {
    guard allowed else {
      throw Failure(.typeMismatch, "element type is not allowed here", expected: expected, actual: type.name)
    }
  }

  func requireSameType(as other: ValueInfo) throws(Failure) {
    guard type == other.type else {
      throw Failure(.typeMismatch, "inputs differ in element type", expected: other.type.name, actual: type.name)
    }
  }
}

extension Tensor {
  /// Start of the memory for reading elements of the tensor's own type.
  var rawPointer: UnsafeMutableRawPointer { UnsafeMutableRawPointer(pointer(UInt8.self)) }
}

/// `axis` counted from the front; negative numbers count from the back.
func normalizedAxis(_ axis: Int, rank: Int) throws(Failure) -> Int {
  guard axis >= -rank, axis < max(rank, 1) else {
    throw Failure(.outOfRange, "axis is out of range", expected: "\(-rank)...\(rank - 1)", actual: "\(axis)")
  }
  return axis < 0 ? axis + rank : axis
}

extension ThreadPool {
  /// Like `forRanges`, with every range starting at a multiple of 8 elements, so that types of 2 and 4 bits start on a
  /// byte.
  func forAlignedRanges(_ count: Int, grain: Int, _ body: (Range<Int>) -> Void) {
    forRanges((count + 7) / 8, grain: max(1, grain / 8)) { groups in
      body(groups.lowerBound * 8..<min(groups.upperBound * 8, count))
    }
  }
}

/// Calls `body(start, count)` for consecutive pieces of at most `chunkLength` elements.
@inline(__always)
func forChunks(_ range: Range<Int>, _ body: (Int, Int) -> Void) {
  var start = range.lowerBound
  while start < range.upperBound {
    let count = min(chunkLength, range.upperBound - start)
    body(start, count)
    start += count
  }
}

/// Scratch memory for one chunk on the stack.
@inline(__always)
func withChunk<Element: BitwiseCopyable>(
  of _: Element.Type, _ body: (UnsafeMutablePointer<Element>) -> Void
) {
  withStackBlock(of: Element.self, capacity: chunkLength, body)
}

/// Elements below which a range is not worth handing to another thread.
enum Grain {
  /// Memory-bound work: one addition, a copy.
  static let light = 32768
  /// A transcendental function or a conversion per element.
  static let heavy = 4096
}
