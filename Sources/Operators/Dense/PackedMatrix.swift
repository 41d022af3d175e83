import Glibc
import Graph
import KernelTable
import Kernels
import Support

/// A depth × columns matrix in the panel layout of `PanelKernel`: panel after panel, each words × tileColumns, where a word
/// holds one element or, in the narrow formats, those that follow each other along K. A matrix of integers ends with a scale and
/// an offset per column, panels padded. A float32 matrix may be stored as float16 (`halved`), one of int16 as bytes.
struct PackedMatrix: @unchecked Sendable {
  let depth: Int
  let columns: Int
  let kernels: KernelTable
  let format: ElementFormat
  let panels: UnsafeMutablePointer<Float>
  /// The panels take half of their words' memory: float16, to be multiplied as float32 or as two bfloat16, or bytes, to be
  /// multiplied as 16-bit integers.
  let isHalf: Bool
  /// Keeps `panels` alive; nil when the memory is scratch.
  private let owner: HeapBlock?

  /// Longest K whose sums of 255 · 127 fit 32 bits; longer matrices of integers become bfloat16.
  static let integerDepthLimit = min(65536, Int16Kernels.depthLimit)

  /// Words along K.
  var words: Int { format.words(depth) }
  var panelCount: Int { Self.panelCount(columns, kernels) }
  /// Floats of memory from panel to panel.
  var panelStride: Int { words * rowStride }
  /// Floats of memory that a row of a panel takes.
  var rowStride: Int { isHalf ? kernels.gemm.tileColumns / 2 : kernels.gemm.tileColumns }

  /// A panel from that word of its columns on.
  func panel(_ index: Int, from word: Int = 0) -> UnsafePointer<Float> {
    UnsafePointer(panels + index * panelStride + word * rowStride)
  }

  static func panelCount(_ columns: Int, _ kernels: KernelTable) -> Int {
    (columns + kernels.gemm.tileColumns - 1) / kernels.gemm.tileColumns
  }

  static func floatCount(depth: Int, columns: Int, _ kernels: KernelTable, _ format: ElementFormat = .float32) -> Int {
    panelCount(columns, kernels) * kernels.gemm.tileColumns * (format.words(depth) + (format.isInteger ? 2 : 0))
  }

  /// Room for a matrix in memory of its own.
  init(depth: Int, columns: Int, kernels: KernelTable, format: ElementFormat = .float32) throws(Failure) {
    try self.init(depth: depth, columns: columns, kernels: kernels, packing: format, isBytes: false)
  }

  /// Room for weights before they are `stored`.
  init(depth: Int, columns: Int, kernels: KernelTable, _ storage: WeightStorage) throws(Failure) {
    try self.init(depth: depth, columns: columns, kernels: kernels, packing: storage.packing, isBytes: storage.isBytes)
  }

  private init(
    depth: Int, columns: Int, kernels: KernelTable, packing: ElementFormat, isBytes: Bool
  ) throws(Failure) {
    let tile = kernels.gemm.tileColumns
    let format = packing.isInteger && depth > Self.integerDepthLimit ? .bfloat16 : packing
    let isHalf = isBytes && format == .int16
    let rows = 2 * format.words(depth) / (isHalf ? 2 : 1) + (format.isInteger ? 4 : 0)
    let count = try CheckedSize.product([Self.panelCount(columns, kernels), tile, rows, 2], of: "packed matrix")
    let block = try HeapBlock(byteCount: count)
    guard let base = block.bytes.baseAddress else { throw Failure(.outOfMemory, "no memory for a packed matrix") }
    self.init(
      depth: depth, columns: columns, kernels: kernels, format: format,
      panels: base.assumingMemoryBound(to: Float.self), isHalf: isHalf, owner: block)
  }

  /// Room for a matrix in memory that outlives this value.
  init(
    depth: Int, columns: Int, kernels: KernelTable, format: ElementFormat = .float32,
    panels: UnsafeMutablePointer<Float>, isHalf: Bool = false, owner: HeapBlock? = nil
  ) {
    self.depth = depth
    self.columns = columns
    self.kernels = kernels
    self.format = format
    self.panels = panels
    self.isHalf = isHalf
    self.owner = owner
  }

  // MARK: Columns of integers

