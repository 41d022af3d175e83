internal import CSIMD

// The packed product on tile registers: two by two tiles of sums, 32 rows × 32 columns, from two tiles of A and two of B.
// Registers keep the shape of whole tiles, because a new one takes as long as twenty products; edges pass through scratch.

/// Rows and columns of a tile of sums, rows of a tile of A, and words of depth that one instruction multiplies.
@inline(__always) var side: Int { 16 }
/// Floats of a row of a packed panel.
@inline(__always) var tileColumns: Int { 2 &* side }
/// Floats from row to row of packed A: `GemmShape.rowStride`.
@inline(__always) private var rowStride: Int { 256 &+ 16 }

/// Floats of scratch that a call takes: a step of B that ends before a tile does, two tiles of A, one of sums.
@inline(__always) var edgeFloatCount: Int { 2 &* side &* side &+ 3 &* side &* side }

func pairPanel(
  _ rows: Int, _ columns: Int, _ depth: Int, _ a: In, _ b: In, _ c: Out, _ cStride: Int, _ accumulate: Bool,
  _ edge: Out, _ next: In?, _ ahead: In?, _ aheadStride: Int, _ aheadLines: Int
) {
  multiplyPanel(
    rows, columns, depth, a, b, c, cStride, accumulate, edge, next,
    RowsAhead(address: ahead, stride: aheadStride, lines: aheadLines), PanelAhead(after: b, depth: depth),
    csimd_tiles_pairs_upper_left, csimd_tiles_pairs_upper_right, csimd_tiles_pairs_lower_left,
    csimd_tiles_pairs_lower_right)
}

func bytePanel(
  _ rows: Int, _ columns: Int, _ depth: Int, _ a: In, _ b: In, _ c: Out, _ cStride: Int, _ accumulate: Bool,
  _ edge: Out, _ next: In?, _ ahead: In?, _ aheadStride: Int, _ aheadLines: Int
) {
  multiplyPanel(
    rows, columns, depth, a, b, c, cStride, accumulate, edge, next,
    RowsAhead(address: ahead, stride: aheadStride, lines: aheadLines), PanelAhead(after: b, depth: depth),
    csimd_tiles_bytes_upper_left, csimd_tiles_bytes_upper_right, csimd_tiles_bytes_lower_left,
    csimd_tiles_bytes_lower_right)
}

/// Rows that are wanted after this product, a few lines of each.
struct RowsAhead {
  let address: In?
  let stride: Int
  let lines: Int

  /// Asks for those with that number.
  @inline(__always)
  func fetch(_ row: Int) {
    guard let address else { return }
    let first = address + row &* stride
    var line = 0
    while line < lines {
      csimd_prefetch_far(first + line &* side)
      line &+= 1
    }
  }
}

/// Cache lines of B that are wanted after this product.
struct PanelAhead {
  let first: In
  let lines: Int

  init(first: In, lines: Int) {
    self.first = first
    self.lines = lines
  }

  /// As much as a piece of a panel takes, behind it.
  init(after piece: In, depth: Int) { self.init(first: piece + depth &* tileColumns, lines: 2 &* depth) }
}

/// Up to 16 rows of A and their sums.
private struct RowTile {
  let rows: In
  let count: Int
  let sums: Out
  let distance: Int
  /// One tile of A.
  let scratch: Out

  /// Where `words` of depth from `k` on lie as a whole tile, and the bytes from row to row.
  @inline(__always)
  func words(_ k: Int, _ words: Int) -> (In, Int) {
    if count == side && words == side { return (rows + k, 4 &* rowStride) }
    var row = 0
    while row < count {
      csimd_store(scratch + row &* side, csimd_load_first(rows + (row &* rowStride &+ k), words))
      row &+= 1
    }
    return (In(scratch), 4 &* side)
  }

  /// Hands a place for a whole tile of sums from `column` on, of which `columns` are there, to `move`; `edge` where not all of
  /// it is there, filled before if `isLoad`, else copied from after.
  @inline(__always)
  func move(_ column: Int, _ columns: Int, _ edge: Out, isLoad: Bool, _ move: (Out, Int) -> Void) {
    let to = sums + column
    if count == side && columns >= side { return move(to, 4 &* distance) }
    let width = min(side, columns)
    var row = 0
    if isLoad {
      while row < count {
        csimd_store(edge + row &* side, csimd_load_first(In(to) + row &* distance, width))
        row &+= 1
      }
    }
    move(edge, 4 &* side)
    if !isLoad {
      while row < count {
        csimd_store_first(to + row &* distance, csimd_load(In(edge) + row &* side), width)
        row &+= 1
      }
    }
  }
}

