import Graph
import KernelTable
import Support

/// A · B in float32 by one level of Strassen's algorithm (`StrassenKernels`): seven products of quarters instead of eight.
///
/// The left factors, sums of quarters of A, are made once per round of rows for all panels. A task then makes the right factors of one
/// pair of panels, multiplies group after group, and hands the products to `StrassenResults` while they are in the cache.
///
/// An element's rounding error grows with its group's and pair's largest values, not only its own row's and column's, and what is not
/// finite reaches the rows and columns summed with it.
struct StrassenProduct {
  let plan: StrassenPlan
  /// The quarters of B of pair i: panel i · `step` of `left`, panel `firstRight` + i · `step` of `right`.
  let left: PackedMatrix
  let right: PackedMatrix
  let step: Int
  let firstRight: Int

  private typealias Kernels = StrassenKernels
  private var kernels: KernelTable { plan.kernels }

  func run(
    context: RunContext, scratch: inout ScratchMemory, _ source: some RowSource, _ results: some StrassenResults
  ) throws {
    let slots = context.pool.threads
    let factors = try scratch.takeFloats(plan.leftFloatCount)
    let own = try scratch.takeFloats(slots * plan.slotFloatCount)
    for first in stride(from: 0, to: plan.groups, by: plan.roundGroups) {
      let groups = first..<min(plan.groups, first + plan.roundGroups)
      for block in 0..<plan.blocks {
        try makeLeftFactors(groups, block, factors, context: context, source)
        for slot in 0..<slots { Slot(own + slot * plan.slotFloatCount, plan).mark.pointee = .max }
        let height = plan.height(groups: groups.count)
        let pieces = (groups.count + height - 1) / height
        try runTasks(plan.pairs * pieces, slots: slots, context: context) { slot, task in
          let (pair, piece) = task.quotientAndRemainder(dividingBy: pieces)
          let begin = groups.lowerBound + piece * height
          multiply(
            pair, begin..<min(groups.upperBound, begin + height), block,
            factors + (begin - groups.lowerBound) * Kernels.products * plan.leftDistance,
            Slot(own + slot * plan.slotFloatCount, plan), results)
        }
      }
    }
  }

  // MARK: Factors

  /// Rows of a half group that a task takes.
  private static let packedRows = 32

  private func makeLeftFactors(
    _ groups: Range<Int>, _ block: Int, _ factors: UnsafeMutablePointer<Float>, context: RunContext,
    _ source: some RowSource
  ) throws {
    let distance = plan.product.rowStride
    let depth = plan.depth(ofBlock: block)
    let column = block * plan.blockDepth
    let pieces = StrassenPlan.groupRows / Self.packedRows
    try runTasks(groups.count * pieces, slots: context.pool.threads, context: context) { _, task in
      let (index, piece) = task.quotientAndRemainder(dividingBy: pieces)
      let group = plan.rows(ofGroup: groups.lowerBound + index)
      let first = piece * Self.packedRows
      let upper = min(Self.packedRows, group.upper - first)
      let lower = min(Self.packedRows, group.lower - first)
      guard upper > 0 else { return }
      let target = factors + index * Kernels.products * plan.leftDistance + first * distance
      let upperRow = group.start + first
      let lowerRow = upperRow + group.upper
      if let (upperFirst, stride) = source.place(upperRow), let (lowerFirst, _) = source.place(lowerRow) {
        kernels.strassen.left(
          upper, lower, depth, upperFirst + column, upperFirst + plan.half + column, lowerFirst + column,
          lowerFirst + plan.half + column, stride, target, distance, plan.leftDistance)
        return
      }
      func pack(_ factor: Int, _ row: Int, _ count: Int, _ column: Int) -> UnsafePointer<Float> {
        let place = target + factor * plan.leftDistance
        let rows = PackedRows(words: place, distance: distance, format: .float32, kernels: kernels)
        if count > 0 { source.pack(row, count, column, depth, rows) }
        return UnsafePointer(place)
      }
      kernels.strassen.left(
        upper, lower, depth, pack(Kernels.a11, upperRow, upper, column),
        pack(Kernels.a12, upperRow, upper, plan.half + column), pack(Kernels.a21, lowerRow, lower, column),
        pack(Kernels.a22, lowerRow, lower, plan.half + column), distance, target, distance, plan.leftDistance)
    }
  }

