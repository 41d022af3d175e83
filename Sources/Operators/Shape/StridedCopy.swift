import Support

/// Copies an n-dimensional block: element (i0, i1, …) goes from `sourceOffset + Σ i·sourceStride` to
/// `destinationOffset + Σ i·destinationStride`. Transposes, slices, joins, broadcasts and tiles are all of this form.
///
/// Source strides may be zero (repeat) or negative (reverse); destinations must not overlap.
struct StridedCopy: ElementMovement {
  private var shape: [Int] = []
  private var sourceStrides: [Int] = []
  private var destinationStrides: [Int] = []
  private var sourceOffset: Int
  private var destinationOffset: Int
  private var isEmpty: Bool
  private var pool: ThreadPool
  /// Axis that becomes the last one where the copy is a transpose.
  private var turned: Int?
  /// What lies around a row, or around a transposed plane.
  private var outer = RowOffsets(shape: [], first: [], second: [])

  /// Fewer elements than this are not worth a second thread.
  private static let elementsPerThread = 32_768
  private static let blockSide = TransposedTile.side

  init(
    shape: [Int], sourceStrides: [Int], sourceOffset: Int = 0, destinationStrides: [Int], destinationOffset: Int = 0,
    pool: ThreadPool
  ) {
    self.sourceOffset = sourceOffset
    self.destinationOffset = destinationOffset
    self.pool = pool
    isEmpty = shape.contains(0)
    // The order of loops is free: the destination is walked in memory order.
    let axes = shape.indices.filter { shape[$0] != 1 }
      .sorted { destinationStrides[$0] > destinationStrides[$1] }
    for axis in axes {
      if let last = self.shape.indices.last,
        self.sourceStrides[last] == sourceStrides[axis] * shape[axis],
        self.destinationStrides[last] == destinationStrides[axis] * shape[axis]
      {
        self.shape[last] *= shape[axis]
        self.sourceStrides[last] = sourceStrides[axis]
        self.destinationStrides[last] = destinationStrides[axis]
      } else {
        self.shape.append(shape[axis])
        self.sourceStrides.append(sourceStrides[axis])
        self.destinationStrides.append(destinationStrides[axis])
      }
    }
    if self.shape.isEmpty {
      self.shape = [1]
      self.sourceStrides = [1]
      self.destinationStrides = [1]
    }
    let last = self.shape.count - 1
    if self.sourceStrides[last] != 1 || self.destinationStrides[last] != 1,
      let contiguous = self.shape.indices.dropLast().first(where: { self.sourceStrides[$0] == 1 }),
      self.shape[contiguous] >= 4
    {
      turned = contiguous
    }
    let others = self.shape.indices.filter { $0 != turned && $0 != last }
    outer = RowOffsets(
      shape: others.map { self.shape[$0] }, first: others.map { self.sourceStrides[$0] },
      second: others.map { self.destinationStrides[$0] })
  }

  /// The same copy by another pool.
  func on(_ pool: ThreadPool) -> StridedCopy {
    var copy = self
    copy.pool = pool
    return copy
  }

  func move<Element>(_ sources: [UnsafePointer<Element>], _ destinations: [UnsafeMutablePointer<Element>]) {
    run(from: sources[0], to: destinations[0])
  }

  func run<Element>(from source: UnsafePointer<Element>, to destination: UnsafeMutablePointer<Element>) {
    guard !isEmpty else { return }
    if let turned {
      transpose(turned, from: source, to: destination)
    } else {
      copyRows(from: source, to: destination)
    }
  }

