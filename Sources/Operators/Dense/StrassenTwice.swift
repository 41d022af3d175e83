import Graph
import KernelTable
import Support

/// A · B in float32 by two levels of Strassen's algorithm (`StrassenTwiceKernels`): 49 products of a quarter of the rows, of K and
/// of the columns instead of 64.
///
/// The left factors are made once per round of rows for all panels. A task takes one quad of panels and the seven outer products
/// one after the other: it makes the right factors of the inner products, multiplies group after group, and adds what comes out to
/// the quarters of C, which stay in the second-level cache until they are whole.
///
/// Rounding errors and what is not finite go as far as with one level: through a group and a quad.
struct StrassenTwice {
  let plan: StrassenTwicePlan
  /// As in `StrassenProduct`, with two pairs after each other in a quad.
  let left: PackedMatrix
  let right: PackedMatrix
  let step: Int
  let firstRight: Int

  private typealias Kernels = StrassenKernels
  private typealias Plan = StrassenTwicePlan
  private var kernels: KernelTable { plan.kernels }

  /// `a`: rows at distance `stride`.
  func run(
    context: RunContext, scratch: inout ScratchMemory, _ a: UnsafePointer<Float>, stride: Int,
    _ results: some StrassenResults
  ) throws {
    let slots = context.pool.threads
    let factors = try scratch.takeFloats(plan.leftFloatCount)
    let own = try scratch.takeFloats(slots * plan.slotFloatCount)
    for first in Swift.stride(from: 0, to: plan.groups, by: plan.roundGroups) {
      let groups = first..<min(plan.groups, first + plan.roundGroups)
      let height = plan.height(groups: groups.count)
      let pieces = (groups.count + height - 1) / height
      for block in 0..<plan.blocks {
        try makeLeftFactors(groups, block, factors, context: context, a, stride)
        try runTasks(plan.quads * pieces, slots: slots, context: context) { slot, task in
          let (quad, piece) = task.quotientAndRemainder(dividingBy: pieces)
          let begin = groups.lowerBound + piece * height
          multiply(
            quad, begin..<min(groups.upperBound, begin + height), block,
            factors + piece * height * Plan.squares * plan.leftDistance, Slot(own + slot * plan.slotFloatCount, plan),
            results)
        }
      }
    }
  }

  // MARK: Left factors

  private func makeLeftFactors(
    _ groups: Range<Int>, _ block: Int, _ factors: UnsafeMutablePointer<Float>, context: RunContext,
    _ a: UnsafePointer<Float>, _ stride: Int
  ) throws {
    let depth = plan.depth(ofBlock: block) / 2
    try runTasks(groups.count * plan.tileCount, slots: context.pool.threads, context: context) { _, task in
      let (index, tile) = task.quotientAndRemainder(dividingBy: plan.tileCount)
      let rows = plan.rows(ofTile: tile)
      let first = a + ((groups.lowerBound + index) * Plan.groupRows + rows.lowerBound) * stride
      plan.twice.left(
        rows.count, depth, first + block * plan.blockDepth, stride, plan.half, Plan.groupRows / 2,
        factors + index * Plan.squares * plan.leftDistance + rows.lowerBound * depth, plan.leftDistance)
    }
  }

  // MARK: Right factors

  /// A quarter of B.
  private enum Quarter {
    case b11, b21, b22, b12
  }

  /// Outer products in an order in which every right factor is a quarter of B or comes from the one before, and quarters that are
  /// read for the first time beside the one before.
  private static let order: [(outer: Int, fresh: Quarter?)] = [
    (0, .b11), (1, .b21), (2, .b22), (4, .b12), (5, nil), (3, nil), (6, nil),
  ]

  /// One panel, 0 or 1, of a quarter of a quad, as it is stored.
  private func stored(_ quarter: Quarter, _ panel: Int, quad: Int, block: Int) -> (
    matrix: PackedMatrix, panel: Int, first: Int
  ) {
    let isRight = quarter == .b12 || quarter == .b22
    let isLower = quarter == .b21 || quarter == .b22
    return (
      isRight ? right : left, (isRight ? firstRight : 0) + step * (2 * quad + panel),
      (isLower ? plan.half : 0) + block * plan.blockDepth
    )
  }

  /// The same where it can be read, widened to `room` if need be.
  private func floats(
    _ quarter: Quarter, _ panel: Int, quad: Int, block: Int, _ room: UnsafeMutablePointer<Float>
  ) -> UnsafePointer<Float> {
    let (matrix, index, first) = stored(quarter, panel, quad: quad, block: block)
    guard matrix.isHalf else { return matrix.panel(index, from: first) }
    matrix.unpack(panel: index, first: first, count: plan.depth(ofBlock: block), to: room)
    return UnsafePointer(room)
  }

  /// One panel of outer right factor `outer`; `target` holds that of the one before in `order`.
  private func outerFactor(
    _ outer: Int, _ panel: Int, quad: Int, block: Int, _ target: UnsafeMutablePointer<Float>,
    _ widened: UnsafeMutablePointer<Float>
  ) -> UnsafePointer<Float> {
    let count = plan.depth(ofBlock: block) * kernels.gemm.tileColumns
    func floats(_ quarter: Quarter, _ room: UnsafeMutablePointer<Float>) -> UnsafePointer<Float> {
      self.floats(quarter, panel, quad: quad, block: block, room)
    }
    switch outer {
    case 0: return floats(.b11, widened)
    case 1: return floats(.b21, widened)
    case 2: return floats(.b22, widened)
    case 4: kernels.subtract(floats(.b12, target), floats(.b11, widened), target, count)
    case 5: kernels.subtract(floats(.b22, widened), target, target, count)
    case 3: kernels.subtract(target, floats(.b21, widened), target, count)
    default: kernels.subtract(floats(.b22, widened), floats(.b12, target), target, count)
    }
    return UnsafePointer(target)
  }