  /// What one integer of each column stands for.
  var columnScales: UnsafeMutablePointer<Float> { panels + panelCount * panelStride }

  /// int8: 128 · the sum of each column's integers: what A's offset adds to every product. int16: 0.
  var columnOffsets: UnsafeMutablePointer<Int32> {
    UnsafeMutableRawPointer(columnScales + panelCount * kernels.gemm.tileColumns).assumingMemoryBound(to: Int32.self)
  }

  // MARK: Packing

  /// Floats of scratch memory for packing narrow formats: a piece of a panel in float32, and three values per column.
  static func packingFloatCount(_ kernels: KernelTable) -> Int {
    (kernels.gemm.blockDepth + 3) * kernels.gemm.tileColumns
  }

  /// Packs one panel whose rows `first ..< first + count` `rows` writes as `KernelTable.packPanel` does. `scratch`:
  /// `packingFloatCount`, not read for float32.
  func pack(
    panel: Int, scratch: UnsafeMutablePointer<Float>?,
    _ rows: (_ first: Int, _ count: Int, _ target: UnsafeMutablePointer<Float>) -> Void
  ) {
    let target = panels + panel * panelStride
    guard format != .float32, let scratch else { return rows(0, depth, target) }
    let tile = kernels.gemm.tileColumns
    let piece = kernels.gemm.blockDepth
    func forPieces(_ body: (_ first: Int, _ count: Int) -> Void) {
      for first in stride(from: 0, to: depth, by: piece) {
        let count = min(piece, depth - first)
        rows(first, count, scratch)
        body(first, count)
      }
    }
    if format == .twoBFloat16 {
      return forPieces { kernels.split?.pack(scratch, $1, target + $0 * tile) }
    }
    if format == .bfloat16 {
      return forPieces { kernels.narrow.packPairs(scratch, $1, target + format.words($0) * tile) }
    }
    let magnitudes = scratch + piece * tile
    let factors = magnitudes + tile
    magnitudes.update(repeating: 0, count: tile)
    forPieces { kernels.narrow.columnMagnitudes(scratch, $1, magnitudes) }
    let scales = columnScales + panel * tile
    let offsets = columnOffsets + panel * tile
    offsets.update(repeating: 0, count: tile)
    if format == .int16, let int16 = kernels.int16 {
      let squares = factors + tile
      squares.update(repeating: 0, count: tile)
      if !isHalf { forPieces { int16.columnSquares(scratch, $1, squares) } }
      for column in 0..<tile {
        (scales[column], factors[column]) =
          isHalf
          ? Self.quantization(magnitudes[column])
          : Self.quantization(magnitudes[column], squares: squares[column], depth: depth)
      }
      let kernel = isHalf ? int16.packBytes : int16.pack
      return forPieces { kernel(scratch, $1, factors, target + format.words($0) * rowStride) }
    }
    for column in 0..<tile { (scales[column], factors[column]) = Self.quantization(magnitudes[column]) }
    forPieces { kernels.narrow.packBytes(scratch, $1, factors, target + format.words($0) * tile, offsets) }
    for column in 0..<tile { offsets[column] &*= 128 }
  }

  /// Packs one panel from a row-major (depth × columns) or, transposed, (columns × depth) matrix.
  func pack(
    panel: Int, from source: UnsafePointer<Float>, rowStride: Int, transposed: Bool,
    scratch: UnsafeMutablePointer<Float>? = nil
  ) {
    let column = panel * kernels.gemm.tileColumns
    let width = min(kernels.gemm.tileColumns, columns - column)
    pack(panel: panel, scratch: scratch) { first, count, target in
      if transposed {
        kernels.packPanelTransposed(source + column * rowStride + first, rowStride, count, width, target)
      } else {
        kernels.packPanel(source + first * rowStride + column, rowStride, count, width, target)
      }
    }
  }

  /// Packs a whole matrix. `scratch` as for one panel.
  func packAll(
    from source: UnsafePointer<Float>, rowStride: Int, transposed: Bool, scratch: UnsafeMutablePointer<Float>? = nil
  ) {
    for panel in 0..<panelCount {
      pack(panel: panel, from: source, rowStride: rowStride, transposed: transposed, scratch: scratch)
    }
  }