  private func copyRows<Element>(from source: UnsafePointer<Element>, to destination: UnsafeMutablePointer<Element>) {
    let last = shape.count - 1
    let (length, step, stride) = (shape[last], sourceStrides[last], destinationStrides[last])
    let rows = outer
    let from = source + sourceOffset
    let to = destination + destinationOffset
    if rows.count == 1, step == 1, stride == 1 {
      pool.forRanges(length, grain: Self.elementsPerThread * 4) { range in
        (to + range.lowerBound).update(from: from + range.lowerBound, count: range.count)
      }
      return
    }
    pool.forRanges(rows.count, grain: max(1, Self.elementsPerThread / length)) { range in
      rows.forEach(in: range) { sourceRow, destinationRow in
        let input = from + sourceRow
        let output = to + destinationRow
        if step == 1 && stride == 1 {
          if length >= 8 {
            output.update(from: input, count: length)
          } else {
            for index in 0..<length { output[index] = input[index] }
          }
        } else if step == 0 && stride == 1 {
          output.update(repeating: input[0], count: length)
        } else {
          for index in 0..<length { output[index * stride] = input[index * step] }
        }
      }
    }
  }

  /// Blocks over the axis that is contiguous in the source and the last one, which is so in the destination.
  private func transpose<Element>(
    _ contiguous: Int, from source: UnsafePointer<Element>, to destination: UnsafeMutablePointer<Element>
  ) {
    let last = shape.count - 1
    let side = Self.blockSide
    let (rows, columns) = (shape[contiguous], shape[last])
    let (rowStride, columnStride) = (destinationStrides[contiguous], destinationStrides[last])
    let columnStep = sourceStrides[last]
    let outer = outer
    let bands = (rows + side - 1) / side
    let from = source + sourceOffset
    let to = destination + destinationOffset
    let grain = max(1, Self.elementsPerThread / (min(rows, side) * columns))
    pool.forRanges(outer.count * bands, grain: grain) { range in
      for unit in range {
        let (sourceBase, destinationBase) = outer.offsets(of: unit / bands)
        let firstRow = unit % bands * side
        let lastRow = min(rows, firstRow + side)
        var firstColumn = 0
        while firstColumn < columns {
          let lastColumn = min(columns, firstColumn + side)
          let input = from + (sourceBase + firstRow + firstColumn * columnStep)
          let output = to + (destinationBase + firstRow * rowStride + firstColumn * columnStride)
          TransposedTile.copy(
            rows: lastRow - firstRow, columns: lastColumn - firstColumn, from: input, columnStep: columnStep,
            to: output, rowStride: rowStride, columnStride: columnStride)
          firstColumn = lastColumn
        }
      }
    }
  }
}

/// Offsets of every row of an n-dimensional walk, for two tensors at once.
struct RowOffsets {
  let shape: [Int]
  let first: [Int]
  let second: [Int]
  let count: Int

  init(shape: [Int], first: [Int], second: [Int]) {
    self.shape = shape
    self.first = first
    self.second = second
    count = shape.reduce(1, *)
  }

  func offsets(of row: Int) -> (Int, Int) {
    var rest = row
    var offsets = (0, 0)
    for axis in shape.indices.reversed() {
      let coordinate = rest % shape[axis]
      rest /= shape[axis]
      offsets.0 += coordinate * first[axis]
      offsets.1 += coordinate * second[axis]
    }
    return offsets
  }

  @inline(__always)
  func forEach(in range: Range<Int>, _ body: (Int, Int) -> Void) {
    guard !range.isEmpty else { return }
    let rank = shape.count
    withUnsafeTemporaryAllocation(of: Int.self, capacity: rank + 1) { coordinates in
      var rest = range.lowerBound
      for axis in stride(from: rank - 1, through: 0, by: -1) {
        coordinates[axis] = rest % shape[axis]
        rest /= shape[axis]
      }
      var (a, b) = offsets(of: range.lowerBound)
      shape.withUnsafeBufferPointer { shape in
        first.withUnsafeBufferPointer { first in
          second.withUnsafeBufferPointer { second in
            for _ in range {
              body(a, b)
              var axis = rank - 1
              while axis >= 0 {
                coordinates[axis] += 1
                a += first[axis]
                b += second[axis]
                if coordinates[axis] < shape[axis] { break }
                a -= first[axis] * shape[axis]
                b -= second[axis] * shape[axis]
                coordinates[axis] = 0
                axis -= 1
              }
            }
          }
        }
      }
    }
  }
}
