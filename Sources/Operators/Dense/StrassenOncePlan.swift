import KernelTable

/// How a product is cut for `StrassenOnce`, and whether that is expected to be faster.
///
/// Rows come in groups of 256, as in `StrassenPlan`, and these in *tiles* of 24, the last of 16: what is summed is the upper and the
/// lower half of a tile. Panels are taken in pairs, K in two halves and these in equal blocks over which C is summed. What is
/// summed with what depends on the sizes alone, never on the threads.
struct StrassenOncePlan {
  /// Half of K.
  let half: Int
  let pairs: Int
  let blocks: Int
  let blockDepth: Int
  let groups: Int
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
  /// Bytes of a task's left factors; with the right factors of a pair they lie in a second-level cache of 1 MB.
  private static let leftByteLimit = 440 << 10
  /// Bytes of a task's right factors, which come from the last-level cache for every task.
  private static let rightByteLimit = 3 << 20
  /// Fewer rows, terms or panels gain less than the sums cost. With more terms a task would have few pairs, and its left factors
  /// were made for little.
  private static let (leastRows, depths, leastPairs) = (512, 256...1280, 4)

  /// Nil where the other ways are expected to be as fast. `inOneBlock`: C cannot be summed over blocks.
  init?(rows: Int, depth: Int, pairs: Int, threads: Int, kernels: KernelTable, inOneBlock: Bool = false) {
    guard rows >= Self.leastRows, Self.depths.contains(depth), pairs >= Self.leastPairs else { return nil }
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
    let tiles = (Self.groupRows + 2 * kernels.gemm.tileRows - 1) / (2 * kernels.gemm.tileRows)
    taskTiles = max(1, min(tiles, Self.leftByteLimit / max(1, bytes * kernels.gemm.tileRows * blockDepth)))
    piecesPerGroup = (tiles + taskTiles - 1) / taskTiles
    let most = max(1, Self.rightByteLimit / max(1, bytes * kernels.gemm.tileColumns * half))
    let ranges = (pairs + most - 1) / most
    taskPairs = (pairs + ranges - 1) / ranges
  }

  // MARK: Tasks

  /// Rows of half of the tile that begins at `row` of a group: 256 rows are ten times 24 and once 16.
  func tileRows(at row: Int) -> Int {
    Self.groupRows - row <= 2 * once.lastRows ? once.lastRows : kernels.gemm.tileRows
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
    let rows = 2 * kernels.gemm.tileRows * taskTiles
    return group * Self.groupRows + piece * rows..<group * Self.groupRows + min(Self.groupRows, (piece + 1) * rows)
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
