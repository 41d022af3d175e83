import Graph
import Support

/// The shapes of one matrix product with numpy's broadcasting: A (…, m, k) · B (…, k, n).
struct MatMulShape {
  var m: Int
  var n: Int
  var k: Int
  /// Broadcast leading dimensions.
  var batch: [Int]
  var aBatch: [Int]
  var bBatch: [Int]
  /// The result as ONNX describes it: one-dimensional operands lose their dimension.
  var output: [Int]

  init(_ a: [Int], _ b: [Int]) throws(Failure) {
    guard let aLast = a.last, let bLast = b.last else {
      throw Failure(.shapeMismatch, "matrix product of scalars", actual: "\(a) and \(b)")
    }
    k = aLast
    m = a.count > 1 ? a[a.count - 2] : 1
    n = b.count > 1 ? bLast : 1
    guard (b.count > 1 ? b[b.count - 2] : bLast) == k else {
      throw Failure(.shapeMismatch, "inner dimensions differ", actual: "\(a) and \(b)")
    }
    aBatch = Array(a.dropLast(2))
    bBatch = Array(b.dropLast(2))
    batch = try MatMulShape.broadcast(aBatch, bBatch)
    output = batch + (a.count > 1 ? [m] : []) + (b.count > 1 ? [n] : [])
  }

  var batchCount: Int { batch.reduce(1, *) }
  var bCount: Int { bBatch.reduce(1, *) }

  static func broadcast(_ a: [Int], _ b: [Int]) throws(Failure) -> [Int] {
    let rank = max(a.count, b.count)
    var result: [Int] = []
    for axis in 0..<rank {
      let x = axis < rank - a.count ? 1 : a[axis - rank + a.count]
      let y = axis < rank - b.count ? 1 : b[axis - rank + b.count]
      guard x == y || x == 1 || y == 1 else {
        throw Failure(.shapeMismatch, "shapes do not broadcast", actual: "\(a) and \(b)")
      }
      result.append(x == 1 ? y : x)
    }
    return result
  }

  /// Number of the operand's matrix that takes part in every result matrix.
  func operandIndices(_ operand: [Int]) -> [Int] {
    var indices = [0]
    indices.reserveCapacity(batchCount)
    var stride = 1
    var strides = [Int](repeating: 0, count: batch.count)
    for axis in operand.indices.reversed() {
      let size = operand[axis]
      strides[axis + batch.count - operand.count] = size == 1 ? 0 : stride
      stride *= size
    }
    for (axis, size) in batch.enumerated() {
      var next: [Int] = []
      next.reserveCapacity(indices.count * size)
      for base in indices { for i in 0..<size { next.append(base + i * strides[axis]) } }
      indices = next
    }
    return indices
  }

}
