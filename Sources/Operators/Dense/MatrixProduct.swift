import Graph
import KernelTable
import Kernels
import Support

/// C = activation(A · B + bias + residual) on packed B, cut into tasks for the thread pool.
///
/// The partition depends on the thread count, the results do not: every element of C is one chain of additions over K in
/// blocks of `blockDepth`, whatever task it falls into.
struct MatrixProduct {
  var rows: Int
  var b: PackedMatrix
  /// First element of C and the distance of its rows.
  var c: UnsafeMutablePointer<Float>
  var cStride: Int
  var bias: UnsafePointer<Float>? = nil
  var residual: UnsafePointer<Float>? = nil
  var residualStride = 0
  var activation = Activation.none

  private var kernels: KernelTable { b.kernels }

  /// Rows of A in one task where a single block of K is packed at a time: 16 tiles, about 200 KB on AVX-512.
  static func blockRowLimit(_ kernels: KernelTable) -> Int { 16 * kernels.gemm.tileRows }

  /// Packed rows of `blockDepth` that a task holds: 40 tiles, about 520 KB on AVX-512, half of a 1 MB second-level cache.
  static func heldRows(_ kernels: KernelTable) -> Int { 40 * kernels.gemm.tileRows }
  /// Blocks of K that are packed together, so that a tile of C stays in the first-level cache through all of them.
  static let chunkLimit = 5

  /// Floats of scratch per slot: packed pieces of A, scale and factor of their rows, one register tile, and which pieces are
  /// there.
  static func slotFloatCount(_ kernels: KernelTable) -> Int {
    let g = kernels.gemm
    return (heldRows(kernels) * (g.rowStride + 2) + g.tileRows * g.tileColumns + HeldPieces.limit + 15) & ~15
  }

  static func scratchByteCount(threads: Int, _ kernels: KernelTable) -> Int {
    ScratchMemory.byteCount(floats: max(1, threads) * slotFloatCount(kernels))
  }

  /// `slots` places of `slotFloatCount` floats each in `scratch`.
  func run(
    context: RunContext, slots: Int, scratch: UnsafeMutablePointer<Float>, _ source: some RowSource
  ) throws {
    guard rows > 0, b.columns > 0 else { return }
    let partition = Partition(rows: rows, depth: b.words, panels: b.panelCount, threads: slots, kernels: kernels)
    for slot in 0..<slots { HeldPieces(scratch + slot * Self.slotFloatCount(kernels), kernels).clear() }
    try runTasks(partition.count, slots: slots, context: context) { slot, task in
      block(task: task, partition, scratch: scratch + slot * Self.slotFloatCount(kernels), source, holding: true)
    }
  }

  /// One task of `partition`. All panels see the packed piece of A before the next piece replaces it. `holding`: pieces of
  /// the same A stay in `scratch` from task to task, whose `HeldPieces` were cleared before the first.
  func block(
    task: Int, _ partition: Partition, scratch: UnsafeMutablePointer<Float>, _ source: some RowSource,
    holding: Bool = false
  ) {
    let g = kernels.gemm
    let (rowStart, firstPanel) = partition.place(task)
    let rows = min(partition.blockRows, self.rows - rowStart)
    let panels = firstPanel..<min(b.panelCount, firstPanel + partition.panelsPerTask)
    let blockStride = partition.blockRows * g.rowStride
    let held = HeldPieces(scratch, kernels)
    let (place, isPacked) =
      holding ? held.take(rowStart / partition.blockRows, places: partition.heldPieces) : (0, false)
    let packedA = scratch + place * partition.chunk * blockStride
    let rowScales = scratch + Self.heldRows(kernels) * g.rowStride + place * partition.blockRows
    let rowFactors = rowScales + Self.heldRows(kernels)
    let tile = held.tile
    let kernel = b.panelKernel
    if b.format == .int8, !isPacked { source.quantize(rowStart, rows, scales: rowScales, factors: rowFactors) }
    var first = 0
    repeat {
      let end = min(b.words, first + partition.chunk * g.blockDepth)
      for (index, k) in stride(from: first, to: end, by: g.blockDepth).enumerated() where !isPacked {
        let target = PackedRows(
          words: packedA + index * blockStride, distance: g.rowStride, format: b.format, kernels: kernels,
          factors: rowFactors)
        source.packBlock(k / g.blockDepth, rowStart: rowStart, rows: rows, depth: b.depth, target)
      }
      let last = end == b.words
      for panel in panels {
        let column = panel * g.tileColumns
        let width = min(g.tileColumns, b.columns - column)
        let target = c + rowStart * cStride + column
        var k = first
        var piece = packedA
        repeat {
          let depth = min(g.blockDepth, end - k)
          kernel(
            rows, width, depth, piece, b.panel(panel, from: k), target, cStride, k > 0,
            tile)
          k += depth
          piece += blockStride
        } while k < end
        guard last else { continue }
        let bias = bias.map { $0 + column }
        let residual = residual.map { $0 + rowStart * residualStride + column }
        if b.format == .int8 {
          kernels.narrow.rescale(
            rows, width, target, cStride, rowScales, b.columnScales + column, b.columnOffsets + column, bias, residual,
            residualStride, activation.rawValue)
        } else if bias != nil || residual != nil || activation != .none {
          kernels.epilogue(rows, width, target, cStride, bias, residual, residualStride, activation.rawValue)
        }
      }
      first = end
    } while first < b.words
  }

  /// A is a plain row-major matrix.
  func run(
    context: RunContext, slots: Int, scratch: UnsafeMutablePointer<Float>, rowsOf a: UnsafePointer<Float>, stride: Int
  ) throws {
    try run(
      context: context, slots: slots, scratch: scratch,
      MatrixRows(a: a, stride: stride, depth: b.depth, kernels: kernels))
  }

  /// A is stored transposed: element (row, k) at `a[k * stride + row]`.
  func run(
    context: RunContext, slots: Int, scratch: UnsafeMutablePointer<Float>, columnsOf a: UnsafePointer<Float>,
    stride: Int
  ) throws {
    try run(context: context, slots: slots, scratch: scratch, TransposedRows(a: a, stride: stride))
  }
}
