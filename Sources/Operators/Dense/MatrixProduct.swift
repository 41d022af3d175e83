import Graph
import KernelTable
import Kernels
import Support

/// C = activation(A · B + bias + residual) on packed B, cut into tasks for the thread pool.
///
/// The partition depends on the thread count, the results do not: every element of C is one chain of additions over
/// K, whatever task it falls into.
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
  var group: Group?

  /// B is up to three matrices side by side, each with a C of its own, and no bias or residual.
  struct Group {
    /// Panels of a matrix, all of them whole.
    let panels: Int
    /// Of C; the first is the product's.
    let second: UnsafeMutablePointer<Float>
    let third: UnsafeMutablePointer<Float>
  }

  private var kernels: KernelTable { b.kernels }

  /// Rows of A in one task where a single block of K is packed at a time: 16 tiles, about 200 KB on AVX-512.
  static func blockRowLimit(_ kernels: KernelTable) -> Int { 16 * kernels.gemm.tileRows }

  /// Packed rows of one block of K that a task holds: 40 tiles, about 520 KB on AVX-512, half of a 1 MB second-level cache.
  static func heldRows(_ kernels: KernelTable) -> Int { 40 * kernels.gemm.tileRows }
  /// Blocks of K that are packed together, so that a tile of C stays in the first-level cache through all of them.
  static let chunkLimit = 5

  /// Floats of scratch per slot: packed pieces of A, scale and factor of their rows, a panel kernel's, and which pieces are
  /// there.
  static func slotFloatCount(_ kernels: KernelTable) -> Int {
    let g = kernels.gemm
    return (heldRows(kernels) * (g.rowStride + 2) + kernels.edgeFloatCount + HeldPieces.limit + 15) & ~15
  }

  /// Scratch memory of a product with `rows` rows and a B of `depth` × `columns`.
  static func scratchByteCount(
    rows: Int, depth: Int, columns: Int, format: ElementFormat, threads: Int, _ kernels: KernelTable
  ) -> Int {
    let words = format.words(depth)
    let panels = PackedMatrix.panelCount(columns, kernels)
    let partition = Partition(
      rows: rows, depth: words, panels: panels, threads: max(1, threads), kernels: kernels, format: format,
      mayPackAhead: true)
    let plain =
      ScratchMemory.byteCount(floats: max(1, threads) * slotFloatCount(kernels))
      + (partition.packsAhead ? ScratchMemory.byteCount(floats: partition.aheadFloatCount(kernels)) : 0)
    guard format == .float32, panels.isMultiple(of: 2) else { return plain }
    return StrassenLevels.scratchByteCount(
      rows: rows, depth: depth, pairs: panels / 2, threads: threads, kernels: kernels, plain: plain)
  }

  /// The same where a float32 B is packed at run time.
  static func scratchByteCountPacking(rows: Int, depth: Int, columns: Int, threads: Int, _ kernels: KernelTable) -> Int
  {
    ScratchMemory.byteCount(floats: PackedMatrix.floatCount(depth: depth, columns: columns, kernels))
      + scratchByteCount(
        rows: rows, depth: depth, columns: columns, format: .float32, threads: threads, kernels)
  }

  func run(context: RunContext, scratch: inout ScratchMemory, _ source: some RowSource) throws {
    guard rows > 0, b.columns > 0 else { return }
    if group == nil, b.format == .float32, b.panelCount.isMultiple(of: 2),
      let levels = StrassenLevels(
        rows: rows, depth: b.depth, pairs: b.panelCount / 2, threads: context.pool.threads, kernels: kernels,
        inPlace: source.place(0) != nil, isHalf: b.isHalf)
    {
      return try levels.run(
        context: context, scratch: &scratch, source, self, left: b, right: b, step: 2, firstRight: 1)
    }
    let slots = context.pool.threads
    let partition = Partition(
      rows: rows, depth: b.words, panels: b.panelCount, threads: slots, kernels: kernels, format: b.format,
      mayPackAhead: true)
    let blocks = try scratch.takeFloats(slots * Self.slotFloatCount(kernels))
    if partition.packsAhead {
      let ahead = try scratch.takeFloats(partition.aheadFloatCount(kernels))
      try packAhead(partition, ahead, context: context, source)
      return try runTasks(partition.count, slots: slots, context: context) { slot, task in
        let place = partition.place(task)
        multiply(
          partition, place, partition.aheadPiece(place.rowStart / partition.blockRows, ahead, kernels),
          tile: HeldPieces(blocks + slot * Self.slotFloatCount(kernels), kernels).tile)
      }
    }
    for slot in 0..<slots { HeldPieces(blocks + slot * Self.slotFloatCount(kernels), kernels).clear() }
    try runTasks(partition.count, slots: slots, context: context) { slot, task in
      block(task: task, partition, scratch: blocks + slot * Self.slotFloatCount(kernels), source, holding: true)
    }
  }

  /// Packs all of A, as `Partition.aheadPiece` says.
  private func packAhead(
    _ partition: Partition, _ ahead: UnsafeMutablePointer<Float>, context: RunContext, _ source: some RowSource
  ) throws {
    let step = max(1, min(kernels.gemm.tileRows, partition.blockRows))
    let pieces = (partition.blockRows + step - 1) / step
    try runTasks(partition.rowBlocks * pieces, slots: context.pool.threads, context: context) { _, task in
      let (block, piece) = task.quotientAndRemainder(dividingBy: pieces)
      let offset = piece * step
      let rowStart = block * partition.blockRows + offset
      let count = min(step, partition.blockRows - offset, rows - rowStart)
      guard count > 0 else { return }
      let target = partition.aheadPiece(block, ahead, kernels)
      if b.format.isInteger {
        source.quantize(rowStart, count, b.format, scales: target.scales + offset, factors: target.factors + offset)
      }
      for k in 0..<partition.depthBlocks {
        source.packBlock(
          k, of: partition.blockDepth, rowStart: rowStart, rows: count, depth: b.depth,
          target.rows(block: k, offset: offset, b.format, kernels))
      }
    }
  }

  /// One task of `partition`. All panels see the packed piece of A before the next piece replaces it. `holding`: pieces of
  /// the same A stay in `scratch` from task to task, whose `HeldPieces` were cleared before the first.
  func block(
    task: Int, _ partition: Partition, scratch: UnsafeMutablePointer<Float>, _ source: some RowSource,
    holding: Bool = false
  ) {
    let g = kernels.gemm
    let place = partition.place(task)
    let rows = min(partition.blockRows, self.rows - place.rowStart)
    let held = HeldPieces(scratch, kernels)
    let (slot, isPacked) =
      holding ? held.take(place.rowStart / partition.blockRows, places: partition.heldPieces) : (0, false)
    let scales = scratch + Self.heldRows(kernels) * g.rowStride + slot * partition.blockRows
    let piece = PackedPiece(
      words: scratch + slot * partition.chunk * partition.blockRows * g.rowStride,
      blockStride: partition.blockRows * g.rowStride, scales: scales, factors: scales + Self.heldRows(kernels))
    if b.format.isInteger, !isPacked {
      source.quantize(place.rowStart, rows, b.format, scales: piece.scales, factors: piece.factors)
    }
    partition.forChunks { blocks in
      for (index, k) in blocks.enumerated() where !isPacked {
        source.packBlock(
          k, of: partition.blockDepth, rowStart: place.rowStart, rows: rows, depth: b.depth,
          piece.rows(block: index, b.format, kernels))
      }
      var ahead = aheadOf(task: task, place, partition, blocks, source)
      multiply(partition, place, blocks, piece.words, scales: piece.scales, tile: held.tile, &ahead)
    }
  }

  /// What is packed after these blocks: the next of the same rows, or the first of the next task's.
  private func aheadOf(
    task: Int, _ place: Partition.Place, _ partition: Partition, _ blocks: Range<Int>, _ source: some RowSource
  ) -> RowsToPack {
    let elements = partition.blockDepth * b.format.elementsPerWord
    let panels = min(b.panelCount, place.firstPanel + partition.panelsPerTask) - place.firstPanel
    let products = panels * blocks.count
    if blocks.upperBound < partition.depthBlocks {
      let from = blocks.upperBound * elements
      return RowsToPack(
        source.place(place.rowStart), from: from, count: min(b.depth - from, partition.chunk * elements),
        products: products)
    }
    let next = task + 1 < partition.count ? partition.place(task + 1).rowStart : place.rowStart
    guard next != place.rowStart, partition.heldPieces < partition.rowBlocks else { return .none }
    return RowsToPack(
      source.place(next), from: 0, count: min(b.depth, partition.chunk * elements), products: products)
  }

  /// One task of `partition` on a piece of A that is packed for all of K.
  private func multiply(
    _ partition: Partition, _ place: Partition.Place, _ piece: PackedPiece, tile: UnsafeMutablePointer<Float>
  ) {
    var ahead = RowsToPack.none
    partition.forChunks { blocks in
      multiply(
        partition, place, blocks, piece.words + blocks.lowerBound * piece.blockStride, scales: piece.scales, tile: tile,
        &ahead)
    }
  }

  /// Some blocks of K of one task. `words`: the first of these blocks of A, packed.
  private func multiply(
    _ partition: Partition, _ place: Partition.Place, _ blocks: Range<Int>, _ words: UnsafeMutablePointer<Float>,
    scales: UnsafeMutablePointer<Float>, tile: UnsafeMutablePointer<Float>, _ ahead: inout RowsToPack
  ) {
    let g = kernels.gemm
    let rowStart = place.rowStart
    let rows = min(partition.blockRows, self.rows - rowStart)
    let kernel = b.panelKernel
    for panel in place.firstPanel..<min(b.panelCount, place.firstPanel + partition.panelsPerTask) {
      let column = panel * g.tileColumns
      let width = min(g.tileColumns, b.columns - column)
      let target = firstRow(ofPanel: panel) + rowStart * cStride
      for (index, block) in blocks.enumerated() {
        let k = block * partition.blockDepth
        kernel(
          rows, width, min(partition.blockDepth, b.words - k), words + index * partition.blockRows * g.rowStride,
          b.panel(panel, from: k), target, cStride, k > 0, tile,
          words + (index + 1) % blocks.count * partition.blockRows * g.rowStride, ahead.next(), ahead.stride,
          ahead.lines)
      }
      guard blocks.upperBound == partition.depthBlocks else { continue }
      let bias = bias.map { $0 + column }
      let residual = residual.map { $0 + rowStart * residualStride + column }
      if b.format.isInteger {
        kernels.narrow.rescale(
          rows, width, target, cStride, scales, b.columnScales + column, b.columnOffsets + column, bias, residual,
          residualStride, activation.rawValue)
      } else if bias != nil || residual != nil || activation != .none {
        kernels.epilogue(rows, width, target, cStride, bias, residual, residualStride, activation.rawValue)
      }
    }
  }

  /// Where a panel's columns begin in C.
  private func firstRow(ofPanel panel: Int) -> UnsafeMutablePointer<Float> {
    guard let group else { return c + panel * kernels.gemm.tileColumns }
    let (matrix, own) = panel.quotientAndRemainder(dividingBy: group.panels)
    return (matrix == 0 ? c : matrix == 1 ? group.second : group.third) + own * kernels.gemm.tileColumns
  }

  /// A is a plain row-major matrix.
  func run(
    context: RunContext, scratch: inout ScratchMemory, rowsOf a: UnsafePointer<Float>, stride: Int
  ) throws {
    try run(
      context: context, scratch: &scratch, MatrixRows(a: a, stride: stride, depth: b.depth, kernels: kernels))
  }

  /// A is stored transposed: element (row, k) at `a[k * stride + row]`.
  func run(
    context: RunContext, scratch: inout ScratchMemory, columnsOf a: UnsafePointer<Float>, stride: Int
  ) throws {
    try run(context: context, scratch: &scratch, TransposedRows(a: a, stride: stride))
  }
}

/// Rows of A packed for the register tile, block of K after block of K.
struct PackedPiece {
  let words: UnsafeMutablePointer<Float>
  /// Words from block to block.
  let blockStride: Int
  /// Of integers: per row, what one stands for, and the factor to integers.
  let scales: UnsafeMutablePointer<Float>
  let factors: UnsafeMutablePointer<Float>

  /// Where rows from `offset` on of one block are packed.
  func rows(block: Int, offset: Int = 0, _ format: ElementFormat, _ kernels: KernelTable) -> PackedRows {
    PackedRows(
      words: words + block * blockStride + offset * kernels.gemm.rowStride, distance: kernels.gemm.rowStride,
      format: format, kernels: kernels, factors: factors + offset)
  }
}
