internal import CSIMD

/// A register tile (tileRows × tileColumns) that stays in registers from product to product; zero at first.
///
/// Fields, not an array: that would end up on the stack. `rows`: those that take part, all or, as a smaller tile, 8 of 12 (AVX-512)
/// or 4 of 6 (AVX2); a constant.
struct RegisterTile {
  var c0l = csimd_splat(0), c0r = csimd_splat(0)
  var c1l = csimd_splat(0), c1r = csimd_splat(0)
  var c2l = csimd_splat(0), c2r = csimd_splat(0)
  var c3l = csimd_splat(0), c3r = csimd_splat(0)
  #if KERNELS_AVX512 || KERNELS_AVX2
    var c4l = csimd_splat(0), c4r = csimd_splat(0)
    var c5l = csimd_splat(0), c5r = csimd_splat(0)
  #endif
  #if KERNELS_AVX512
    var c6l = csimd_splat(0), c6r = csimd_splat(0)
    var c7l = csimd_splat(0), c7r = csimd_splat(0)
    var c8l = csimd_splat(0), c8r = csimd_splat(0)
    var c9l = csimd_splat(0), c9r = csimd_splat(0)
    var c10l = csimd_splat(0), c10r = csimd_splat(0)
    var c11l = csimd_splat(0), c11r = csimd_splat(0)
  #endif

  @inline(__always)
  init() {}

  /// One word of depth: `step(a, b, sum)` of a word of every row of A, at this distance, and one of B's.
  @inline(__always)
  mutating func multiplyWord(
    _ a: In, _ distance: Int, _ left: V, _ right: V, rows: Int = tileRows, _ step: (V, V, V) -> V
  ) {
    let a0 = csimd_splat(a[0 &* distance])
    c0l = step(a0, left, c0l)
    c0r = step(a0, right, c0r)
    let a1 = csimd_splat(a[1 &* distance])
    c1l = step(a1, left, c1l)
    c1r = step(a1, right, c1r)
    let a2 = csimd_splat(a[2 &* distance])
    c2l = step(a2, left, c2l)
    c2r = step(a2, right, c2r)
    let a3 = csimd_splat(a[3 &* distance])
    c3l = step(a3, left, c3l)
    c3r = step(a3, right, c3r)
    #if KERNELS_AVX512 || KERNELS_AVX2
      guard rows > 4 else { return }
      let a4 = csimd_splat(a[4 &* distance])
      c4l = step(a4, left, c4l)
      c4r = step(a4, right, c4r)
      let a5 = csimd_splat(a[5 &* distance])
      c5l = step(a5, left, c5l)
      c5r = step(a5, right, c5r)
    #endif
    #if KERNELS_AVX512
      let a6 = csimd_splat(a[6 &* distance])
      c6l = step(a6, left, c6l)
      c6r = step(a6, right, c6r)
      let a7 = csimd_splat(a[7 &* distance])
      c7l = step(a7, left, c7l)
      c7r = step(a7, right, c7r)
      guard rows > 8 else { return }
      let a8 = csimd_splat(a[8 &* distance])
      c8l = step(a8, left, c8l)
      c8r = step(a8, right, c8r)
      let a9 = csimd_splat(a[9 &* distance])
      c9l = step(a9, left, c9l)
      c9r = step(a9, right, c9r)
      let a10 = csimd_splat(a[10 &* distance])
      c10l = step(a10, left, c10l)
      c10r = step(a10, right, c10r)
      let a11 = csimd_splat(a[11 &* distance])
      c11l = step(a11, left, c11l)
      c11r = step(a11, right, c11r)
    #endif
  }

  /// += A · B: rows of A at distance `rowStride`, a panel of B. As much memory as that panel takes is asked for at `ahead`.
  @inline(__always)
  mutating func multiply(_ depth: Int, _ a: In, _ b: In, ahead: In) {
    var pa = a
    var pb = b
    var line = ahead
    for _ in 0..<depth {
      multiplyWord(pa, rowStride, csimd_load(pb), csimd_load(pb + lanes)) { csimd_fma($0, $1, $2) }
      csimd_prefetch(line)
      #if KERNELS_AVX512
        csimd_prefetch(line + lineFloats)
      #endif
      line += tileColumns
      pa += 1
      pb += tileColumns
    }
  }

  @inline(__always)
  func store(_ c: Out, _ stride: Int, rows: Int = tileRows) {
    store(c, stride, rows: rows) { vector, _, _ in vector }
  }

