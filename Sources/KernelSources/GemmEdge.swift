internal import CSIMD

// Tiles for the rows that are left over when their number is no multiple of 12, as powers of two never are. Every element
// is the same chain of sums as in a whole tile.

#if KERNELS_AVX512
  /// `gemmTile` for 8 rows.
  @inline(__always)
  func gemmTile8(
    _ depth: Int, _ a: In, _ next: In, _ b: BPanel, _ ahead: inout BAhead, _ c: Out, _ cStride: Int, _ accumulate: Bool,
    distance: Int, _ step: (V, V, V) -> V
  ) {
    var c0l = csimd_splat(0), c0r = csimd_splat(0)
    var c1l = csimd_splat(0), c1r = csimd_splat(0)
    var c2l = csimd_splat(0), c2r = csimd_splat(0)
    var c3l = csimd_splat(0), c3r = csimd_splat(0)
    var c4l = csimd_splat(0), c4r = csimd_splat(0)
    var c5l = csimd_splat(0), c5r = csimd_splat(0)
    var c6l = csimd_splat(0), c6r = csimd_splat(0)
    var c7l = csimd_splat(0), c7r = csimd_splat(0)
    if accumulate {
      c0l = csimd_load(c + 0 &* cStride)
      c0r = csimd_load(c + 0 &* cStride + lanes)
      c1l = csimd_load(c + 1 &* cStride)
      c1r = csimd_load(c + 1 &* cStride + lanes)
      c2l = csimd_load(c + 2 &* cStride)
      c2r = csimd_load(c + 2 &* cStride + lanes)
      c3l = csimd_load(c + 3 &* cStride)
      c3r = csimd_load(c + 3 &* cStride + lanes)
      c4l = csimd_load(c + 4 &* cStride)
      c4r = csimd_load(c + 4 &* cStride + lanes)
      c5l = csimd_load(c + 5 &* cStride)
      c5r = csimd_load(c + 5 &* cStride + lanes)
      c6l = csimd_load(c + 6 &* cStride)
      c6r = csimd_load(c + 6 &* cStride + lanes)
      c7l = csimd_load(c + 7 &* cStride)
      c7r = csimd_load(c + 7 &* cStride + lanes)
    }
    var pa = a
    var pb = b.panel
    var pn = next
    var k = depth
    while k > 0 {
      var line = pn
      pn += lineFloats
      ahead.fetch()
      var i = min(k, lineFloats)
      k &-= i
      while i > 0 {
        let left = b.load(pb)
        let right = b.load(pb + b.width / 2)
        let a0 = csimd_splat(pa[0 &* distance])
        c0l = step(a0, left, c0l)
        c0r = step(a0, right, c0r)
        let a1 = csimd_splat(pa[1 &* distance])
        c1l = step(a1, left, c1l)
        c1r = step(a1, right, c1r)
        let a2 = csimd_splat(pa[2 &* distance])
        c2l = step(a2, left, c2l)
        c2r = step(a2, right, c2r)
        let a3 = csimd_splat(pa[3 &* distance])
        c3l = step(a3, left, c3l)
        c3r = step(a3, right, c3r)
        let a4 = csimd_splat(pa[4 &* distance])
        c4l = step(a4, left, c4l)
        c4r = step(a4, right, c4r)
        let a5 = csimd_splat(pa[5 &* distance])
        c5l = step(a5, left, c5l)
        c5r = step(a5, right, c5r)
        let a6 = csimd_splat(pa[6 &* distance])
        c6l = step(a6, left, c6l)
        c6r = step(a6, right, c6r)
        let a7 = csimd_splat(pa[7 &* distance])
        c7l = step(a7, left, c7l)
        c7r = step(a7, right, c7r)
        csimd_prefetch(line)
        line += distance
        pa += 1
        pb += b.width
        i &-= 1
      }
    }
    csimd_store(c + 0 &* cStride, c0l)
    csimd_store(c + 0 &* cStride + lanes, c0r)
    csimd_store(c + 1 &* cStride, c1l)
    csimd_store(c + 1 &* cStride + lanes, c1r)
    csimd_store(c + 2 &* cStride, c2l)
    csimd_store(c + 2 &* cStride + lanes, c2r)
    csimd_store(c + 3 &* cStride, c3l)
    csimd_store(c + 3 &* cStride + lanes, c3r)
    csimd_store(c + 4 &* cStride, c4l)
    csimd_store(c + 4 &* cStride + lanes, c4r)
    csimd_store(c + 5 &* cStride, c5l)
    csimd_store(c + 5 &* cStride + lanes, c5r)
    csimd_store(c + 6 &* cStride, c6l)
    csimd_store(c + 6 &* cStride + lanes, c6r)
    csimd_store(c + 7 &* cStride, c7l)
    csimd_store(c + 7 &* cStride + lanes, c7r)
  }

  /// `gemmTile` for 4 rows.
  @inline(__always)
  func gemmTile4(
    _ depth: Int, _ a: In, _ next: In, _ b: BPanel, _ ahead: inout BAhead, _ c: Out, _ cStride: Int, _ accumulate: Bool,
    distance: Int, _ step: (V, V, V) -> V
  ) {
    var c0l = csimd_splat(0), c0r = csimd_splat(0)
    var c1l = csimd_splat(0), c1r = csimd_splat(0)
    var c2l = csimd_splat(0), c2r = csimd_splat(0)
    var c3l = csimd_splat(0), c3r = csimd_splat(0)
    if accumulate {
      c0l = csimd_load(c + 0 &* cStride)
      c0r = csimd_load(c + 0 &* cStride + lanes)
      c1l = csimd_load(c + 1 &* cStride)
      c1r = csimd_load(c + 1 &* cStride + lanes)
      c2l = csimd_load(c + 2 &* cStride)
      c2r = csimd_load(c + 2 &* cStride + lanes)
      c3l = csimd_load(c + 3 &* cStride)
      c3r = csimd_load(c + 3 &* cStride + lanes)
    }
    var pa = a
    var pb = b.panel
    var pn = next
    var k = depth
    while k > 0 {
      var line = pn
      pn += lineFloats
      ahead.fetch()
      var i = min(k, lineFloats)
      k &-= i
      while i > 0 {
        let left = b.load(pb)
        let right = b.load(pb + b.width / 2)
        let a0 = csimd_splat(pa[0 &* distance])
        c0l = step(a0, left, c0l)
        c0r = step(a0, right, c0r)
        let a1 = csimd_splat(pa[1 &* distance])
        c1l = step(a1, left, c1l)
        c1r = step(a1, right, c1r)
        let a2 = csimd_splat(pa[2 &* distance])
        c2l = step(a2, left, c2l)
        c2r = step(a2, right, c2r)
        let a3 = csimd_splat(pa[3 &* distance])
        c3l = step(a3, left, c3l)
        c3r = step(a3, right, c3r)
        csimd_prefetch(line)
        line += distance
        pa += 1
        pb += b.width
        i &-= 1
      }
    }
    csimd_store(c + 0 &* cStride, c0l)
    csimd_store(c + 0 &* cStride + lanes, c0r)
    csimd_store(c + 1 &* cStride, c1l)
    csimd_store(c + 1 &* cStride + lanes, c1r)
    csimd_store(c + 2 &* cStride, c2l)
    csimd_store(c + 2 &* cStride + lanes, c2r)
    csimd_store(c + 3 &* cStride, c3l)
    csimd_store(c + 3 &* cStride + lanes, c3r)
  }
#endif
