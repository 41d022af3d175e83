import Graph
import KernelTable
import Kernels
import Support

/// C = activation(A · B + bias + residual) on packed B, cut into tasks for the thread pool.
///
/// The partition depends on the thread count, the results do not: every element of C is one chain of additions over K in
/// blocks of `blockDepth`, whatever task it falls into.
struct MatrixProduct {
  /// Copies rows `rowStart ..< rowStart + rows` of A, columns `kStart ..< kStart + depth`, to `target` with row distance
  /// `gemm.rowStride`. `slot` tells the thread's scratch memory apart.
  typealias RowSource = (
    _ slot: Int, _ rowStart: Int, _ rows: Int, _ kStart: Int, _ depth: Int, _ target: UnsafeMutablePointer<Float>
  ) -> Void

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

  /// Rows of A that one task packs at most: 16 tiles, about 200 KB on AVX-512, which stay in the second-level cache.
  static func blockRowLimit(_ kernels: KernelTable) -> Int { 16 * kernels.gemm.tileRows }

  /// Floats of scratch per slot: a packed block of A and one register tile.
  static func slotFloatCount(_ kernels: KernelTable) -> Int {
    let g = kernels.gemm
    return (blockRowLimit(kernels) * g.rowStride + g.tileRows * g.tileColumns + 15) & ~15
  }

  static func scratchByteCount(threads: Int, _ kernels: KernelTable) -> Int {
    ScratchMemory.byteCount(floats: max(1, threads) * slotFloatCount(kernels))
  }

  /// How rows and panels are divided into tasks.
  struct Partition {
    var blockRows: Int
    var rowBlocks: Int
    var panelsPerTask: Int
    var panelBlocks: Int
    var count: Int { rowBlocks * panelBlocks }

    init(rows: Int, panels: Int, threads: Int, kernels: KernelTable) {
      let tile = kernels.gemm.tileRows
      let blocks = max(1, (rows + MatrixProduct.blockRowLimit(kernels) - 1) / MatrixProduct.blockRowLimit(kernels))
      let even = (rows + blocks - 1) / blocks
      blockRows = max(tile, (even + tile - 1) / tile * tile)
      rowBlocks = max(1, (rows + blockRows - 1) / blockRows)
      // Four tasks per thread even out the load; a lone thread needs them only to poll the cancel token.
      let wanted = max(1, (4 * threads + rowBlocks - 1) / rowBlocks)
      panelsPerTask = max(1, (panels + wanted - 1) / wanted)
      panelBlocks = max(1, (panels + panelsPerTask - 1) / panelsPerTask)
    }
  }

  /// `slots` places of `slotFloatCount` floats each in `scratch`.
  func run(context: RunContext, slots: Int, scratch: UnsafeMutablePointer<Float>, _ source: RowSource) throws {
    guard rows > 0, b.columns > 0 else { return }
    let partition = Partition(rows: rows, panels: b.panelCount, threads: slots, kernels: kernels)
    try runTasks(partition.count, slots: slots, context: context) { slot, task in
      let (rowBlock, panelBlock) = task.quotientAndRemainder(dividingBy: partition.panelBlocks)
      let rowStart = rowBlock * partition.blockRows
      let firstPanel = panelBlock * partition.panelsPerTask
      block(
        slot: slot, rowStart: rowStart, rows: min(partition.blockRows, rows - rowStart),
        panels: firstPanel..<min(b.panelCount, firstPanel + partition.panelsPerTask),
        scratch: scratch + slot * Self.slotFloatCount(kernels), source)
    }
  }

  /// One task: `rows` rows of C times the columns of `panels`.
  func block(
    slot: Int, rowStart: Int, rows: Int, panels: Range<Int>, scratch: UnsafeMutablePointer<Float>, _ source: RowSource
  ) {
    let g = kernels.gemm
    let packedA = scratch
    let tile = scratch + Self.blockRowLimit(kernels) * g.rowStride
    var k = 0
    repeat {
      let depth = min(g.blockDepth, b.depth - k)
      source(slot, rowStart, rows, k, depth, packedA)
      let last = k + depth == b.depth
      for panel in panels {
        let column = panel * g.tileColumns
        let width = min(g.tileColumns, b.columns - column)
        let target = c + rowStart * cStride + column
        kernels.gemmPanel(
          rows, width, depth, packedA, b.panels + panel * b.panelStride + k * g.tileColumns, target, cStride, k > 0,
          tile)
        if last && (bias != nil || residual != nil || activation != .none) {
          kernels.epilogue(
            rows, width, target, cStride, bias.map { $0 + column },
            residual.map { $0 + rowStart * residualStride + column }, residualStride, activation.rawValue)
        }
      }
      k += depth
    } while k < b.depth
  }

  /// The row source of a plain row-major matrix.
  static func rows(of a: UnsafePointer<Float>, stride: Int, _ kernels: KernelTable) -> RowSource {
    let target = kernels.gemm.rowStride
    return { _, rowStart, rows, kStart, depth, packed in
      for row in 0..<rows {
        (packed + row * target).update(from: a + (rowStart + row) * stride + kStart, count: depth)
      }
    }
  }

  /// The row source of a matrix stored transposed: element (row, k) at `a[k * stride + row]`.
  static func rows(ofTransposed a: UnsafePointer<Float>, stride: Int, _ kernels: KernelTable) -> RowSource {
    let target = kernels.gemm.rowStride
    return { _, rowStart, rows, kStart, depth, packed in
      for k in 0..<depth {
        let source = a + (kStart + k) * stride + rowStart
        for row in 0..<rows { packed[row * target + k] = source[row] }
      }
    }
  }
}