  /// A matrix of weights, packed in memory of its own.
  static func packed(
    _ source: UnsafePointer<Float>, depth: Int, columns: Int, rowStride: Int, transposed: Bool = false,
    format: ElementFormat
  ) throws(Failure) -> PackedMatrix {
    let kernels = Kernels.current
    let storage = WeightStorage(format, kernels, depth: depth)
    let matrix = try PackedMatrix(depth: depth, columns: columns, kernels: kernels, storage)
    let scratch = try HeapBlock(byteCount: 4 * packingFloatCount(kernels))
    matrix.packAll(
      from: source, rowStride: rowStride, transposed: transposed,
      scratch: scratch.bytes.baseAddress?.assumingMemoryBound(to: Float.self))
    return try matrix.stored(storage)
  }

  /// The same weights as they are kept: as float16 (`halved`), as two bfloat16, or as they are.
  func stored(_ storage: WeightStorage) throws(Failure) -> PackedMatrix {
    let smaller = try halved(rounding: storage.roundsToFloat16)
    guard storage.format == .twoBFloat16, format == .float32 else { return smaller }
    let result = PackedMatrix(
      depth: depth, columns: columns, kernels: kernels, format: .twoBFloat16, panels: smaller.panels,
      isHalf: smaller.isHalf, owner: smaller.owner)
    guard !smaller.isHalf else { return result }
    // In place, a piece at a time.
    let tile = kernels.gemm.tileColumns
    let scratch = try HeapBlock(byteCount: 4 * Self.packingFloatCount(kernels))
    guard let rows = scratch.bytes.baseAddress?.assumingMemoryBound(to: Float.self) else { return self }
    for panel in 0..<panelCount {
      result.pack(panel: panel, scratch: rows) { first, count, target in
        target.update(
          from: UnsafePointer(result.panels) + panel * result.panelStride + first * tile, count: count * tile)
      }
    }
    return withExtendedLifetime(scratch) { result }
  }

  /// Largest relative error (of all elements together) of rounding to float16: the largest of one element in bfloat16.
  private static let roundingLimit: Float = 1 / 512

  /// The same float32 matrix stored as float16, where the machine reads them and every element is one, or, `rounding`,
  /// all are close to one; else itself.
  func halved(rounding: Bool = false) throws(Failure) -> PackedMatrix {
    guard format == .float32, kernels.half != nil, !isHalf else { return self }
    let count = panelCount * panelStride
    let piece = 1024
    let check = try HeapBlock(byteCount: 6 * piece)
    guard let again = check.bytes.baseAddress?.assumingMemoryBound(to: Float.self) else { return self }
    /// Whether the piece is float16 already.
    func isExact(_ first: Int, _ length: Int, _ halves: UnsafeMutablePointer<UInt16>) -> Bool {
      kernels.toFloat16(panels + first, halves, length)
      kernels.fromFloat16(halves, again, length)
      return memcmp(panels + first, again, 4 * length) == 0
    }
    // The first piece decides for nearly all matrices, before memory is taken.
    let trial = UnsafeMutableRawPointer(again + piece).assumingMemoryBound(to: UInt16.self)
    guard rounding || isExact(0, min(piece, count), trial) else { return self }
    let block = try HeapBlock(byteCount: 2 * count)
    guard let halves = block.bytes.baseAddress?.assumingMemoryBound(to: UInt16.self) else { return self }
    var (squares, errors) = (0.0, 0.0)
    var allExact = true
    for first in stride(from: 0, to: count, by: piece) {
      let length = min(piece, count - first)
      guard !isExact(first, length, halves + first) else { continue }
      guard rounding else { return self }
      allExact = false
      kernels.subtract(panels + first, again, again, length)
      squares += kernels.squaredDeviations(panels + first, 0, length)
      errors += kernels.squaredDeviations(again, 0, length)
    }
    // Squares of 0 are those of numbers whose squares float32 does not hold, far below float16.
    let limit = Double(Self.roundingLimit * Self.roundingLimit) * squares
    guard allExact || (squares > 0 && errors.isFinite && errors <= limit) else { return self }
    return withExtendedLifetime(check) {
      PackedMatrix(
        depth: depth, columns: columns, kernels: kernels,
        panels: UnsafeMutableRawPointer(halves).assumingMemoryBound(to: Float.self), isHalf: true, owner: block)
    }
  }

