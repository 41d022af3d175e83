internal import CSIMD

/// A register tile (tileRows × tileColumns) that stays in registers from product to product; zero at first.
///
/// Fields, not an array: that would end up on the stack. `rows`: those that take part, all or, as a smaller tile, 8, 4 or 2 of 12
/// (AVX-512), 4 or 2 of 6 (AVX2); `vectors`: of a row, 2 or only the first. Both are constants.
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
    _ a: In, _ distance: Int, _ left: V, _ right: V, rows: Int = tileRows, vectors: Int = 2, _ step: (V, V, V) -> V
  ) {
    @inline(__always) func second(_ a: V, _ b: V, _ sum: V) -> V { vectors == 2 ? step(a, b, sum) : sum }
    let a0 = csimd_splat(a[0 &* distance])
    c0l = step(a0, left, c0l)
    c0r = second(a0, right, c0r)
    let a1 = csimd_splat(a[1 &* distance])
    c1l = step(a1, left, c1l)
    c1r = second(a1, right, c1r)
    guard rows > 2 else { return }
    let a2 = csimd_splat(a[2 &* distance])
    c2l = step(a2, left, c2l)
    c2r = second(a2, right, c2r)
    let a3 = csimd_splat(a[3 &* distance])
    c3l = step(a3, left, c3l)
    c3r = second(a3, right, c3r)
    #if KERNELS_AVX512 || KERNELS_AVX2
      guard rows > 4 else { return }
      let a4 = csimd_splat(a[4 &* distance])
      c4l = step(a4, left, c4l)
      c4r = second(a4, right, c4r)
      let a5 = csimd_splat(a[5 &* distance])
      c5l = step(a5, left, c5l)
      c5r = second(a5, right, c5r)
    #endif
    #if KERNELS_AVX512
      let a6 = csimd_splat(a[6 &* distance])
      c6l = step(a6, left, c6l)
      c6r = second(a6, right, c6r)
      let a7 = csimd_splat(a[7 &* distance])
      c7l = step(a7, left, c7l)
      c7r = second(a7, right, c7r)
      guard rows > 8 else { return }
      let a8 = csimd_splat(a[8 &* distance])
      c8l = step(a8, left, c8l)
      c8r = second(a8, right, c8r)
      let a9 = csimd_splat(a[9 &* distance])
      c9l = step(a9, left, c9l)
      c9r = second(a9, right, c9r)
      let a10 = csimd_splat(a[10 &* distance])
      c10l = step(a10, left, c10l)
      c10r = second(a10, right, c10r)
      let a11 = csimd_splat(a[11 &* distance])
      c11l = step(a11, left, c11l)
      c11r = second(a11, right, c11r)
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
  func store(_ c: Out, _ stride: Int, rows: Int = tileRows, vectors: Int = 2) {
    store(c, stride, rows: rows, vectors: vectors) { vector, _, _ in vector }
  }

  /// Stores `f` of every vector and of its place in the tile.
  @inline(__always)
  func store(
    _ c: Out, _ stride: Int, rows: Int = tileRows, vectors: Int = 2, _ f: (V, _ row: Int, _ column: Int) -> V
  ) {
    @inline(__always) func put(_ row: Int, _ left: V, _ right: V) {
      csimd_store(c + row &* stride, f(left, row, 0))
      if vectors == 2 { csimd_store(c + row &* stride + lanes, f(right, row, lanes)) }
    }
    put(0, c0l, c0r)
    put(1, c1l, c1r)
    guard rows > 2 else { return }
    put(2, c2l, c2r)
    put(3, c3l, c3r)
    #if KERNELS_AVX512 || KERNELS_AVX2
      guard rows > 4 else { return }
      put(4, c4l, c4r)
      put(5, c5l, c5r)
    #endif
    #if KERNELS_AVX512
      put(6, c6l, c6r)
      put(7, c7l, c7r)
      guard rows > 8 else { return }
      put(8, c8l, c8r)
      put(9, c9l, c9r)
      put(10, c10l, c10r)
      put(11, c11l, c11r)
    #endif
  }

  /// += what lies at `c`.
  @inline(__always)
  mutating func add(_ c: In, _ stride: Int, rows: Int = tileRows) { combine(c, stride, rows: rows) { $0 + $1 } }

  /// Becomes what lies at `c`.
  @inline(__always)
  mutating func load(_ c: In, _ stride: Int, rows: Int = tileRows, vectors: Int = 2) {
    combine(c, stride, rows: rows, vectors: vectors) { $1 }
  }

  /// Every vector becomes `f` of itself and of what lies at its place of `c`.
  @inline(__always)
  mutating func combine(_ c: In, _ stride: Int, rows: Int = tileRows, vectors: Int = 2, _ f: (V, V) -> V) {
    @inline(__always) func change(_ row: Int, _ left: inout V, _ right: inout V) {
      left = f(left, csimd_load(c + row &* stride))
      if vectors == 2 { right = f(right, csimd_load(c + row &* stride + lanes)) }
    }
    change(0, &c0l, &c0r)
    change(1, &c1l, &c1r)
    guard rows > 2 else { return }
    change(2, &c2l, &c2r)
    change(3, &c3l, &c3r)
    #if KERNELS_AVX512 || KERNELS_AVX2
      guard rows > 4 else { return }
      change(4, &c4l, &c4r)
      change(5, &c5l, &c5r)
    #endif
    #if KERNELS_AVX512
      change(6, &c6l, &c6r)
      change(7, &c7l, &c7r)
      guard rows > 8 else { return }
      change(8, &c8l, &c8r)
      change(9, &c9l, &c9r)
      change(10, &c10l, &c10r)
      change(11, &c11l, &c11r)
    #endif
  }
}
