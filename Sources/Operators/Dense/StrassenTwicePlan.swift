import KernelTable

/// How a product is cut for `StrassenTwice`, and whether that is expected to be faster.
///
/// As `StrassenPlan`, with halves of halves: groups of 256 rows, *quads* of two pairs of panels. The choice depends on the sizes
/// alone, never on the threads.
struct StrassenTwicePlan {
  /// Half of K.
  let half: Int
  let quads: Int
  let blocks: Int
  /// Words of half of K that are multiplied before the next.
  let blockDepth: Int
  let groups: Int
  let roundGroups: Int
  private let threads: Int
  let kernels: KernelTable
  let twice: StrassenTwiceKernels

  /// Left factors.
  static let squares = StrassenKernels.products * StrassenKernels.products
  static let quarterRows = 64
  static let groupRows = 4 * quarterRows
  /// Groups whose results stay in the second-level cache with panels of 32 columns: 2 · 164 KB beside right factors of 450 KB; with 16
  /// columns, and a cache of 512 KB, one.
  private static let roundLimit = 2
  /// Fewer rows, terms or columns gain less than the sums cost.
  private static let (leastRows, leastDepth, leastColumns) = (512, 1024, 1024)

  /// Nil where one level is expected to be as fast. Rows are whole groups, quarters of K whole cache lines.
  init?(rows: Int, depth: Int, pairs: Int, threads: Int, kernels: KernelTable, inOneBlock: Bool = false) {
    guard rows >= Self.leastRows, depth >= Self.leastDepth, 2 * pairs * kernels.gemm.tileColumns >= Self.leastColumns
    else { return nil }
    self.init(unconditionally: rows, depth: depth, pairs: pairs, threads: threads, kernels: kernels)
    guard !inOneBlock || blocks == 1 else { return nil }
  }

  /// For tests: whatever it costs. Nil for what cannot be cut.
  init?(unconditionally rows: Int, depth: Int, pairs: Int, threads: Int, kernels: KernelTable) {
    guard let twice = kernels.strassenTwice, rows > 0, rows.isMultiple(of: Self.groupRows), pairs.isMultiple(of: 2),
      depth.isMultiple(of: 4 * lineFloats)
    else { return nil }
    self.twice = twice
    self.kernels = kernels
    self.threads = max(1, threads)
    quads = pairs / 2
    half = depth / 2
    let pieces = half / (2 * lineFloats)
    let limit = twice.depthLimit / lineFloats
    blocks = max(1, (pieces + limit - 1) / limit)
    blockDepth = (pieces + blocks - 1) / blocks * 2 * lineFloats
    groups = rows / Self.groupRows
    roundGroups = min(groups, max(1, Self.roundLimit * kernels.gemm.tileColumns / StrassenPlan.widestPanel))
  }

  /// Rows of the tile of a quarter of a group that begins at `row`: 64 are four times 12 and twice 8, on AVX2 ten times 6 and once 4.
  func tileRows(at row: Int) -> Int {
    let rest = Self.quarterRows - row
    return rest <= 2 * twice.lastRows ? twice.lastRows : kernels.gemm.tileRows
  }

  /// Tiles of a quarter of a group.
  var tileCount: Int {
    var (count, row) = (0, 0)
    while row < Self.quarterRows {
      row += tileRows(at: row)
      count += 1
    }
    return count
  }

  /// Of a quarter of a group.
  func rows(ofTile tile: Int) -> Range<Int> {
    var row = 0
    for _ in 0..<tile { row += tileRows(at: row) }
    return row..<row + tileRows(at: row)
  }

  /// Columns of half of A in a block.
  func depth(ofBlock block: Int) -> Int { min(blockDepth, half - block * blockDepth) }

  /// Groups of a task in a round of so many: as many as possible, as every task makes its right factors, but so that no thread
  /// waits long.
  func height(groups: Int) -> Int {
    /// Of a task's right factors, in groups: measured, 6 % of two.
    let factors = 0.12
    func time(_ height: Int) -> Double {
      let tasks = quads * ((groups + height - 1) / height)
      return Double((tasks + threads - 1) / threads) * (Double(height) + factors)
    }
    return (1...max(1, groups)).min { time($0) < time($1) } ?? 1
  }

  // MARK: Memory

  /// Floats from left factor to left factor: a cache line more than its rows, so that not all fall into the same cache sets.
  var leftDistance: Int { Self.quarterRows * blockDepth / 2 + lineFloats }
  /// Floats of one panel of half of K.
  var panelFloats: Int { blockDepth * kernels.gemm.tileColumns }
  /// Floats from part to part of the results.
  var partDistance: Int { Self.quarterRows * kernels.gemm.tileColumns + lineFloats }
  /// Of a group: P1 and the four quarters of C, each in four parts.
  var resultDistance: Int { 5 * 4 * partDistance }
  /// Floats of one register tile.
  var tileFloats: Int { kernels.gemm.tileRows * kernels.gemm.tileColumns }

  /// 49 per group of a round. What tiles ask for beyond them is only a hint.
  var leftFloatCount: Int { roundGroups * Self.squares * leftDistance }
  /// Two panels each of an outer right factor, of widened weights and of sums among the inner factors; results; three tiles.
  var slotFloatCount: Int { 6 * panelFloats + roundGroups * resultDistance + 3 * tileFloats }

  var scratchByteCount: Int {
    ScratchMemory.byteCount(floats: leftFloatCount) + ScratchMemory.byteCount(floats: threads * slotFloatCount)
  }
}