  /// What an integer stands for, and the factor to integers of at most 127, for values up to `magnitude`. Scales are not
  /// finite where the magnitude is not, so that products are not either.
  static func quantization(_ magnitude: Float) -> (scale: Float, factor: Float) {
    let factor = 127 / magnitude
    return (magnitude / 127, factor.isFinite ? factor : 0)
  }

  /// The same to 16 bits for a column of B: at most 32,767, and a norm of at most `Int16Kernels.columnNorm`.
  static func quantization(_ magnitude: Float, squares: Float, depth: Int) -> (scale: Float, factor: Float) {
    let norm = norm(squares: Double(squares), depth: depth) { magnitude }
    let scale = max(magnitude / 32_767, norm / Int16Kernels.columnNorm)
    let factor = 1 / scale
    return (magnitude.isNaN ? .nan : scale, factor.isFinite ? factor : 0)
  }

  /// The same for a row of A: a norm of at most `Int16Kernels.rowNorm`.
  static func quantization(squares: Double, depth: Int, _ magnitude: () -> Float) -> (scale: Float, factor: Float) {
    let norm = norm(squares: squares, depth: depth, magnitude)
    let factor = Int16Kernels.rowNorm / norm
    return (norm / Int16Kernels.rowNorm, factor.isFinite ? factor : 0)
  }

  /// The same for a row of A in that format.
  static func quantization(
    row: UnsafePointer<Float>, count: Int, _ format: ElementFormat, _ kernels: KernelTable
  ) -> (scale: Float, factor: Float) {
    guard format == .int16 else { return quantization(kernels.narrow.magnitude(row, count)) }
    return quantization(squares: kernels.squaredDeviations(row, 0, count), depth: count) {
      kernels.narrow.magnitude(row, count)
    }
  }

  /// An upper bound of a Euclidean norm: from the magnitude where squares are too large or too small for float32.
  private static func norm(squares: Double, depth: Int, _ magnitude: () -> Float) -> Float {
    // Squares below 1e-38 are lost: with 65,536 of them less than 1e-8 of 1e-25.
    (1e-25...1e37).contains(squares) ? Float(squares.squareRoot()) : magnitude() * Float(depth).squareRoot()
  }

  // MARK: Reading

  /// Rows `first ..< first + count` of a panel as float32, as `KernelTable.packPanel` leaves them; `first` is a multiple of
  /// the format's elements per word, or of its groups.
  func unpack(panel: Int, first: Int, count: Int, to target: UnsafeMutablePointer<Float>) {
    let tile = kernels.gemm.tileColumns
    let source = self.panel(panel, from: format.words(first))
    switch format {
    case .float32:
      if isHalf {
        kernels.fromFloat16(UnsafeRawPointer(source).assumingMemoryBound(to: UInt16.self), target, count * tile)
      } else {
        target.update(from: source, count: count * tile)
      }
    case .twoBFloat16:
      if isHalf {
        kernels.fromFloat16(UnsafeRawPointer(source).assumingMemoryBound(to: UInt16.self), target, count * tile)
      } else {
        kernels.split?.unpack(source, count, target)
      }
    case .bfloat16: kernels.narrow.unpackPairs(source, count, target)
    case .int8: kernels.narrow.unpackBytes(source, count, columnScales + panel * tile, target)
    case .int16:
      (isHalf ? kernels.int16?.unpackBytes : kernels.int16?.unpack)?(source, count, columnScales + panel * tile, target)
    }
  }

  // MARK: Multiplying

  /// The kernel that multiplies rows packed in this format.
  var panelKernel: PanelKernel {
    switch format {
    case .float32: isHalf ? kernels.half?.panel ?? kernels.gemmPanel : kernels.gemmPanel
    case .twoBFloat16: (isHalf ? kernels.split?.halfPanel : kernels.split?.panel) ?? kernels.gemmPanel
    case .bfloat16: kernels.narrow.pairPanel
    case .int8: kernels.narrow.bytePanel
    case .int16: (isHalf ? kernels.int16?.bytePanel : kernels.int16?.panel) ?? kernels.gemmPanel
    }
  }
}