  /// The right factors of a pair of panels in the order of the products: quarters of B where they lie, or where they are widened
  /// to, and the sums, in a thread's memory.
  private func rightFactors(_ pair: Int, _ block: Int, _ own: UnsafeMutablePointer<Float>) -> RightFactors {
    let column = block * plan.blockDepth
    func quarter(_ matrix: PackedMatrix, _ panel: Int, lower: Bool, _ place: Int) -> RightFactors.Quarter {
      let first = (lower ? plan.half : 0) + column
      let address = matrix.isHalf ? UnsafePointer(own + place * plan.rightDistance) : matrix.panel(panel, from: first)
      return RightFactors.Quarter(matrix: matrix, panel: panel, first: first, address: address)
    }
    let (panel, other) = (step * pair, firstRight + step * pair)
    return RightFactors(
      depth: plan.depth(ofBlock: block),
      b11: quarter(left, panel, lower: false, 0), b21: quarter(left, panel, lower: true, 1),
      b22: quarter(right, other, lower: true, 2), b12: quarter(right, other, lower: false, 3),
      sums: own + (Kernels.products - Kernels.rightSums) * plan.rightDistance, distance: plan.rightDistance)
  }

  private struct RightFactors {
    struct Quarter {
      let matrix: PackedMatrix
      let panel: Int
      let first: Int
      let address: UnsafePointer<Float>

      func widen(_ depth: Int) {
        guard matrix.isHalf else { return }
        matrix.unpack(panel: panel, first: first, count: depth, to: UnsafeMutablePointer(mutating: address))
      }
    }
    /// Words of half of K.
    let depth: Int
    let b11: Quarter
    let b21: Quarter
    let b22: Quarter
    let b12: Quarter
    let sums: UnsafeMutablePointer<Float>
    let distance: Int

    subscript(product: Int) -> UnsafePointer<Float> {
      switch product {
      case 0: b11.address
      case 1: b21.address
      case 2: b22.address
      default: UnsafePointer(sums) + (product - (Kernels.products - Kernels.rightSums)) * distance
      }
    }

    func make(_ kernels: KernelTable) {
      b11.widen(depth)
      b21.widen(depth)
      b22.widen(depth)
      b12.widen(depth)
      kernels.strassen.right(
        depth * kernels.gemm.tileColumns, b11.address, b21.address, b22.address, b12.address, sums, distance)
    }
  }

  // MARK: Products

  /// A thread's scratch memory.
  private struct Slot {
    let right: UnsafeMutablePointer<Float>
    let products: UnsafeMutablePointer<Float>
    let quarters: UnsafeMutablePointer<Float>
    let tile: UnsafeMutablePointer<Float>
    /// The pair whose right factors are there.
    let mark: UnsafeMutablePointer<UInt32>

    init(_ start: UnsafeMutablePointer<Float>, _ plan: StrassenPlan) {
      right = start
      products = right + Kernels.products * plan.rightDistance
      quarters = products + Kernels.products * plan.productDistance
      tile = quarters + 4 * plan.productDistance
      let g = plan.kernels.gemm
      mark = UnsafeMutableRawPointer(tile + g.tileRows * g.tileColumns).assumingMemoryBound(to: UInt32.self)
    }
  }

  private func multiply(
    _ pair: Int, _ groups: Range<Int>, _ block: Int, _ factors: UnsafePointer<Float>, _ slot: Slot,
    _ results: some StrassenResults
  ) {
    let tile = kernels.gemm.tileColumns
    let kernel = plan.product.kernel
    let right = rightFactors(pair, block, slot.right)
    if slot.mark.pointee != UInt32(truncatingIfNeeded: pair) {
      right.make(kernels)
      slot.mark.pointee = UInt32(truncatingIfNeeded: pair)
    }
    var panels = PanelsAhead(
      self, after: pair, block, products: groups.count * (Kernels.products - Self.resultProducts))
    for (index, group) in groups.enumerated() {
      let rows = plan.rows(ofGroup: group)
      let place = StrassenPlace(
        pair: pair, start: rows.start, lowerStart: rows.start + rows.upper, upper: rows.upper, lower: rows.lower,
        isFirst: block == 0, isLast: block + 1 == plan.blocks)
      let start = factors + index * Kernels.products * plan.leftDistance
      for product in 0..<Kernels.products {
        // First the panels to come, beside the last products what the results need.
        let rest = Kernels.products - product
        var ahead = rest > Self.resultProducts ? panels.next() : results.ahead(place, Self.resultProducts - rest)
        let a = start + product * plan.leftDistance
        kernel(
          rows.upper, tile, right.depth, a, right[product], slot.products + product * plan.productDistance, tile, false,
          slot.tile, a + plan.leftDistance, ahead.next(), ahead.stride, ahead.lines)
      }
      results.take(place, slot.products, distance: plan.productDistance, scratch: slot.quarters)
    }
  }

  /// Products beside which `StrassenResults.ahead` is asked for.
  private static let resultProducts = 4

  /// The quarters of B that come next, asked for beside the products before them.
  private struct PanelsAhead {
    private let product: StrassenProduct
    private let pair: Int
    private let block: Int
    /// Products for a quarter.
    private let products: Int
    private var count = 0
    private var rows = RowsToPack.none

    init(_ product: StrassenProduct, after pair: Int, _ block: Int, products: Int) {
      (self.product, self.block) = (product, block)
      self.products = max(1, products / 4)
      self.pair = pair + 1
    }

