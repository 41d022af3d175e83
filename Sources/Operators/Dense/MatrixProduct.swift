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
  private static let chunkLimit = 5

  /// Floats of scratch per slot: a packed piece of A, scale and factor of its rows, and one register tile.
  static func slotFloatCount(_ kernels: KernelTable) -> Int {
    let g = kernels.gemm
    return (heldRows(kernels) * (g.rowStride + 2) + g.tileRows * g.tileColumns + 15) & ~15
  }

  static func scratchByteCount(threads: Int, _ kernels: KernelTable) -> Int {
    ScratchMemory.byteCount(floats: max(1, threads) * slotFloatCount(kernels))
  }

  /// How rows and panels are divided into tasks. Tasks that share panels follow each other, so that B is read from memory
  /// once for all rows where it does not fit the last-level cache as a whole.
  struct Partition {
    var blockRows: Int
    var rowBlocks: Int
    var panelsPerTask: Int
    var panelBlocks: Int
    /// Blocks of K that are packed together.
    var chunk = 1
    var count: Int { rowBlocks * panelBlocks }

    /// Bytes of B that are worth keeping in the last-level cache while the rows go by.
    private static let panelByteLimit = 4 << 20
    /// Bytes of B that a core keeps in its second-level cache beside a piece of A.
    private static let ownByteLimit = 512 << 10

    /// `depth` counts words. `matrices` of B are multiplied side by side. `rowLimit`: at most so many rows in a task, with
    /// one block of K at a time.
    init(
      rows: Int, depth: Int, panels: Int, matrices: Int = 1, threads: Int, kernels: KernelTable, rowLimit: Int? = nil
    ) {
      let g = kernels.gemm
      func tiles(_ rows: Int) -> Int { (rows + g.tileRows - 1) / g.tileRows * g.tileRows }
      let depthBlocks = max(1, (depth + g.blockDepth - 1) / g.blockDepth)
      let held = MatrixProduct.heldRows(kernels)
      var limit = rowLimit ?? MatrixProduct.blockRowLimit(kernels)
      if rowLimit == nil, rows > limit {
        limit = max(g.tileRows, held / min(depthBlocks, MatrixProduct.chunkLimit) / g.tileRows * g.tileRows)
      }
      // B close to every core: tasks are pieces of the rows, and no row is packed twice.
      let panelBytes = 4 * depth * g.tileColumns * matrices
      if rowLimit == nil, panels * panelBytes <= Self.ownByteLimit, rows > 4 * threads * g.tileRows {
        limit = min(limit, tiles((rows + 4 * threads - 1) / (4 * threads)))
      }
      var blocks = max(1, (rows + limit - 1) / limit)
      // A whole number of rounds for all threads, where that does not make the blocks small.
      if blocks > threads { blocks = (blocks + threads - 1) / threads * threads }
      blockRows = max(g.tileRows, min(limit, tiles((rows + blocks - 1) / blocks)))
      rowBlocks = max(1, (rows + blockRows - 1) / blockRows)
      // Four tasks per thread even out the load; a lone thread needs them only to poll the cancel token.
      var wanted = max(1, (4 * threads + rowBlocks - 1) / rowBlocks)
      if rowBlocks >= 4, panels * panelBytes > 2 * Self.panelByteLimit {
        wanted = max(wanted, panels * panelBytes / Self.panelByteLimit)
      }
      panelsPerTask = max(1, (panels + wanted - 1) / wanted)
      panelBlocks = max(1, (panels + panelsPerTask - 1) / panelsPerTask)
      if rowLimit == nil, rowBlocks == 1, threads > 1 {
        let rowTiles = max(1, tiles(rows) / g.tileRows)
        share(rowTiles: rowTiles, tileRows: g.tileRows, depth: depth, panels: panels, threads: threads)
      }
      chunk = rowLimit == nil ? max(1, min(depthBlocks, held / blockRows)) : 1
    }

    /// Few rows: cuts both ways so that no thread waits long for another. Times are in products of a tile with a panel.
    private mutating func share(rowTiles: Int, tileRows: Int, depth: Int, panels: Int, threads: Int) {
      // Packing a tile, and what a task costs beside its work: about 1000 cycles, where a product has 24 per word.
      let packing = 0.1
      let overhead = 40 / Double(max(1, depth))
      var best = Double.infinity
      for rounds in 1...4 {
        for cuts in 1...min(rowTiles, rounds * threads) {
          let height = (rowTiles + cuts - 1) / cuts
          let blocks = (rowTiles + height - 1) / height
          let wanted = max(1, rounds * threads / blocks)
          let width = max(1, (panels + wanted - 1) / wanted)
          let across = max(1, (panels + width - 1) / width)
          let perThread = (blocks * across + threads - 1) / threads
          let time = Double(perThread) * (Double(height) * (Double(width) + packing) + overhead)
          // More, smaller tasks are worth a little: a thread that the system holds up keeps the others from less.
          guard time < (rounds == 1 ? 1 : 1.02) * best else { continue }
          best = min(best, time)
          (blockRows, rowBlocks, panelsPerTask, panelBlocks) = (height * tileRows, blocks, width, across)
        }
      }
    }

    /// Rows and panels of one task.
    func place(_ task: Int) -> (rowStart: Int, firstPanel: Int) {
      let (panelBlock, rowBlock) = task.quotientAndRemainder(dividingBy: rowBlocks)
      return (rowBlock * blockRows, panelBlock * panelsPerTask)
    }
  }

  /// `slots` places of `slotFloatCount` floats each in `scratch`.
  func run(
    context: RunContext, slots: Int, scratch: UnsafeMutablePointer<Float>, _ source: some RowSource
  ) throws {
    guard rows > 0, b.columns > 0 else { return }
    let partition = Partition(rows: rows, depth: b.words, panels: b.panelCount, threads: slots, kernels: kernels)
    try runTasks(partition.count, slots: slots, context: context) { slot, task in
      block(task: task, partition, scratch: scratch + slot * Self.slotFloatCount(kernels), source)
    }
  }

  /// One task of `partition`. All panels see the packed piece of A before the next piece replaces it.
  func block(
    task: Int, _ partition: Partition, scratch: UnsafeMutablePointer<Float>, _ source: some RowSource
  ) {
    let g = kernels.gemm
    let (rowStart, firstPanel) = partition.place(task)
    let rows = min(partition.blockRows, self.rows - rowStart)
    let panels = firstPanel..<min(b.panelCount, firstPanel + partition.panelsPerTask)
    let packedA = scratch
    let rowScales = scratch + Self.heldRows(kernels) * g.rowStride
    let rowFactors = rowScales + Self.heldRows(kernels)
    let tile = rowFactors + Self.heldRows(kernels)
    let blockStride = partition.blockRows * g.rowStride
    let kernel = b.panelKernel
    if b.format == .int8 { source.quantize(rowStart, rows, scales: rowScales, factors: rowFactors) }
    var first = 0
    repeat {
      let end = min(b.words, first + partition.chunk * g.blockDepth)
      for (index, k) in stride(from: first, to: end, by: g.blockDepth).enumerated() {
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
            rows, width, depth, piece, b.panels + panel * b.panelStride + k * g.tileColumns, target, cStride, k > 0,
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
