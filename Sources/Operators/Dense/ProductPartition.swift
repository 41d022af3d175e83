import KernelTable

extension GemmShape {
  /// K of `depth` words in as few blocks as panel kernels take, of equal size in whole steps but for the last.
  func equalBlocks(_ depth: Int) -> (count: Int, depth: Int) {
    let count = max(1, (depth + blockDepth - 1) / blockDepth)
    return (count, min(blockDepth, ((depth + count - 1) / count + depthStep - 1) / depthStep * depthStep))
  }
}

extension MatrixProduct {
  /// How rows and panels are divided into tasks. Tasks that share panels follow each other, so that B is read from memory
  /// once for all rows where it does not fit the last-level cache as a whole.
  struct Partition {
    var blockRows: Int
    var rowBlocks: Int
    var panelsPerTask: Int
    var panelBlocks: Int
    /// Blocks of K that are packed together.
    var chunk = 1
    /// Tasks that share rows follow each other, instead of those that share panels.
    var rowsFirst = false
    /// K in words is cut into blocks of equal size, but for the last: what follows a piece of B in memory is then as large
    /// as the piece, which is what the kernels ask for beside it.
    let depthBlocks: Int
    let blockDepth: Int
    /// Pieces of A, packed for all of K, that a thread keeps from task to task; 0 where K is longer than `chunk`.
    var heldPieces = 0
    /// A is packed as a whole before the tasks: several need the same rows, and a thread cannot keep them.
    var packsAhead = false
    var count: Int { rowBlocks * panelBlocks }

    /// Bytes of B that are worth keeping in the last-level cache while the rows go by.
    private static let panelByteLimit = 4 << 20
    /// Bytes of B that a core keeps in its second-level cache beside a piece of A.
    private static let ownByteLimit = 512 << 10
    /// Bytes that A packed ahead may take.
    private static let aheadByteLimit = 64 << 20
    /// Of products with more than one block of rows.
    private static let tasksPerThread = 8
    /// Multiply-adds of a task of few rows: some 4 ms, so that the cancel token is polled in time.
    private static let taskLimit = 1 << 29

    /// `depth` counts words. `matrices` of B are multiplied side by side. `rowLimit`: at most so many rows in a task, with
    /// one block of K at a time. `mayPackAhead`: whoever runs it has room for all of A.
    init(
      rows: Int, depth: Int, panels: Int, matrices: Int = 1, threads: Int, kernels: KernelTable,
      format: ElementFormat = .float32, rowLimit: Int? = nil, mayPackAhead: Bool = false
    ) {
      let g = kernels.shape(format)
      func tiles(_ rows: Int) -> Int { (rows + g.tileRows - 1) / g.tileRows * g.tileRows }
      (depthBlocks, blockDepth) = g.equalBlocks(depth)
      let held = MatrixProduct.heldRows(kernels)
      var limit = rowLimit ?? MatrixProduct.blockRowLimit(kernels)
      if rowLimit == nil, rows > limit {
        limit = max(g.tileRows, held / min(depthBlocks, MatrixProduct.chunkLimit) / g.tileRows * g.tileRows)
      }
      // B close to every core: tasks are pieces of the rows, and no row is packed twice or fetched from another core that
      // had the same rows of an operator before.
      let panelBytes = 4 * depth * g.tileColumns * matrices
      if rowLimit == nil, panels * panelBytes <= Self.ownByteLimit, rows > 4 * threads * g.tileRows {
        limit = min(limit, tiles((rows + 4 * threads - 1) / (4 * threads)))
        rowsFirst = true
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
      } else if rowLimit == nil, depthBlocks * blockRows <= held,
        Self.isUneven(rowBlocks, of: blockRows, rows: rows, threads: threads)
      {
        // Small tasks, of the same rows one after the other, which a thread packs once: the one that is done first takes some.
        wanted = max(wanted, (16 * threads + rowBlocks - 1) / rowBlocks)
        rowsFirst = true
      }
      panelsPerTask = max(1, (panels + wanted - 1) / wanted)
      panelBlocks = max(1, (panels + panelsPerTask - 1) / panelsPerTask)
      if rowLimit == nil, rowBlocks == 1 {
        share(
          rows: rows, depth: depth, panels: panels, matrices: matrices, threads: threads,
          heldRows: mayPackAhead ? held / depthBlocks : .max, g)
      }
      chunk = rowLimit == nil ? max(1, min(depthBlocks, held / blockRows)) : 1
      if rowLimit == nil, chunk == depthBlocks {
        heldPieces = max(1, min(HeldPieces.limit, held / (chunk * blockRows)))
      }
      let ownBlocks = rowsFirst ? 1 : min(rowBlocks, (count + threads - 1) / threads)
      packsAhead =
        mayPackAhead && panelBlocks > 1 && ownBlocks > heldPieces && 4 * aheadFloatCount(kernels) <= Self.aheadByteLimit
    }

