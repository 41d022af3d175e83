internal import CSIMD

// The packed matrix product. A register tile is two vectors wide and as many rows high as the registers hold:
//   AVX-512: 12 × 32 (24 of 32 registers), AVX2: 6 × 16 (12 of 16), portable: 4 × 8 (8 of 16).
// The accumulators are separate variables: arrays and tuples in a loop end up on the stack.

#if KERNELS_AVX512
  @inline(__always) var tileRows: Int { 12 }
#elseif KERNELS_AVX2
  @inline(__always) var tileRows: Int { 6 }
#else
  @inline(__always) var tileRows: Int { 4 }
#endif
@inline(__always) var tileColumns: Int { 2 &* lanes }
@inline(__always) var blockDepth: Int { 256 }
/// Distance between packed rows of A; a constant, so that it becomes part of the load instructions.
@inline(__always) var rowStride: Int { blockDepth &+ 16 }

/// Floats of a cache line.
@inline(__always) var lineFloats: Int { 16 }

/// Depth from which a tile takes long enough to ask for the memory of its results first.
@inline(__always) private var storeAheadDepth: Int { 128 }
/// Depth up to which the piece of B that follows fits the first-level cache beside the piece in use: 16 KB.
@inline(__always) private var nearDepth: Int { 128 }
/// Depth up to which B is taken to be in the second-level cache already, as transformed weights are: asking for much of it
/// costs more than it saves.
@inline(__always) private var closeDepth: Int { 64 }
/// Most lines of such a B to ask for per `lineFloats` of depth.
@inline(__always) private var closeLines: Int { 4 }

/// Words of B that a tile asks for before it needs them (AVX-512): with 256 words a piece fills a first-level cache of 32 KB, and every tile
/// reads it from the second level. 6, 12 and 24 words were alike.
@inline(__always) private var wordsAhead: Int { 12 }

/// How a panel of B is stored.
enum PanelStorage {
  case words
  /// float16, to be multiplied as float32.
  case halves
  /// Signed bytes, to be multiplied as 16-bit integers.
  case bytes
}

/// A packed panel of B and how its elements are read.
struct BPanel {
  let panel: In
  let storage: PanelStorage
  /// Floats of memory that a row of the panel takes.
  let width: Int

  @inline(__always)
  init(panel: In, storage: PanelStorage = .words) {
    self.panel = panel
    self.storage = storage
    width = storage == .words ? tileColumns : lanes
  }

  /// A row's first or second vector.
  @inline(__always)
  func load(_ p: In) -> V {
    #if KERNELS_PORTABLE
      csimd_load(p)
    #else
      switch storage {
      case .words: csimd_load(p)
      case .halves: csimd_from_half(UnsafeRawPointer(p).assumingMemoryBound(to: UInt16.self))
      case .bytes: csimd_widen_bytes(UnsafeRawPointer(p).assumingMemoryBound(to: Int8.self))
      }
    #endif
  }
}

extension BPanel {
  /// A row's second vector; of a panel of which only one is used, nothing.
  @inline(__always)
  func second(_ row: In, _ vectors: Int) -> V { vectors == 2 ? load(row + width / 2) : csimd_splat(0) }
}

/// What of B is wanted after the piece in use, fetched in equal parts beside the tiles.
struct BAhead {
  /// The next line to ask for.
  var address: In
  /// Cache lines per `lineFloats` of depth.
  let lines: Int
  /// Into the first-level cache, else into the second.
  let near: Bool

  /// Asks for what belongs to one `lineFloats` of depth.
  @inline(__always)
  mutating func fetch() {
    var line = 0
    if near {
      while line < lines {
        csimd_prefetch(address)
        address += lineFloats
        line &+= 1
      }
    } else {
      while line < lines {
        csimd_prefetch_far(address)
        address += lineFloats
        line &+= 1
      }
    }
  }
}

/// Rows that are wanted after this product, a few lines of each: they are asked for beside the tiles, so that what packs
/// them later does not wait for memory.
struct RowsAhead {
  let address: In?
  let stride: Int
  let lines: Int

