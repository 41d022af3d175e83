import Graph
import Support

/// numpy broadcasting of up to three contiguous tensors, reduced to as few loops as possible.
///
/// Neighbouring dimensions that every input walks alike are merged, so equal shapes, scalars, bias vectors and
/// per-channel factors all become long rows in which each input advances by 1 or stands still.
struct Broadcast: Sendable {
  /// Shape of the result.
  let shape: [Int]
  /// Elements of the result.
  let count: Int
  /// Elements of one row.
  let rowLength: Int
  /// Per input: 1 if it advances along a row, 0 if one element serves the whole row.
  let rowStrides: [Int]
  /// Merged dimensions outside the row, outermost first, and every input's stride in each.
  private let outerSizes: [Int]
  private let outerStrides: [[Int]]

  /// The broadcast shape. Throws `.shapeMismatch` where sizes differ and neither is 1.
  static func shape(of shapes: [[Int]]) throws(Failure) -> [Int] {
    let rank = shapes.map(\.count).max() ?? 0
    var result = [Int](repeating: 1, count: rank)
    for shape in shapes {
      let lead = rank - shape.count
      for (axis, size) in shape.enumerated() where size != 1 {
        guard result[lead + axis] == 1 || result[lead + axis] == size else {
          throw Failure(
            .shapeMismatch, "shapes do not broadcast", actual: shapes.map { "\($0)" }.joined(separator: " and "))
        }
        result[lead + axis] = size
      }
    }
    return result
  }

  init(_ shapes: [[Int]]) throws(Failure) {
    shape = try Broadcast.shape(of: shapes)
    count = try CheckedSize.product(shape, of: "broadcast shape")
    let rank = shape.count
    // Strides of the unmerged dimensions: 0 where an input is repeated.
    var full: [[Int]] = []
    for input in shapes {
      var strides = [Int](repeating: 0, count: rank)
      var step = 1
      for axis in stride(from: input.count - 1, through: 0, by: -1) {
        if input[axis] != 1 { strides[rank - input.count + axis] = step }
        step *= max(input[axis], 1)
      }
      full.append(strides)
    }
    var sizes: [Int] = []
    var strides: [[Int]] = shapes.map { _ in [] }
    for axis in 0..<rank where shape[axis] != 1 {
      let size = shape[axis]
      let last = sizes.count - 1
      let mergeable = last >= 0 && full.indices.allSatisfy { strides[$0][last] == full[$0][axis] * size }
      if mergeable {
        sizes[last] *= size
        for input in full.indices { strides[input][last] = full[input][axis] }
      } else {
        sizes.append(size)
        for input in full.indices { strides[input].append(full[input][axis]) }
      }
    }
    rowLength = sizes.last ?? 1
    rowStrides = strides.map { $0.last ?? 0 }
    outerSizes = sizes.dropLast()
    outerStrides = strides.map { Array($0.dropLast()) }
  }

  /// Calls `body(result offset, input offsets, count)` for the rows, or parts of rows, of a range of result elements.
  /// Unused input offsets are 0.
  @inline(__always)
  func forEachRow(_ range: Range<Int>, _ body: (Int, (Int, Int, Int), Int) -> Void) {
    guard !range.isEmpty, rowLength > 0 else { return }
    let depth = outerSizes.count
    withUnsafeTemporaryAllocation(of: Int.self, capacity: depth * 5 + 1) { memory in
      guard let coordinates = memory.baseAddress else { return }
      // coordinates, then sizes, then three strides per dimension
      let sizes = coordinates + depth
      let strides = sizes + depth
      var row = range.lowerBound / rowLength
      var position = range.lowerBound % rowLength
      for axis in 0..<depth {
        sizes[axis] = outerSizes[axis]
        for input in 0..<3 {
          strides[axis * 3 + input] = input < outerStrides.count ? outerStrides[input][axis] : 0
        }
      }
      var a = 0
      var b = 0
      var c = 0
      for axis in stride(from: depth - 1, through: 0, by: -1) {
        let coordinate = row % sizes[axis]
        row /= sizes[axis]
        coordinates[axis] = coordinate
        a += coordinate * strides[axis * 3]
        b += coordinate * strides[axis * 3 + 1]
        c += coordinate * strides[axis * 3 + 2]
      }
      let stepA = rowStrides.count > 0 ? rowStrides[0] : 0
      let stepB = rowStrides.count > 1 ? rowStrides[1] : 0
      let stepC = rowStrides.count > 2 ? rowStrides[2] : 0
      var offset = range.lowerBound
      while offset < range.upperBound {
        let count = min(rowLength - position, range.upperBound - offset)
        body(offset, (a + position * stepA, b + position * stepB, c + position * stepC), count)
        offset += count
        position = 0
        var axis = depth - 1
        while axis >= 0 {
          coordinates[axis] += 1
          a += strides[axis * 3]
          b += strides[axis * 3 + 1]
          c += strides[axis * 3 + 2]
          if coordinates[axis] < sizes[axis] { break }
          a -= sizes[axis] * strides[axis * 3]
          b -= sizes[axis] * strides[axis * 3 + 1]
          c -= sizes[axis] * strides[axis * 3 + 2]
          coordinates[axis] = 0
          axis -= 1
        }
      }
    }
  }
}
