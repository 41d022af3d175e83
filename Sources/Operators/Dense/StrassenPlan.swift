import KernelTable

/// How a product is cut for `StrassenProduct`, and whether that is expected to be faster.
///
/// Rows are taken in *groups* of 256, whose first half is the upper quarters of A and C, panels in *pairs*, K in two halves.
/// Halves are cut into equal blocks: C is summed over them.
/// What is summed with what depends on the sizes alone, never on the threads.
struct StrassenPlan {
  let rows: Int
  /// Half of K.
  let half: Int
  let pairs: Int
  let blocks: Int
  let blockDepth: Int
  let groups: Int
  /// Groups whose factors are made before they are multiplied.
  let roundGroups: Int
  private let threads: Int
  let kernels: KernelTable

  /// Rows of the upper half of a group: images of 16 × 16 and more pixels are whole groups, so that no two images are summed.
  static let groupRows = 128
  /// Columns of the widest panels (AVX-512). Limits that are measured with them shrink with narrower ones, whose machines have smaller
  /// second-level caches as a rule and whose panels use a left factor less.
  static let widestPanel = 32
  /// Bytes of left factors that a round makes: a share of the last-level cache.
  private static let roundByteLimit = 8 << 20
  /// Fewer rows gain less than the sums cost.
  private static let leastRows = 256
  /// So do products with few terms per sum, or fewer still unless many panels share the left factors.
  private static let (leastHalf, leastHalfOfMany, many) = (256, 128, 16)

  /// Nil where seven products and their sums are not expected to be faster than eight. `inOneBlock`: C cannot be summed over blocks.
  init?(rows: Int, depth: Int, pairs: Int, threads: Int, kernels: KernelTable, inOneBlock: Bool = false) {
    guard rows >= Self.leastRows, pairs >= 4, depth % 2 == 0,
      depth / 2 >= (pairs >= Self.many ? Self.leastHalfOfMany : Self.leastHalf)
    else { return nil }
    self.init(unconditionally: rows, depth: depth, pairs: pairs, threads: threads, kernels: kernels)
    guard !inOneBlock || blocks == 1 else { return nil }
  }

  /// For tests: whatever it costs. `depth` is even.
  init(unconditionally rows: Int, depth: Int, pairs: Int, threads: Int, kernels: KernelTable) {
    self.rows = rows
    self.pairs = pairs
    self.threads = max(1, threads)
    self.kernels = kernels
    half = depth / 2
    // The right factors of a block, at most 7 · 672 · 32 floats, are 602 KB of a 1 MB second-level cache.
    blocks = max(1, (half + kernels.strassen.depthLimit - 1) / kernels.strassen.depthLimit)
    blockDepth = (half + blocks - 1) / blocks
    groups = (rows + 2 * Self.groupRows - 1) / (2 * Self.groupRows)
    let bytes = 4 * StrassenKernels.products * Self.groupRows * blockDepth
    let most = max(1, min(groups, Self.roundByteLimit / max(1, bytes)))
    let (pairs, threads, groups) = (pairs, max(1, threads), groups)
    func time(_ roundGroups: Int) -> Double {
      func round(_ groups: Int) -> Double { Self.height(groups: groups, pairs: pairs, threads: threads).time }
      let (rounds, rest) = groups.quotientAndRemainder(dividingBy: roundGroups)
      return Double(rounds) * (round(roundGroups) + Self.roundTime) + (rest > 0 ? round(rest) + Self.roundTime : 0)
    }
    roundGroups = (1...most).min { time($0) < time($1) } ?? 1
  }

  // MARK: Places

  /// Rows of a group: where it begins, those of its upper half and those of its lower half.
  func rows(ofGroup group: Int) -> (start: Int, upper: Int, lower: Int) {
    let start = group * 2 * Self.groupRows
    let count = min(2 * Self.groupRows, rows - start)
    return (start, (count + 1) / 2, count / 2)
  }

  /// Columns of half of A in a block.
  func depth(ofBlock block: Int) -> Int { min(blockDepth, half - block * blockDepth) }

  /// Of a round beside its products, per word of half of K: threads wait for one another twice.
  private static let roundTime = 100.0

  /// Groups of a task in a round of so many: as many as possible, as every task makes its right factors, but so that no thread
  /// waits long.
  func height(groups: Int) -> Int { Self.height(groups: groups, pairs: pairs, threads: threads).count }

  private static func height(groups: Int, pairs: Int, threads: Int) -> (count: Int, time: Double) {
    /// Cycles per word of half of K: a group's products take one per row; making the factors of a pair is an estimate.
    let (group, factors) = (Double(StrassenKernels.products * groupRows), 16.0)
    func time(_ height: Int) -> Double {
      let tasks = pairs * ((groups + height - 1) / height)
      return Double((tasks + threads - 1) / threads) * (group * Double(height) + factors)
    }
    let best = (1...max(1, groups)).min { time($0) < time($1) } ?? 1
    return (best, time(best))
  }

  // MARK: Memory

  /// The kernel of the products and the distance of its rows.
  var product: (kernel: PanelKernel, rowStride: Int) {
    blockDepth > kernels.gemm.blockDepth
      ? (kernels.strassen.product, kernels.strassen.rowStride) : (kernels.gemmPanel, kernels.gemm.rowStride)
  }
  /// Floats from left factor to left factor.
  var leftDistance: Int { Self.groupRows * product.rowStride }
  /// Floats from right factor to right factor.
  var rightDistance: Int { blockDepth * kernels.gemm.tileColumns }
  /// Floats from product to product.
  var productDistance: Int { Self.groupRows * kernels.gemm.tileColumns }

  /// Panel kernels may read up to a whole register tile.
  var leftFloatCount: Int {
    roundGroups * StrassenKernels.products * leftDistance + kernels.gemm.tileRows * product.rowStride
  }
  /// Right factors, products, one register tile, four quarters of C and the pair's mark.
  var slotFloatCount: Int {
    StrassenKernels.products * rightDistance + (StrassenKernels.products + 4) * productDistance
      + kernels.gemm.tileRows * kernels.gemm.tileColumns + lineFloats
  }

  var scratchByteCount: Int {
    ScratchMemory.byteCount(floats: leftFloatCount) + ScratchMemory.byteCount(floats: threads * slotFloatCount)
  }
}