  /// Those beside one tile, rows first ..< first + count, in equal parts for `steps` times `lineFloats` of depth. All at once
  /// would make the tile's own loads wait for memory.
  @inline(__always)
  func share(_ first: Int, _ count: Int, steps: Int) -> RowsShare {
    guard let address else { return RowsShare(stride: 0, lines: 0, rest: 0, perStep: 0) }
    let rest = count &* lines
    return RowsShare(
      row: address + first &* stride, stride: stride, lines: lines, rest: rest,
      perStep: (rest &+ steps &- 1) / greater(1, steps))
  }
}

/// What is left to ask for of `RowsAhead` beside one tile.
struct RowsShare {
  var row: In?
  let stride: Int
  let lines: Int
  var line = 0
  var rest: Int
  let perStep: Int

  /// Asks for what belongs to one `lineFloats` of depth.
  @inline(__always)
  mutating func fetch() {
    guard rest > 0, var place = row else { return }
    for _ in 0..<perStep {
      csimd_prefetch_far(place + line &* lineFloats)
      line &+= 1
      if line == lines {
        line = 0
        place += stride
      }
    }
    rest &-= perStep
    row = place
  }

  @inline(__always)
  mutating func fetchAll() {
    while rest > 0 { fetch() }
  }
}

/// C tile = or += A · B for one register tile of `rows` and `vectors` (constants, see `RegisterTile`); arguments as in
/// `PanelKernel`. `next`: the rows of A that come after these.
/// `step(a, b, sum)` multiplies one word of A, repeated, with one of B in every lane: the only thing in which element
/// formats differ.
@_transparent
private func gemmTile(
  _ depth: Int, _ a: In, _ next: In, _ b: BPanel, _ ahead: inout BAhead, _ rowsAhead: RowsShare, _ c: Out,
  _ cStride: Int, _ accumulate: Bool, distance: Int, rows: Int, vectors: Int, _ step: (V, V, V) -> V
) {
  var tile = RegisterTile()
  if accumulate { tile.load(c, cStride, rows: rows, vectors: vectors) }
  var pa = a
  var pb = b.panel
  var pn = next
  var rowsAhead = rowsAhead
  var k = depth
  if !accumulate && rows == tileRows && depth >= storeAheadDepth {
    for row in 0..<tileRows {
      csimd_prefetch_write(c + row &* cStride)
      csimd_prefetch_write(c + row &* cStride + lanes)
    }
  }
  // Short tiles ask for everything at once.
  if rows < tileRows { rowsAhead.fetchAll() }
  while k > 0 {
    // One line of each of the next rows, a row per word of depth: twelve rows of a kilobyte each are too many and too short
    // for the hardware to foresee, and asked for at once they make what follows wait. The last words ask for a few rows more.
    var line = pn
    pn += lineFloats
    ahead.fetch()
    if rows == tileRows { rowsAhead.fetch() }
    var i = lesser(k, lineFloats)
    k &-= i
    #if !KERNELS_AVX512
      // A tile's rows are fewer than half of a line's words: a row per two words.
      while i > 1 {
        tile.multiplyWord(pa, distance, b.load(pb), b.second(pb, vectors), rows: rows, vectors: vectors, step)
        csimd_prefetch(line)
        line += distance
        tile.multiplyWord(
          pa + 1, distance, b.load(pb + b.width), b.second(pb + b.width, vectors), rows: rows, vectors: vectors, step)
        pa += 2
        pb += 2 &* b.width
        i &-= 2
      }
    #endif
    while i > 0 {
      tile.multiplyWord(pa, distance, b.load(pb), b.second(pb, vectors), rows: rows, vectors: vectors, step)
      #if KERNELS_AVX512
        csimd_prefetch(line)
        line += distance
        csimd_prefetch(pb + wordsAhead &* b.width)
        if b.storage == .words { csimd_prefetch(pb + (wordsAhead &* b.width &+ lineFloats)) }
      #endif
      pa += 1
      pb += b.width
      i &-= 1
    }
  }
  tile.store(c, cStride, rows: rows, vectors: vectors)
}

/// Whether a tile has exactly `height` rows, so that it may write to C itself.
@inline(__always)
private func hasTile(_ height: Int, tallest: Int) -> Bool {
  if tallest < tileRows { return height == tallest }
  #if KERNELS_AVX512
    return height == tileRows || height == 8 || height == 4
  #else
    return height == tileRows
  #endif
}