    /// Whether a thread's blocks of rows are more than 4 % above its share: blocks are whole tiles, and the last one is shorter.
    private static func isUneven(_ blocks: Int, of blockRows: Int, rows: Int, threads: Int) -> Bool {
      blocks > 1 && 100 * ((blocks + threads - 1) / threads) * blockRows * threads > 104 * rows
    }

    /// Few rows: cuts both ways so that no thread waits long for another. Times are in cycles per word of depth; the
    /// figures are estimates for AVX-512. Of a piece of more than `heldRows` rows no
    /// thread keeps all of K: then A is packed ahead.
    private mutating func share(
      rows: Int, depth: Int, panels: Int, matrices: Int, threads: Int, heldRows: Int, _ g: GemmShape
    ) {
      /// Of a row of A, once per thread, or once if A is packed ahead; and of one that a task then fetches.
      let (packing, fetchingRow) = (0.35, 0.1)
      /// Of a panel that comes from afar, beyond what the products hide; and of one that a task reads again.
      let (fetching, reading) = (8.0, 1.0)
      /// Of a task beside its work: 400 cycles.
      let overhead = 400 / Double(max(1, depth))
      /// Of a row of A beyond a thread's share of all rows, which another core had in the operator before: on Intel (family 6
      /// model 207) a line takes 15 to 60 cycles from there.
      let distance = 2.0
      /// Of the longest task, as a share: smaller ones even out cores that are not equally fast, and what others take from them.
      let unevenness = 0.3
      let step = g.smallestTileRows
      let widest = min(
        (panels + threads - 1) / threads, max(1, Self.taskLimit / (max(1, rows * depth * matrices) * g.tileColumns)))
      var best = Double.infinity
      func consider(cuts: Int, width: Int, rowsFirst: Bool) {
        let height = max(step, ((rows + cuts - 1) / cuts + step - 1) / step * step)
        let blocks = max(1, (rows + height - 1) / height)
        let across = (panels + width - 1) / width
        let perThread = (blocks * across + threads - 1) / threads
        let whole = height / g.tileRows * g.tileRows
        let product = Double(whole) + (height > whole ? Double(height - whole) + 0.5 : 0)
        let (ownBlocks, ownAcross) =
          rowsFirst
          ? ((perThread + across - 1) / across, min(across, perThread))
          : (min(blocks, perThread), (perThread + blocks - 1) / blocks)
        let task = Double(matrices * width) * (product * g.rowCycles + reading) + overhead
        let time =
          (Double(perThread) + unevenness) * task
          + (height <= heldRows
            ? packing * Double(ownBlocks * height)
            : packing * Double(rows) / Double(threads) + fetchingRow * Double(perThread * height))
          + distance * max(0, Double(ownBlocks * height) - Double(rows) / Double(threads))
          + fetching * Double(matrices * min(panels, ownAcross * width))
        guard time < best else { return }
        best = time
        (blockRows, rowBlocks, panelsPerTask, panelBlocks) = (height, blocks, width, across)
        self.rowsFirst = rowsFirst
      }
      for cuts in 1...max(1, min((rows + step - 1) / step, 2 * threads)) {
        var width = widest
        while true {
          consider(cuts: cuts, width: width, rowsFirst: true)
          consider(cuts: cuts, width: width, rowsFirst: false)
          if width == 1 { break }
          width = (width + 1) / 2
        }
        if threads > 1, widest < panels, rows * panels * depth * matrices <= Self.taskLimit / g.tileColumns {
          consider(cuts: cuts, width: panels, rowsFirst: true)
        }
      }
    }

