#if !KERNELS_PORTABLE
  internal import CSIMD

  // The kernels of `StrassenOnceKernels`.

  /// Longest K of a product, and the distance of a left factor's rows: constants, as `rowStride`.
  @inline(__always) var onceDepth: Int { 336 }
  @inline(__always) var onceStride: Int { onceDepth &+ 16 }
  /// Rows of the smaller tile.
  #if KERNELS_AVX512
    @inline(__always) var onceLastRows: Int { 8 }
  #else
    @inline(__always) var onceLastRows: Int { 4 }
  #endif

  extension RegisterTile {
    /// += A · B. `next`: rows of A that are multiplied later; `beside` is called once per `lineFloats` of depth. `inLines`, a
    /// constant: A lies line by line (`StrassenTwiceKernels`), in the last-level cache, and not row by row in the second.
    @inline(__always)
    fileprivate mutating func multiply(
      _ rows: Int, _ depth: Int, _ a: In, _ next: In, _ b: In, _ inLines: Bool, _ beside: () -> Void
    ) {
      /// Words by which B is asked for ahead: it lies in the second-level cache.
      let reach = 12
      let (rowDistance, lineDistance) = inLines ? (lineFloats, rows &* lineFloats) : (onceStride, lineFloats)
      var pa = a
      var pb = b
      var pn = next
      var k = depth
      while k > 0 {
        var line = pn
        pn += lineDistance
        beside()
        var i = min(k, lineFloats)
        k &-= i
        #if KERNELS_AVX2
          // A tile's rows are fewer than half of a line's words.
          while i > 1 {
            multiplyWord(pa, rowDistance, csimd_load(pb), csimd_load(pb + lanes), rows: rows) { csimd_fma($0, $1, $2) }
            if inLines { csimd_prefetch_far(line) } else { csimd_prefetch(line) }
            csimd_prefetch(pb + reach &* tileColumns)
            multiplyWord(
              pa + 1, rowDistance, csimd_load(pb + tileColumns), csimd_load(pb + (tileColumns &+ lanes)), rows: rows
            ) { csimd_fma($0, $1, $2) }
            csimd_prefetch(pb + (reach &+ 1) &* tileColumns)
            line += rowDistance
            pa += 2
            pb += 2 &* tileColumns
            i &-= 2
          }
        #endif
        while i > 0 {
          multiplyWord(pa, rowDistance, csimd_load(pb), csimd_load(pb + lanes), rows: rows) { csimd_fma($0, $1, $2) }
          #if KERNELS_AVX512
            if inLines { csimd_prefetch_far(line) } else { csimd_prefetch(line) }
            csimd_prefetch(pb + reach &* tileColumns)
            csimd_prefetch(pb + (reach &* tileColumns &+ lineFloats))
            line += rowDistance
          #endif
          pa += 1
          pb += tileColumns
          i &-= 1
        }
        if inLines { pa += lineDistance &- lineFloats }
      }
    }
  }

  /// Seven products in the order of `strassenTiles`. `scratch`: two register tiles. `put(part, tile, f)`: quarter `part` of C is `f`
  /// of every vector of the tile and of its place. Left factors are asked for one product ahead, `inLines` two.
  @inline(__always)
  func strassenOnce(
    _ rows: Int, _ depth: Int, _ a: In, _ aDistance: Int, _ b11: In, _ b21: In, _ b22: In, _ sums: In, _ scratch: Out,
    _ next: In, inLines: Bool, _ beside: () -> Void,
    put: (_ part: Int, _ tile: RegisterTile, _ f: (V, Int, Int) -> V) -> Void
  ) {
    let factor = depth &* tileColumns
    let (first, second) = (scratch, scratch + tileRows &* tileColumns)
    @inline(__always) func left(_ index: Int) -> In { a + index &* aDistance }
    var tile = RegisterTile()
    // P1, and P1 + P2.
    tile.multiply(rows, depth, a, left(inLines ? 5 : 1), b11, inLines, beside)
    tile.store(first, tileColumns, rows: rows)
    tile.multiply(rows, depth, left(1), left(inLines ? 6 : 5), b21, inLines, beside)
    put(0, tile) { sum, _, _ in sum }
    // P1 + P6, that + P7, and that − P4.
    tile.load(first, tileColumns, rows: rows)
    tile.multiply(rows, depth, left(5), left(inLines ? 3 : 6), sums + 2 &* factor, inLines, beside)
    tile.store(first, tileColumns, rows: rows)
    tile.multiply(rows, depth, left(6), left(inLines ? 4 : 3), sums + 3 &* factor, inLines, beside)
    tile.store(second, tileColumns, rows: rows)
    tile.combine(second, tileColumns, rows: rows) { csimd_splat(0) - $1 }
    tile.multiply(rows, depth, left(3), left(inLines ? 2 : 4), sums, inLines, beside)
    put(2, tile) { sum, _, _ in csimd_splat(0) - sum }
    // P5, that + P1 + P6 + P7, and P5 + P1 + P6 + P3.
    tile = RegisterTile()
    tile.multiply(rows, depth, left(4), inLines ? next : left(2), sums + factor, inLines, beside)
    put(3, tile) { $0 + csimd_load(second + ($1 &* tileColumns &+ $2)) }
    tile.add(first, tileColumns, rows: rows)
    tile.multiply(rows, depth, left(2), inLines ? next + aDistance : next, b22, inLines, beside)
    put(1, tile) { sum, _, _ in sum }
  }

  @inline(__always)
  private func strassenOnce(
    _ rows: Int, _ depth: Int, _ a: In, _ aDistance: Int, _ b11: In, _ b21: In, _ b22: In, _ sums: In,
    _ results: Out, _ distance: Int, _ scratch: Out, _ next: In, _ first: RowsAhead, _ second: RowsAhead
  ) {
    let steps = 7 &* ((depth &+ lineFloats &- 1) / lineFloats)
    var firstShare = first.share(0, 2 &* rows, steps: steps)
    var secondShare = second.share(0, 2 &* rows, steps: steps)
    strassenOnce(rows, depth, a, aDistance, b11, b21, b22, sums, scratch, next, inLines: false) {
      firstShare.fetch()
      secondShare.fetch()
    } put: { part, tile, f in
      tile.store(results + part &* distance, tileColumns, rows: rows, f)
    }
  }

  func strassenOnceMultiply(
    _ depth: Int, _ a: In, _ aDistance: Int, _ b11: In, _ b21: In, _ b22: In, _ sums: In, _ results: Out,
    _ distance: Int, _ scratch: Out, _ next: In, _ first: In?, _ firstStride: Int, _ firstLines: Int, _ second: In?,
    _ secondStride: Int, _ secondLines: Int
  ) {
    strassenOnce(
      tileRows, depth, a, aDistance, b11, b21, b22, sums, results, distance, scratch, next,
      RowsAhead(address: first, stride: firstStride, lines: firstLines),
      RowsAhead(address: second, stride: secondStride, lines: secondLines))
  }

  func strassenOnceMultiplyLast(
    _ depth: Int, _ a: In, _ aDistance: Int, _ b11: In, _ b21: In, _ b22: In, _ sums: In, _ results: Out,
    _ distance: Int, _ scratch: Out, _ next: In, _ first: In?, _ firstStride: Int, _ firstLines: Int, _ second: In?,
    _ secondStride: Int, _ secondLines: Int
  ) {
    strassenOnce(
      onceLastRows, depth, a, aDistance, b11, b21, b22, sums, results, distance, scratch, next,
      RowsAhead(address: first, stride: firstStride, lines: firstLines),
      RowsAhead(address: second, stride: secondStride, lines: secondLines))
  }
#endif
