internal import CSIMD

// What surrounds the packed float32 product: packing of B, and what follows the last block of K.

func gemmPanel(
  _ rows: Int, _ columns: Int, _ depth: Int, _ a: In, _ b: In, _ c: Out, _ cStride: Int, _ accumulate: Bool,
  _ tile: Out, _ next: In?, _ ahead: In?, _ aheadStride: Int, _ aheadLines: Int
) {
  let ahead = RowsAhead(address: ahead, stride: aheadStride, lines: aheadLines)
  if rows <= fewRows { return fewRowsPanel(rows, columns, depth, a, b, c, cStride, accumulate, tile, next, ahead) }
  multiplyPanel(rows, columns, depth, a, b, c, cStride, accumulate, tile, next, ahead) { csimd_fma($0, $1, $2) }
}

/// Rows of products that have a tile of their own: of time embeddings.
@inline(__always) private var fewRows: Int { 2 }

/// `gemmPanel` of at most `fewRows` rows. Not a part of it: with one more tile its sums left their registers every 16 words.
@inline(never)
private func fewRowsPanel(
  _ rows: Int, _ columns: Int, _ depth: Int, _ a: In, _ b: In, _ c: Out, _ cStride: Int, _ accumulate: Bool,
  _ tile: Out, _ next: In?, _ ahead: RowsAhead
) {
  multiplyPanel(rows, columns, depth, a, b, c, cStride, accumulate, tile, next, ahead, tallest: fewRows) {
    csimd_fma($0, $1, $2)
  }
}

#if KERNELS_AVX512
  /// Rows from which a panel of float16 is widened once, in scratch memory, and not in every tile. In a tile two conversions
  /// take 3.5 of 28 cycles (AMD family 25, model 17: 154 rows 4 to 6 % less time so, 36 rows as much); with AVX2 they take units that
  /// multiply-adds leave free.
  @inline(__always) private var widenedRows: Int { 5 &* tileRows }
#endif

#if !KERNELS_PORTABLE
  /// `gemmPanel` on a panel of float16.
  func halfPanel(
    _ rows: Int, _ columns: Int, _ depth: Int, _ a: In, _ b: In, _ c: Out, _ cStride: Int, _ accumulate: Bool,
    _ tile: Out, _ next: In?, _ ahead: In?, _ aheadStride: Int, _ aheadLines: Int
  ) {
    let ahead = RowsAhead(address: ahead, stride: aheadStride, lines: aheadLines)
    if rows <= fewRows {
      return fewRowsHalfPanel(rows, columns, depth, a, b, c, cStride, accumulate, tile, next, ahead)
    }
    #if KERNELS_AVX512
      if rows >= widenedRows {
        let words = tile + tileRows &* tileColumns
        fromFloat16(UnsafeRawPointer(b).assumingMemoryBound(to: UInt16.self), words, depth &* tileColumns)
        return multiplyPanel(
          rows, columns, depth, a, In(words), c, cStride, accumulate, tile, next, ahead,
          stored: BPanel(panel: b, storage: .halves)
        ) { csimd_fma($0, $1, $2) }
      }
    #endif
    multiplyPanel(rows, columns, depth, a, b, c, cStride, accumulate, tile, next, ahead, storage: .halves) {
      csimd_fma($0, $1, $2)
    }
  }

  /// `halfPanel` of at most `fewRows` rows.
  @inline(never)
  private func fewRowsHalfPanel(
    _ rows: Int, _ columns: Int, _ depth: Int, _ a: In, _ b: In, _ c: Out, _ cStride: Int, _ accumulate: Bool,
    _ tile: Out, _ next: In?, _ ahead: RowsAhead
  ) {
    multiplyPanel(
      rows, columns, depth, a, b, c, cStride, accumulate, tile, next, ahead, storage: .halves, tallest: fewRows
    ) { csimd_fma($0, $1, $2) }
  }
#endif

func epilogue(
  _ rows: Int, _ columns: Int, _ c: Out, _ cStride: Int, _ bias: In?, _ residual: In?, _ residualStride: Int,
  _ activation: Int32
) {
  withActivation(activation) { f in
    for row in 0..<rows {
      let target = c + row &* cStride
      if let bias, let residual {
        let r = residual + row &* residualStride
        var i = 0
        while i &+ lanes <= columns {
          csimd_store(target + i, f(csimd_load(target + i) + csimd_load(bias + i) + csimd_load(r + i)))
          i &+= lanes
        }
        // The next panel's, one row at a time: the hardware sees no pattern in them.
        csimd_prefetch(r + columns)
        csimd_prefetch(r + columns + lanes)
        if i < columns {
          let rest = columns &- i
          let sum =
            csimd_load_first(target + i, rest) + csimd_load_first(bias + i, rest) + csimd_load_first(r + i, rest)
          csimd_store_first(target + i, f(sum), rest)
        }
      } else if let other = bias ?? residual.map({ $0 + row &* residualStride }) {
        map(In(target), other, target, columns) { f($0 + $1) }
      } else {
        map(In(target), target, columns) { f($0) }
      }
    }
  }
}

func packPanel(_ b: In, _ rowStride: Int, _ depth: Int, _ columns: Int, _ panel: Out) {
  var from = b
  var to = panel
  for _ in 0..<depth {
    if columns == tileColumns {
      csimd_store(to, csimd_load(from))
      csimd_store(to + lanes, csimd_load(from + lanes))
    } else if columns >= lanes {
      csimd_store(to, csimd_load(from))
      csimd_store(to + lanes, csimd_load_first(from + lanes, columns &- lanes))
    } else {
      csimd_store(to, csimd_load_first(from, columns))
      csimd_store(to + lanes, csimd_splat(0))
    }
    from += rowStride
    to += tileColumns
  }
}

func copyRows(_ x: In, _ xStride: Int, _ rows: Int, _ count: Int, _ out: Out, _ outStride: Int) {
  for row in 0..<rows { map(x + row &* xStride, out + row &* outStride, count) { $0 } }
}

func packPanelTransposed(_ b: In, _ rowStride: Int, _ depth: Int, _ columns: Int, _ panel: Out) {
  // Whole squares; what is left over element by element.
  let squareColumns = columns / lanes &* lanes
  let squareDepth = depth / lanes &* lanes
  var n = 0
  while n < squareColumns {
    var k = 0
    while k < squareDepth {
      csimd_transpose(b + (n &* rowStride &+ k), rowStride, panel + (k &* tileColumns &+ n), tileColumns)
      k &+= lanes
    }
    n &+= lanes
  }
  var to = panel
  for k in 0..<depth {
    for n in (k < squareDepth ? squareColumns : 0)..<columns { to[n] = b[n &* rowStride &+ k] }
    for n in columns..<tileColumns { to[n] = 0 }
    to += tileColumns
  }
}