/// At most `tileRows` rows, by the smallest tile that holds them: one of powers of two is no multiple of 12. Every element is the same
/// chain of sums in all of them.
///
/// This and `multiplyPanel` are transparent because `@inline(__always)` takes effect only after closures are specialised. With that, a
/// single specialised copy served all panels and read storage and distances from registers in the innermost loop, which took an
/// SD-2.1 call in bfloat16 2 % longer.
@_transparent
private func gemmRest(
  _ height: Int, _ depth: Int, _ a: In, _ next: In, _ b: BPanel, _ ahead: inout BAhead, _ rowsAhead: RowsShare,
  _ c: Out, _ cStride: Int,
  _ accumulate: Bool, distance: Int, tallest: Int, vectors: Int, _ step: (V, V, V) -> V
) {
  if tallest < tileRows {
    return gemmTile(
      depth, a, next, b, &ahead, rowsAhead, c, cStride, accumulate, distance: distance, rows: tallest, vectors: vectors,
      step)
  }
  #if KERNELS_AVX512
    if height <= 4 {
      return gemmTile(
        depth, a, next, b, &ahead, rowsAhead, c, cStride, accumulate, distance: distance, rows: 4, vectors: vectors,
        step)
    }
    if height <= 8 {
      return gemmTile(
        depth, a, next, b, &ahead, rowsAhead, c, cStride, accumulate, distance: distance, rows: 8, vectors: vectors,
        step)
    }
  #endif
  gemmTile(
    depth, a, next, b, &ahead, rowsAhead, c, cStride, accumulate, distance: distance, rows: tileRows, vectors: vectors,
    step)
}

/// A panel's product by `step`; the other arguments are those of `PanelKernel`. Constants: `storage`, of the panel;
/// `distance`, from row to row of A; `tallest`, rows of the tile, all or `fewRows`. `stored`: what the panel was widened from.
@_transparent
func multiplyPanel(
  _ rows: Int, _ columns: Int, _ depth: Int, _ a: In, _ panel: In, _ c: Out, _ cStride: Int, _ accumulate: Bool,
  _ tile: Out, _ nextRows: In?, _ rowsAhead: RowsAhead, storage: PanelStorage = .words,
  stored: BPanel? = nil, distance: Int = rowStride, tallest: Int = tileRows, _ step: (V, V, V) -> V
) {
  let b = BPanel(panel: panel, storage: storage)
  // What follows this piece of B in memory comes next, as a rule from far away. Addresses past the end do no harm.
  let source = stored ?? b
  let steps = (depth &+ lineFloats &- 1) / lineFloats
  let lines = (depth &* source.width &+ lineFloats &- 1) / lineFloats
  let slots = greater(1, ((rows &+ tallest &- 1) / tallest) &* steps)
  let perSlot = (lines &+ slots &- 1) / slots
  var ahead = BAhead(
    address: source.panel + depth &* source.width, lines: depth <= closeDepth ? lesser(closeLines, perSlot) : perSlot,
    near: depth <= nearDepth)
  var row = 0
  while row < rows {
    let height = lesser(tallest, rows &- row)
    let from = a + row &* distance
    let to = c + row &* cStride
    let next = row &+ tallest < rows ? from + tallest &* distance : nextRows ?? from
    let share = rowsAhead.share(row, height, steps: steps)
    // Edges go through a whole tile in scratch memory, with the same arithmetic as whole tiles: an element does not depend on where
    // the edge lies. One call for both, which is then part of this loop and knows its constants.
    let isWhole = (columns == tileColumns || columns == lanes) && hasTile(height, tallest: tallest)
    let (target, stride) = isWhole ? (to, cStride) : (tile, tileColumns)
    if !isWhole && accumulate {
      for r in 0..<height { map(In(to + r &* cStride), tile + r &* tileColumns, columns) { $0 } }
    }
    if columns <= lanes {
      gemmRest(
        height, depth, from, next, b, &ahead, share, target, stride, accumulate, distance: distance, tallest: tallest,
        vectors: 1, step)
    } else {
      gemmRest(
        height, depth, from, next, b, &ahead, share, target, stride, accumulate, distance: distance, tallest: tallest,
        vectors: 2, step)
    }
    if !isWhole {
      for r in 0..<height { map(In(tile + r &* tileColumns), to + r &* cStride, columns) { $0 } }
    }
    row &+= height
  }
}
