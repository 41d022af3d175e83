import Graph
import KernelTable
import Support

/// A · B in float32 by one level of Strassen's algorithm on register tiles (`StrassenOnceKernels`), for sums of few terms.
///
/// A task makes the left factors of some tiles of rows, which then stay in the second-level cache, and multiplies them with some pairs
/// of panels. In `StrassenProduct` left factors lie in the last-level cache and products in the second; with few terms that is a
/// larger part of the time, and more of it where other programs use the last-level cache. The sums among the right factors are
/// made by each thread for the pairs it works on.
///
/// Rounding errors go as far as a tile of 24 rows and a pair, as does what is not finite.
struct StrassenOnce {
  let plan: StrassenOncePlan
  /// As in `StrassenProduct`; not float16.
  let left: PackedMatrix
  let right: PackedMatrix
  let step: Int
  let firstRight: Int

  private var kernels: KernelTable { plan.kernels }

  /// `a`: rows at distance `stride`.
  func run(
    context: RunContext, scratch: inout ScratchMemory, _ a: UnsafePointer<Float>, stride: Int,
    _ results: some StrassenResults
  ) throws {
    let slots = context.pool.threads
    let own = try scratch.takeFloats(slots * plan.slotFloatCount)
    for slot in 0..<slots { Slot(own + slot * plan.slotFloatCount, plan).mark.pointee = .max }
    try runTasks(plan.taskCount, slots: slots, context: context) { index, task in
      let slot = Slot(own + index * plan.slotFloatCount, plan)
      let pairs = plan.pairs(ofTask: task)
      if slot.mark.pointee != UInt32(truncatingIfNeeded: pairs.lowerBound) {
        for pair in pairs { makeSums(pair, slot.sums + (pair - pairs.lowerBound) * plan.sumFloats) }
        slot.mark.pointee = UInt32(truncatingIfNeeded: pairs.lowerBound)
      }
      let rows = plan.rows(ofTask: task)
      for block in 0..<plan.blocks {
        makeLeftFactors(rows, block, slot.factors, a, stride)
        for pair in pairs {
          multiply(rows, pair, block, slot.sums + (pair - pairs.lowerBound) * plan.sumFloats, slot, results)
        }
      }
    }
  }

  /// A thread's scratch memory.
  private struct Slot {
    let sums: UnsafeMutablePointer<Float>
    let factors: UnsafeMutablePointer<Float>
    let quarters: UnsafeMutablePointer<Float>
    let tiles: UnsafeMutablePointer<Float>
    /// The first of the pairs whose sums are there.
    let mark: UnsafeMutablePointer<UInt32>

    init(_ start: UnsafeMutablePointer<Float>, _ plan: StrassenOncePlan) {
      sums = start
      factors = sums + plan.taskPairs * plan.sumFloats
      quarters = factors + plan.taskTiles * plan.tileFloats
      tiles = quarters + 4 * plan.quarterFloats
      mark = UnsafeMutableRawPointer(tiles + 2 * plan.quarterFloats).assumingMemoryBound(to: UInt32.self)
    }
  }

  // MARK: Factors

  private func makeLeftFactors(
    _ rows: Range<Int>, _ block: Int, _ factors: UnsafeMutablePointer<Float>, _ a: UnsafePointer<Float>, _ stride: Int
  ) {
    var target = factors
    forEachTile(rows) { row, height in
      let upper = a + row * stride + block * plan.blockDepth
      let lower = upper + height * stride
      kernels.strassen.left(
        height, height, plan.depth(ofBlock: block), upper, upper + plan.half, lower, lower + plan.half, stride, target,
        plan.once.rowStride, plan.leftDistance)
      target += plan.tileFloats
    }
  }

  /// The quarters of B of a pair, from a block on.
  private func quarters(_ pair: Int, _ block: Int) -> (
    b11: UnsafePointer<Float>, b21: UnsafePointer<Float>, b22: UnsafePointer<Float>, b12: UnsafePointer<Float>
  ) {
    let (first, panel, other) = (block * plan.blockDepth, step * pair, firstRight + step * pair)
    return (
      left.panel(panel, from: first), left.panel(panel, from: plan.half + first),
      right.panel(other, from: plan.half + first), right.panel(other, from: first)
    )
  }

  private func makeSums(_ pair: Int, _ sums: UnsafeMutablePointer<Float>) {
    for block in 0..<plan.blocks {
      let b = quarters(pair, block)
      let count = plan.depth(ofBlock: block) * kernels.gemm.tileColumns
      kernels.strassen.right(count, b.b11, b.b21, b.b22, b.b12, sums + sumOffset(block), count)
    }
  }

  /// Where the sums of a block begin among those of a pair.
  private func sumOffset(_ block: Int) -> Int {
    StrassenKernels.rightSums * block * plan.blockDepth * kernels.gemm.tileColumns
  }

  // MARK: Products

  private func forEachTile(_ rows: Range<Int>, _ body: (_ row: Int, _ height: Int) -> Void) {
    var row = rows.lowerBound
    while row < rows.upperBound {
      let height = plan.tileRows(at: row % StrassenOncePlan.groupRows)
      body(row, height)
      row += 2 * height
    }
  }

  private func multiply(
    _ rows: Range<Int>, _ pair: Int, _ block: Int, _ sums: UnsafePointer<Float>, _ slot: Slot,
    _ results: some StrassenResults
  ) {
    let b = quarters(pair, block)
    var factors = UnsafePointer(slot.factors)
    forEachTile(rows) { row, height in
      let place = StrassenPlace(
        pair: pair, start: row, lowerStart: row + height, upper: height, lower: height, isFirst: block == 0,
        isLast: block + 1 == plan.blocks)
      let isLastTile = row + 2 * height == rows.upperBound
      let next = isLastTile ? UnsafePointer(slot.factors) : factors + plan.tileFloats
      // The upper half's rows; those of the lower follow.
      var residual = results.ahead(place, 0)
      var target = results.ahead(place, 2)
      let kernel = height == plan.once.lastRows ? plan.once.multiplyLast : plan.once.multiply
      kernel(
        plan.depth(ofBlock: block), factors, plan.leftDistance, b.b11, b.b21, b.b22, sums + sumOffset(block),
        slot.quarters, plan.quarterFloats, slot.tiles, next, residual.next(), residual.stride, residual.lines,
        target.next(), target.stride, target.lines)
      results.take(place, quarters: slot.quarters, distance: plan.quarterFloats)
      factors += plan.tileFloats
    }
  }
}