  // MARK: Products

  /// A thread's scratch memory.
  private struct Slot {
    let outer: UnsafeMutablePointer<Float>
    let widened: UnsafeMutablePointer<Float>
    /// The sums among the inner right factors.
    let sums: UnsafeMutablePointer<Float>
    let results: UnsafeMutablePointer<Float>
    let tiles: UnsafeMutablePointer<Float>

    init(_ start: UnsafeMutablePointer<Float>, _ plan: StrassenTwicePlan) {
      outer = start
      widened = outer + 2 * plan.panelFloats
      sums = widened + 2 * plan.panelFloats
      results = sums + 2 * plan.panelFloats
      tiles = results + plan.roundGroups * plan.resultDistance
    }
  }

  private func multiply(
    _ quad: Int, _ groups: Range<Int>, _ block: Int, _ factors: UnsafePointer<Float>, _ slot: Slot,
    _ results: some StrassenResults
  ) {
    let tile = kernels.gemm.tileColumns
    let depth = plan.depth(ofBlock: block) / 2
    let factor = depth * tile
    for (position, (outer, _)) in Self.order.enumerated() {
      func panel(_ index: Int) -> UnsafePointer<Float> {
        let offset = index * plan.panelFloats
        return outerFactor(outer, index, quad: quad, block: block, slot.outer + offset, slot.widened + offset)
      }
      let (b11, b12) = (panel(0), panel(1))
      let (b21, b22) = (b11 + factor, b12 + factor)
      kernels.strassen.right(factor, b11, b21, b22, b12, slot.sums, factor)
      var ahead = QuarterAhead(self, after: position, quad: quad, block, calls: groups.count * plan.tileCount)
      for index in 0..<groups.count {
        let group = factors + index * Plan.squares * plan.leftDistance
        let start = group + outer * Kernels.products * plan.leftDistance
        var row = 0
        while row < Plan.quarterRows {
          let height = plan.tileRows(at: row)
          let a = start + row * depth
          let next: UnsafePointer<Float>
          if row + height < Plan.quarterRows {
            next = a + height * depth
          } else if index + 1 < groups.count {
            next = start + Plan.squares * plan.leftDistance
          } else {
            next = factors + Self.order[(position + 1) % Self.order.count].outer * Kernels.products * plan.leftDistance
          }
          let kernel = height == plan.twice.lastRows ? plan.twice.multiplyLast : plan.twice.multiply
          kernel(
            outer, depth, a, plan.leftDistance, b11, b21, b22, slot.sums,
            slot.results + index * plan.resultDistance + row * tile, plan.partDistance, slot.tiles, next, ahead.next(),
            ahead.lines)
          row += height
        }
      }
    }
    for (index, group) in groups.enumerated() {
      for part in 0..<4 {
        let start = group * Plan.groupRows + part / 2 * Plan.quarterRows
        let place = StrassenPlace(
          pair: 2 * quad + part % 2, start: start, lowerStart: start + Plan.groupRows / 2, upper: Plan.quarterRows,
          lower: Plan.quarterRows, isFirst: block == 0, isLast: block + 1 == plan.blocks)
        results.take(
          place, quarters: slot.results + index * plan.resultDistance + (4 + part) * plan.partDistance,
          distance: 4 * plan.partDistance)
      }
    }
  }

  /// The two panels of the quarter of B that the next outer product reads first, asked for beside the products before.
  private struct QuarterAhead {
    /// Cache lines beside a call.
    private(set) var lines = 0
    private var panels: (UnsafePointer<Float>, UnsafePointer<Float>)?
    private var call = 0
    private let callsPerPanel: Int

    init(_ product: StrassenTwice, after position: Int, quad: Int, _ block: Int, calls: Int) {
      callsPerPanel = max(1, calls / 2)
      let isLast = position + 1 == StrassenTwice.order.count
      let quad = isLast ? quad + 1 : quad
      guard let quarter = StrassenTwice.order[isLast ? 0 : position + 1].fresh, quad < product.plan.quads else {
        return
      }
      func first(_ panel: Int) -> UnsafePointer<Float> {
        let (matrix, index, first) = product.stored(quarter, panel, quad: quad, block: block)
        return matrix.panel(index, from: first)
      }
      let matrix = product.stored(quarter, 0, quad: quad, block: block).matrix
      let all = (product.plan.depth(ofBlock: block) * matrix.rowStride + lineFloats - 1) / lineFloats
      lines = (all + callsPerPanel - 1) / callsPerPanel
      panels = (first(0), first(1))
    }

    /// What to ask for beside the next call.
    mutating func next() -> UnsafePointer<Float>? {
      guard let panels else { return nil }
      let (panel, part) = call.quotientAndRemainder(dividingBy: callsPerPanel)
      call += 1
      return (panel == 0 ? panels.0 : panels.1) + part * lines * lineFloats
    }
  }
}