    /// Makes row blocks smaller, where they are larger than `limit`.
    mutating func limit(blockRows limit: Int, rows: Int) {
      guard blockRows > limit else { return }
      blockRows = limit
      rowBlocks = (rows + limit - 1) / limit
    }

    /// The first row and panel of a task.
    struct Place {
      let rowStart: Int
      let firstPanel: Int
    }

    func place(_ task: Int) -> Place {
      let (outer, inner) = task.quotientAndRemainder(dividingBy: rowsFirst ? panelBlocks : rowBlocks)
      return rowsFirst
        ? Place(rowStart: outer * blockRows, firstPanel: inner * panelsPerTask)
        : Place(rowStart: inner * blockRows, firstPanel: outer * panelsPerTask)
    }

    /// The blocks of K, `chunk` at a time.
    @inline(__always)
    func forChunks(_ body: (Range<Int>) -> Void) {
      for first in stride(from: 0, to: depthBlocks, by: chunk) { body(first..<min(depthBlocks, first + chunk)) }
    }

    /// Floats that A packed ahead takes: its pieces, then two values per row.
    func aheadFloatCount(_ kernels: KernelTable) -> Int {
      rowBlocks * blockRows * (depthBlocks * kernels.gemm.rowStride + 2)
    }

    /// The rows of one row block in A packed ahead.
    func aheadPiece(_ rowBlock: Int, _ ahead: UnsafeMutablePointer<Float>, _ kernels: KernelTable) -> PackedPiece {
      let blockStride = blockRows * kernels.gemm.rowStride
      let scales = ahead + rowBlocks * depthBlocks * blockStride + rowBlock * blockRows
      return PackedPiece(
        words: ahead + rowBlock * depthBlocks * blockStride, blockStride: blockStride, scales: scales,
        factors: scales + rowBlocks * blockRows)
    }
  }

  /// The packed pieces of A in one slot's scratch memory: piece i lies at place i modulo the number of places.
  struct HeldPieces {
    static let limit = 16
    /// Scratch of panel kernels, before the marks.
    let tile: UnsafeMutablePointer<Float>
    /// Per place, the number of the piece.
    private let marks: UnsafeMutablePointer<UInt32>
    private static let none = UInt32.max

    /// `scratch`: a slot of `slotFloatCount`.
    init(_ scratch: UnsafeMutablePointer<Float>, _ kernels: KernelTable) {
      let g = kernels.gemm
      tile = scratch + MatrixProduct.heldRows(kernels) * (g.rowStride + 2)
      marks = UnsafeMutableRawPointer(tile + kernels.edgeFloatCount).assumingMemoryBound(to: UInt32.self)
    }

    func clear() { marks.update(repeating: Self.none, count: Self.limit) }

    /// Where the piece lies, and whether it is packed already; after this it is taken to be.
    func take(_ piece: Int, places: Int) -> (place: Int, isPacked: Bool) {
      guard places > 0 else { return (0, false) }
      let mark = UInt32(truncatingIfNeeded: piece)
      let place = piece % places
      if marks[place] == mark { return (place, true) }
      marks[place] = mark
      return (place, false)
    }
  }
}