/// A `PanelKernel` by four multiplications of tiles: sums upper left, upper right, lower left and lower right. `isSplit`: a step
/// are 16 words of high parts and 16 of low parts (`SplitKernels`), and depth is whole steps.
@inline(__always)
func multiplyPanel(
  _ rows: Int, _ columns: Int, _ depth: Int, _ a: In, _ b: In, _ c: Out, _ cStride: Int, _ accumulate: Bool,
  _ edge: Out, _ next: In?, _ rowsAhead: RowsAhead, _ panelAhead: PanelAhead, isSplit: Bool = false,
  _ upperLeft: () -> Void, _ upperRight: () -> Void, _ lowerLeft: () -> Void, _ lowerRight: () -> Void
) {
  csimd_tiles_begin()
  let stepDepth = isSplit ? 2 &* side : side
  let whole = depth / side &* side
  let hasRight = columns > side
  let lastB = edge
  if whole < depth {
    var k = 0
    while k < side {
      let row = b + (whole &+ k) &* tileColumns
      csimd_store(lastB + k &* tileColumns, whole &+ k < depth ? csimd_load(row) : csimd_splat(0))
      csimd_store(lastB + (k &* tileColumns &+ side), whole &+ k < depth ? csimd_load(row + side) : csimd_splat(0))
      k &+= 1
    }
  }
  let scratchA = edge + 2 &* side &* side
  let scratchC = scratchA + 2 &* side &* side
  // In equal parts beside the steps of depth.
  let blocks = (rows &+ 2 &* side &- 1) / (2 &* side)
  let steps = max(1, (depth &+ stepDepth &- 1) / stepDepth)
  var line = panelAhead.first
  let lines = (panelAhead.lines &+ blocks &* steps &- 1) / max(1, blocks &* steps)
  var row = 0
  while row < rows {
    let upper = RowTile(
      rows: a + row &* rowStride, count: min(side, rows &- row), sums: c + row &* cStride, distance: cStride,
      scratch: scratchA)
    let lower = RowTile(
      rows: upper.rows + side &* rowStride, count: min(side, rows &- row &- upper.count),
      sums: upper.sums + side &* cStride, distance: cStride, scratch: scratchA + side &* side)
    let hasLower = lower.count > 0
    let following = row &+ 2 &* side < rows ? upper.rows + 2 &* side &* rowStride : next
    if accumulate {
      upper.move(0, columns, scratchC, isLoad: true) { csimd_tiles_load_upper_left($0, $1) }
      if hasRight { upper.move(side, columns &- side, scratchC, isLoad: true) { csimd_tiles_load_upper_right($0, $1) } }
      if hasLower {
        lower.move(0, columns, scratchC, isLoad: true) { csimd_tiles_load_lower_left($0, $1) }
        if hasRight {
          lower.move(side, columns &- side, scratchC, isLoad: true) { csimd_tiles_load_lower_right($0, $1) }
        }
      }
    } else {
      csimd_tiles_zero_sums()
    }
    var k = 0
    while k < depth {
      let words = min(side, depth &- k)
      let columns = words == side ? b + k &* tileColumns : In(lastB)
      @inline(__always)
      func loadRows(_ k: Int) {
        let (upperRows, upperStride) = upper.words(k, words)
        csimd_tiles_load_upper_rows(upperRows, upperStride)
        if hasLower {
          let (lowerRows, lowerStride) = lower.words(k, words)
          csimd_tiles_load_lower_rows(lowerRows, lowerStride)
        }
      }
      @inline(__always)
      func loadColumns(_ columns: In) {
        csimd_tiles_load_left_columns(columns, 4 &* tileColumns)
        if hasRight { csimd_tiles_load_right_columns(columns + side, 4 &* tileColumns) }
      }
      @inline(__always)
      func multiply() {
        upperLeft()
        if hasRight { upperRight() }
        if hasLower {
          lowerLeft()
          if hasRight { lowerRight() }
        }
      }
      if isSplit {
        loadColumns(columns + side &* tileColumns)
        loadRows(k)
        multiply()
        loadColumns(columns)
        multiply()
        loadRows(k &+ side)
        multiply()
      } else {
        loadColumns(columns)
        loadRows(k)
        multiply()
      }
      // Two steps ahead into the first-level cache, which does not hold a whole block of rows.
      let distance = k &+ 2 &* stepDepth
      if let soon = distance < depth ? upper.rows + distance : following.map({ $0 + (distance &- depth) }) {
        var i = 0
        while i < 2 &* side {
          csimd_prefetch(soon + i &* rowStride)
          if isSplit { csimd_prefetch(soon + (i &* rowStride &+ side)) }
          i &+= 1
        }
      }
      var i = 0
      while i < lines {
        csimd_prefetch_far(line)
        line += side
        i &+= 1
      }
      k &+= stepDepth
    }
    var r = row
    while r < row &+ upper.count &+ lower.count {
      rowsAhead.fetch(r)
      r &+= 1
    }
    upper.move(0, columns, scratchC, isLoad: false) { csimd_tiles_store_upper_left($0, $1) }
    if hasRight { upper.move(side, columns &- side, scratchC, isLoad: false) { csimd_tiles_store_upper_right($0, $1) } }
    if hasLower {
      lower.move(0, columns, scratchC, isLoad: false) { csimd_tiles_store_lower_left($0, $1) }
      if hasRight {
        lower.move(side, columns &- side, scratchC, isLoad: false) { csimd_tiles_store_lower_right($0, $1) }
      }
    }
    row &+= 2 &* side
  }
}
