import KernelTable

/// Where the rows of A of a packed product come from. Generic code over it allocates nothing.
protocol RowSource {
  /// Writes rows `rowStart ..< rowStart + rows` of A, columns `kStart ..< kStart + depth`.
  func pack(_ rowStart: Int, _ rows: Int, _ kStart: Int, _ depth: Int, _ target: PackedRows)

  /// The first element of a row and the distance of rows, where they lie as they are.
  func place(_ row: Int) -> (first: UnsafePointer<Float>, stride: Int)?

  /// Scales and factors to integers of rows `rowStart ..< rowStart + rows`.
  func quantize(
    _ rowStart: Int, _ rows: Int, _ format: ElementFormat, scales: UnsafeMutablePointer<Float>,
    factors: UnsafeMutablePointer<Float>)
}

extension RowSource {
  func place(_ row: Int) -> (first: UnsafePointer<Float>, stride: Int)? { nil }

  /// Packs the block of K with that number, of `words`, padded to whole words, from rows of `depth` elements.
  func packBlock(_ block: Int, of words: Int, rowStart: Int, rows: Int, depth: Int, _ target: PackedRows) {
    let limit = words * target.format.elementsPerWord
    let count = min(limit, depth - block * limit)
    pack(rowStart, rows, block * limit, count, target)
    target.pad(rows: rows, depth: count)
  }
}

/// Floats of a cache line.
let lineFloats = 16

/// Rows that will be packed next, asked for by the panel products before, a few lines at each of the last ones.
struct RowsToPack {
  private let first: UnsafePointer<Float>?
  let stride: Int
  /// Cache lines of each row at a time.
  let lines: Int
  /// Products until it begins.
  private var waiting: Int
  private var offset = 0
  private let count: Int

  static var none: RowsToPack { RowsToPack(nil, from: 0, count: 0, products: 1) }

  /// `count` elements of rows from `place`, beside that many products.
  init(_ place: (first: UnsafePointer<Float>, stride: Int)?, from: Int, count: Int, products: Int) {
    first = place.map { $0.first + from }
    stride = place?.stride ?? 0
    let needed = (count + lineFloats - 1) / lineFloats
    lines = (needed + products - 1) / max(1, products)
    waiting = lines == 0 ? 0 : products - (needed + lines - 1) / lines
    self.count = count
  }

  /// Where the lines for the next product begin; nil for none.
  @inline(__always)
  mutating func next() -> UnsafePointer<Float>? {
    guard let first else { return nil }
    guard waiting == 0 else {
      waiting -= 1
      return nil
    }
    guard offset < count else { return nil }
    defer { offset += lines * lineFloats }
    return first + offset
  }
}

/// The rows of a row-major matrix of `depth` columns.
struct MatrixRows: RowSource {
  let a: UnsafePointer<Float>
  let stride: Int
  let depth: Int
  let kernels: KernelTable

  func pack(_ rowStart: Int, _ rows: Int, _ kStart: Int, _ depth: Int, _ target: PackedRows) {
    let source = a + rowStart * stride + kStart
    if target.format == .float32 {
      return kernels.copyRows(source, stride, rows, depth, target.words, target.distance)
    }
    for row in 0..<rows { target.write(source + row * stride, count: depth, row: row, at: 0) }
  }

  func place(_ row: Int) -> (first: UnsafePointer<Float>, stride: Int)? { (a + row * stride, stride) }

  func quantize(
    _ rowStart: Int, _ rows: Int, _ format: ElementFormat, scales: UnsafeMutablePointer<Float>,
    factors: UnsafeMutablePointer<Float>
  ) {
    for row in 0..<rows {
      (scales[row], factors[row]) = PackedMatrix.quantization(
        row: a + (rowStart + row) * stride, count: depth, format, kernels)
    }
  }
}

/// The rows of a matrix stored transposed: element (row, k) at `a[k * stride + row]`. float32 only.
struct TransposedRows: RowSource {
  let a: UnsafePointer<Float>
  let stride: Int

  func pack(_ rowStart: Int, _ rows: Int, _ kStart: Int, _ depth: Int, _ target: PackedRows) {
    for k in 0..<depth {
      let source = a + (kStart + k) * stride + rowStart
      for row in 0..<rows { target.words[row * target.distance + k] = source[row] }
    }
  }

  func quantize(
    _ rowStart: Int, _ rows: Int, _ format: ElementFormat, scales: UnsafeMutablePointer<Float>,
    factors: UnsafeMutablePointer<Float>
  ) {
    scales.update(repeating: .nan, count: rows)
    factors.update(repeating: 0, count: rows)
  }
}

/// Packed rows of A, in the element format of the matrix that they are multiplied with.
struct PackedRows {
  let words: UnsafeMutablePointer<Float>
  /// Words from row to row.
  let distance: Int
  let format: ElementFormat
  let kernels: KernelTable
  /// Of integers: per row, the factor to them.
  var factors: UnsafePointer<Float>?

  /// Stores `count` elements of a row from element `offset` on: with `twoBFloat16` whole groups.
  @inline(__always)
  func write(_ source: UnsafePointer<Float>, count: Int, row: Int, at offset: Int) {
    let start = words + row * distance
    switch format {
    case .float32: kernels.copyRows(source, 0, 1, count, start + offset, 0)
    case .twoBFloat16: kernels.split?.splitRow(source, start + offset, count)
    case .bfloat16:
      kernels.narrow.roundRow(
        source, UnsafeMutableRawPointer(start).assumingMemoryBound(to: UInt16.self) + offset, count)
    case .int8:
      kernels.narrow.quantizeRow(
        source, factors?[row] ?? 0, UnsafeMutableRawPointer(start).assumingMemoryBound(to: UInt8.self) + offset, count)
    case .int16:
      kernels.int16?.quantizeRow(
        source, factors?[row] ?? 0, UnsafeMutableRawPointer(start).assumingMemoryBound(to: Int16.self) + offset, count)
    }
  }

  /// Stores zeros.
  @inline(__always)
  func clear(count: Int, row: Int, at offset: Int) {
    let start = words + row * distance
    switch format {
    case .float32, .twoBFloat16: (start + offset).update(repeating: 0, count: count)
    case .bfloat16, .int16:
      (UnsafeMutableRawPointer(start).assumingMemoryBound(to: UInt16.self) + offset).update(repeating: 0, count: count)
    case .int8:
      (UnsafeMutableRawPointer(start).assumingMemoryBound(to: UInt8.self) + offset).update(repeating: 128, count: count)
    }
  }

  /// Fills the last word of rows whose depth is no whole number of words.
  func pad(rows: Int, depth: Int) {
    let missing = format.words(depth) * format.elementsPerWord - depth
    guard missing > 0 else { return }
    for row in 0..<rows { clear(count: missing, row: row, at: depth) }
  }
}