  /// Stores `f` of every vector and of its place in the tile.
  @inline(__always)
  func store(_ c: Out, _ stride: Int, rows: Int = tileRows, _ f: (V, _ row: Int, _ column: Int) -> V) {
    csimd_store(c + 0 &* stride, f(c0l, 0, 0))
    csimd_store(c + 0 &* stride + lanes, f(c0r, 0, lanes))
    csimd_store(c + 1 &* stride, f(c1l, 1, 0))
    csimd_store(c + 1 &* stride + lanes, f(c1r, 1, lanes))
    csimd_store(c + 2 &* stride, f(c2l, 2, 0))
    csimd_store(c + 2 &* stride + lanes, f(c2r, 2, lanes))
    csimd_store(c + 3 &* stride, f(c3l, 3, 0))
    csimd_store(c + 3 &* stride + lanes, f(c3r, 3, lanes))
    #if KERNELS_AVX512 || KERNELS_AVX2
      guard rows > 4 else { return }
      csimd_store(c + 4 &* stride, f(c4l, 4, 0))
      csimd_store(c + 4 &* stride + lanes, f(c4r, 4, lanes))
      csimd_store(c + 5 &* stride, f(c5l, 5, 0))
      csimd_store(c + 5 &* stride + lanes, f(c5r, 5, lanes))
    #endif
    #if KERNELS_AVX512
      csimd_store(c + 6 &* stride, f(c6l, 6, 0))
      csimd_store(c + 6 &* stride + lanes, f(c6r, 6, lanes))
      csimd_store(c + 7 &* stride, f(c7l, 7, 0))
      csimd_store(c + 7 &* stride + lanes, f(c7r, 7, lanes))
      guard rows > 8 else { return }
      csimd_store(c + 8 &* stride, f(c8l, 8, 0))
      csimd_store(c + 8 &* stride + lanes, f(c8r, 8, lanes))
      csimd_store(c + 9 &* stride, f(c9l, 9, 0))
      csimd_store(c + 9 &* stride + lanes, f(c9r, 9, lanes))
      csimd_store(c + 10 &* stride, f(c10l, 10, 0))
      csimd_store(c + 10 &* stride + lanes, f(c10r, 10, lanes))
      csimd_store(c + 11 &* stride, f(c11l, 11, 0))
      csimd_store(c + 11 &* stride + lanes, f(c11r, 11, lanes))
    #endif
  }

  /// += what lies at `c`.
  @inline(__always)
  mutating func add(_ c: In, _ stride: Int, rows: Int = tileRows) { combine(c, stride, rows: rows) { $0 + $1 } }

  /// Becomes what lies at `c`.
  @inline(__always)
  mutating func load(_ c: In, _ stride: Int, rows: Int = tileRows) { combine(c, stride, rows: rows) { $1 } }

  /// Every vector becomes `f` of itself and of what lies at its place of `c`.
  @inline(__always)
  mutating func combine(_ c: In, _ stride: Int, rows: Int = tileRows, _ f: (V, V) -> V) {
    c0l = f(c0l, csimd_load(c + 0 &* stride))
    c0r = f(c0r, csimd_load(c + 0 &* stride + lanes))
    c1l = f(c1l, csimd_load(c + 1 &* stride))
    c1r = f(c1r, csimd_load(c + 1 &* stride + lanes))
    c2l = f(c2l, csimd_load(c + 2 &* stride))
    c2r = f(c2r, csimd_load(c + 2 &* stride + lanes))
    c3l = f(c3l, csimd_load(c + 3 &* stride))
    c3r = f(c3r, csimd_load(c + 3 &* stride + lanes))
    #if KERNELS_AVX512 || KERNELS_AVX2
      guard rows > 4 else { return }
      c4l = f(c4l, csimd_load(c + 4 &* stride))
      c4r = f(c4r, csimd_load(c + 4 &* stride + lanes))
      c5l = f(c5l, csimd_load(c + 5 &* stride))
      c5r = f(c5r, csimd_load(c + 5 &* stride + lanes))
    #endif
    #if KERNELS_AVX512
      c6l = f(c6l, csimd_load(c + 6 &* stride))
      c6r = f(c6r, csimd_load(c + 6 &* stride + lanes))
      c7l = f(c7l, csimd_load(c + 7 &* stride))
      c7r = f(c7r, csimd_load(c + 7 &* stride + lanes))
      guard rows > 8 else { return }
      c8l = f(c8l, csimd_load(c + 8 &* stride))
      c8r = f(c8r, csimd_load(c + 8 &* stride + lanes))
      c9l = f(c9l, csimd_load(c + 9 &* stride))
      c9r = f(c9r, csimd_load(c + 9 &* stride + lanes))
      c10l = f(c10l, csimd_load(c + 10 &* stride))
      c10r = f(c10r, csimd_load(c + 10 &* stride + lanes))
      c11l = f(c11l, csimd_load(c + 11 &* stride))
      c11r = f(c11r, csimd_load(c + 11 &* stride + lanes))
    #endif
  }
}
