import KernelTable

/// How a product is cut for `StrassenOnce`, and whether that is expected to be faster.
///
/// Rows come in groups of 256, as in `StrassenPlan`, and these in *tiles* of 24, the last of 16 (AVX2: of 12, the last two of 8): what is
/// summed is the upper and the lower half of a tile. Panels are taken in pairs, K in two halves and these in equal blocks over which C is summed. What is
/// summed with what depends on the sizes alone, never on the threads.
struct StrassenOncePlan {
  /// Half of K.
  let half: Int
  let pairs: Int
  let blocks: Int
  let blockDepth: Int
  let groups: Int
  /// Tiles of a group that are whole; the others have `StrassenOnceKernels.lastRows` rows in each half.
  private let tallTiles: Int
  /// Tiles of a task, all of one group.
  let taskTiles: Int
  /// Tasks of a group and the same pairs.
  private let piecesPerGroup: Int
  /// Pairs of a task.
  let taskPairs: Int
  private let threads: Int
  let kernels: KernelTable
  let once: StrassenOnceKernels

  static let groupRows = 2 * StrassenPlan.groupRows
  /// Bytes of a task's left factors; with the right factors of a pair they lie in a second-level cache of 1 MB with panels of 32 columns
  /// (AVX-512), of half as much with 16.
  private static let leftByteLimit = 440 << 10
  /// Bytes of a task's right factors, which come from the last-level cache for every task; the same.
  private static let rightByteLimit = 3 << 20
  /// Fewer rows, terms or panels gain less than the sums cost. With more terms a task would have few pairs, and its left factors
  /// were made for little. Narrower panels use a left factor less and need as many times the terms: with 16 columns 320 were 9 % slower
  /// than plain products, 640 took 4 % less time.
  private static let (leastRows, leastDepth, mostDepth, leastPairs) = (512, 256, 1280, 4)

  /// Nil where the other ways are expected to be as fast. `inOneBlock`: C cannot be summed over blocks.
  init?(rows: Int, depth: Int, pairs: Int, threads: Int, kernels: KernelTable, inOneBlock: Bool = false) {
    let leastDepth = Self.leastDepth * StrassenPlan.widestPanel / kernels.gemm.tileColumns
    guard rows >= Self.leastRows, depth >= leastDepth, depth <= Self.mostDepth, pairs >= Self.leastPairs else {
      return nil
    }
    self.init(unconditionally: rows, depth: depth, pairs: pairs, threads: threads, kernels: kernels)
    guard !inOneBlock || blocks == 1 else { return nil }
  }

  /// For tests: whatever it costs. Nil for what cannot be cut: rows are whole groups, halves of K whole vectors.
  init?(unconditionally rows: Int, depth: Int, pairs: Int, threads: Int, kernels: KernelTable) {
    let vector = kernels.gemm.tileColumns / 2
    guard let once = kernels.strassenOnce, rows > 0, rows.isMultiple(of: Self.groupRows), pairs > 0,
      depth.isMultiple(of: 2 * vector)
    else { return nil }
    self.once = once
    self.kernels = kernels
    self.threads = max(1, threads)
    self.pairs = pairs
    half = depth / 2
    groups = rows / Self.groupRows
    let vectors = half / vector
    let limit = once.depthLimit / vector
    blocks = max(1, (vectors + limit - 1) / limit)
    blockDepth = (vectors + blocks - 1) / blocks * vector
    let bytes = MemoryLayout<Float>.size * StrassenKernels.products
    let (leftByteLimit, rightByteLimit) = (
      Self.leftByteLimit * kernels.gemm.tileColumns / StrassenPlan.widestPanel,
      Self.rightByteLimit * kernels.gemm.tileColumns / StrassenPlan.widestPanel
    )
    var tall = Self.groupRows / (2 * kernels.gemm.tileRows)
    while !(Self.groupRows - tall * 2 * kernels.gemm.tileRows).isMultiple(of: 2 * once.lastRows) { tall -= 1 }
    tallTiles = tall
    let tiles = tall + (Self.groupRows - tall * 2 * kernels.gemm.tileRows) / (2 * once.lastRows)
    taskTiles = max(1, min(tiles, leftByteLimit / max(1, bytes * kernels.gemm.tileRows * blockDepth)))
    piecesPerGroup = (tiles + taskTiles - 1) / taskTiles
    let most = max(1, rightByteLimit / max(1, bytes * kernels.gemm.tileColumns * half))
    let ranges = (pairs + most - 1) / most
    taskPairs = (pairs + ranges - 1) / ranges
  }

  // MARK: Tasks

  /// Rows of half of the tile that begins at `row` of a group.
  func tileRows(at row: Int) -> Int {
    row < start(ofTile: tallTiles) ? kernels.gemm.tileRows : once.lastRows
  }

  /// The first row of a tile of a group, the group's end for those beyond.
  private func start(ofTile tile: Int) -> Int {
    let tall = min(tile, tallTiles)
    return min(Self.groupRows, 2 * (tall * kernels.gemm.tileRows + (tile - tall) * once.lastRows))
  }

  private var pieces: Int { groups * piecesPerGroup }
  private var ranges: Int { (pairs + taskPairs - 1) / taskPairs }

  /// Those of the same pairs follow each other.
  var taskCount: Int { ranges * pieces }

  func pairs(ofTask task: Int) -> Range<Int> {
    let first = task / pieces * taskPairs
    return first..<min(pairs, first + taskPairs)
  }

  /// Whole tiles.
  func rows(ofTask task: Int) -> Range<Int> {
    let (group, piece) = (task % pieces).quotientAndRemainder(dividingBy: piecesPerGroup)
    let first = group * Self.groupRows
    return first + start(ofTile: piece * taskTiles)..<first + start(ofTile: (piece + 1) * taskTiles)
  }

  /// Columns of half of A in a block.
  func depth(ofBlock block: Int) -> Int { min(blockDepth, half - block * blockDepth) }

  // MARK: Memory

  /// Floats from left factor to left factor: a cache line more than its rows, so that not all fall into the same cache sets.
  var leftDistance: Int { kernels.gemm.tileRows * once.rowStride + lineFloats }
  /// The left factors of a tile.
  var tileFloats: Int { StrassenKernels.products * leftDistance }
  /// The sums among the right factors of a pair.
  var sumFloats: Int { StrassenKernels.rightSums * half * kernels.gemm.tileColumns }
  /// A quarter of the results of a tile and a pair.
  var quarterFloats: Int { kernels.gemm.tileRows * kernels.gemm.tileColumns }

  /// Sums, left factors, four quarters, two register tiles, and whose sums they are.
  var slotFloatCount: Int { taskPairs * sumFloats + taskTiles * tileFloats + 6 * quarterFloats + lineFloats }

  var scratchByteCount: Int { ScratchMemory.byteCount(floats: threads * slotFloatCount) }
}