    /// What to ask for beside the next product.
    mutating func next() -> RowsToPack {
      let plan = product.plan
      guard pair < plan.pairs, count < 4 * products else { return .none }
      let (quarter, index) = count.quotientAndRemainder(dividingBy: products)
      count += 1
      if index == 0 {
        let matrix = quarter < 2 ? product.left : product.right
        let column = block * plan.blockDepth
        let depth = plan.depth(ofBlock: block)
        let first = matrix.panel(
          (quarter < 2 ? 0 : product.firstRight) + product.step * pair, from: (quarter % 2) * plan.half + column)
        let share = depth * matrix.rowStride / StrassenPlan.groupRows
        rows = RowsToPack((first, share), from: 0, count: share, products: products)
      }
      defer { _ = rows.next() }
      return rows
    }
  }
}

/// Where products of `StrassenProduct` belong.
struct StrassenPlace {
  var pair: Int
  /// The first row of the upper and the lower quarters, and how many they have.
  let start: Int
  let lowerStart: Int
  let upper: Int
  let lower: Int
  /// Of the chunks of K.
  let isFirst: Bool
  let isLast: Bool
}

/// Takes the products of one group of rows and one pair of panels, or the quarters of C that they add up to.
protocol StrassenResults {
  /// `scratch`: four quarters of `distance` floats.
  func take(
    _ place: StrassenPlace, _ products: UnsafePointer<Float>, distance: Int, scratch: UnsafeMutablePointer<Float>)

  /// The quarters, rows at tileColumns, are C11, C12, C21 and C22 at this distance; they may be overwritten.
  func take(_ place: StrassenPlace, quarters: UnsafeMutablePointer<Float>, distance: Int)

  /// Rows that `take` will read or write, `place.upper` of them, number `index` of four times so many.
  func ahead(_ place: StrassenPlace, _ index: Int) -> RowsToPack
}

extension MatrixProduct: StrassenResults {
  func take(
    _ place: StrassenPlace, _ products: UnsafePointer<Float>, distance: Int, scratch: UnsafeMutablePointer<Float>
  ) {
    let tile = b.kernels.gemm.tileColumns
    let column = 2 * place.pair * tile
    let right = column + tile
    let rightWidth = min(tile, b.columns - right)
    let lower = place.lowerStart
    func target(_ row: Int, _ column: Int) -> UnsafeMutablePointer<Float> { c + row * cStride + column }
    b.kernels.strassen.results(
      place.upper, place.lower, tile, rightWidth, products, distance, target(place.start, column),
      target(place.start, right), target(lower, column), target(lower, right), cStride, !place.isFirst)
    guard place.isLast, bias != nil || residual != nil || activation != .none else { return }
    func finish(_ row: Int, _ count: Int, _ column: Int, _ width: Int) {
      b.kernels.epilogue(
        count, width, target(row, column), cStride, bias.map { $0 + column },
        residual.map { $0 + row * residualStride + column }, residualStride, activation.rawValue)
    }
    finish(place.start, place.upper, column, tile)
    finish(place.start, place.upper, right, rightWidth)
    finish(lower, place.lower, column, tile)
    finish(lower, place.lower, right, rightWidth)
  }

  func take(_ place: StrassenPlace, quarters: UnsafeMutablePointer<Float>, distance: Int) {
    let tile = b.kernels.gemm.tileColumns
    for quarter in 0..<4 {
      let (row, count) = quarter < 2 ? (place.start, place.upper) : (place.lowerStart, place.lower)
      let column = (2 * place.pair + quarter % 2) * tile
      let width = min(tile, b.columns - column)
      let sums = quarters + quarter * distance
      let target = c + row * cStride + column
      if !place.isFirst {
        b.kernels.epilogue(count, width, sums, tile, nil, target, cStride, Activation.none.rawValue)
      }
      if place.isLast, bias != nil || residual != nil || activation != .none {
        b.kernels.epilogue(
          count, width, sums, tile, bias.map { $0 + column }, residual.map { $0 + row * residualStride + column },
          residualStride, activation.rawValue)
      }
      b.kernels.copyRows(sums, tile, count, width, target, cStride)
    }
  }

  func ahead(_ place: StrassenPlace, _ index: Int) -> RowsToPack {
    let tile = b.kernels.gemm.tileColumns
    let column = 2 * place.pair * tile
    let row = index % 2 == 0 ? place.start : place.lowerStart
    let width = min(2 * tile, b.columns - column)
    if index >= 2 {
      return RowsToPack((UnsafePointer(c) + row * cStride + column, cStride), from: 0, count: width, products: 1)
    }
    guard place.isLast, let residual else { return .none }
    return RowsToPack((residual + row * residualStride + column, residualStride), from: 0, count: width, products: 1)
  }
}
