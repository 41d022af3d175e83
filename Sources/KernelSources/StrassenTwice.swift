#if !KERNELS_PORTABLE
  internal import CSIMD

  // The kernels of `StrassenTwiceKernels`; the inner products are those of StrassenOnce.swift.

  /// Adds a quarter of an outer product to the sums it belongs to, which lie `distance` floats from one another: P1 and what
  /// goes on from it, then the quarters of C.
  private func putOuter(_ outer: Int, _ vectors: Int, _ p: In, _ x: Out, _ distance: Int) {
    let (c11, c12) = (x + distance, x + 2 &* distance)
    let (c21, c22) = (x + 3 &* distance, x + 4 &* distance)
    @inline(__always) func each(_ body: (Int, V) -> Void) {
      for vector in 0..<vectors { body(vector &* lanes, csimd_load(p + vector &* lanes)) }
    }
    switch outer {
    case 0: each { csimd_store(x + $0, $1) }
    case 1: each { csimd_store(c11 + $0, csimd_load(x + $0) + $1) }
    case 2: each { csimd_store(c12 + $0, $1) }
    case 3: each { csimd_store(c21 + $0, csimd_splat(0) - $1) }
    case 4:
      each {
        csimd_store(c22 + $0, $1)
        csimd_store(c12 + $0, csimd_load(c12 + $0) + $1)
      }
    case 5:
      each {
        let sum = csimd_load(x + $0) + $1
        csimd_store(x + $0, sum)
        csimd_store(c12 + $0, csimd_load(c12 + $0) + sum)
      }
    default:
      each {
        let sum = csimd_load(x + $0) + $1
        csimd_store(c21 + $0, csimd_load(c21 + $0) + sum)
        csimd_store(c22 + $0, csimd_load(c22 + $0) + sum)
      }
    }
  }

  @inline(__always)
  private func strassenTwice(
    _ rows: Int, _ outer: Int, _ depth: Int, _ a: In, _ aDistance: Int, _ b11: In, _ b21: In, _ b22: In, _ sums: In,
    _ results: Out, _ partDistance: Int, _ scratch: Out, _ next: In, _ ahead: In?, _ aheadLines: Int
  ) {
    let out = scratch + 2 &* tileRows &* tileColumns
    let steps = 7 &* ((depth &+ lineFloats &- 1) / lineFloats)
    var lines = BAhead(
      address: ahead ?? next, lines: ahead == nil ? 0 : (aheadLines &+ steps &- 1) / steps, near: false)
    strassenOnce(rows, depth, a, aDistance, b11, b21, b22, sums, scratch, next, inLines: true) {
      lines.fetch()
    } put: { part, tile, f in
      tile.store(out, tileColumns, rows: rows, f)
      putOuter(outer, 2 &* rows, out, results + part &* partDistance, 4 &* partDistance)
    }
  }

  func strassenTwiceMultiply(
    _ outer: Int, _ depth: Int, _ a: In, _ aDistance: Int, _ b11: In, _ b21: In, _ b22: In, _ sums: In, _ results: Out,
    _ distance: Int, _ scratch: Out, _ next: In, _ ahead: In?, _ aheadLines: Int
  ) {
    strassenTwice(
      tileRows, outer, depth, a, aDistance, b11, b21, b22, sums, results, distance, scratch, next, ahead, aheadLines)
  }

  func strassenTwiceMultiplyLast(
    _ outer: Int, _ depth: Int, _ a: In, _ aDistance: Int, _ b11: In, _ b21: In, _ b22: In, _ sums: In, _ results: Out,
    _ distance: Int, _ scratch: Out, _ next: In, _ ahead: In?, _ aheadLines: Int
  ) {
    strassenTwice(
      onceLastRows, outer, depth, a, aDistance, b11, b21, b22, sums, results, distance, scratch, next, ahead,
      aheadLines)
  }

  /// The seven left factors of one level.
  @inline(__always)
  private func leftFactors(_ x11: V, _ x12: V, _ x21: V, _ x22: V) -> (V, V, V, V, V, V, V) {
    let s1 = x21 + x22
    let s2 = s1 - x11
    return (x11, x12, x12 - s2, x22, s1, s2, x11 - x21)
  }

  func strassenTwiceLeft(
    _ rows: Int, _ depth: Int, _ x: In, _ stride: Int, _ half: Int, _ halfRows: Int, _ factors: Out, _ distance: Int
  ) {
    let lower = halfRows &* stride
    let innerLower = lower / 2
    for row in 0..<rows {
      var i = 0
      while i < depth {
        @inline(__always) func outer(_ p: In) -> (V, V, V, V, V, V, V) {
          csimd_prefetch(p + 4 &* stride)
          csimd_prefetch(p + (half &+ 4 &* stride))
          csimd_prefetch(p + (lower &+ 4 &* stride))
          csimd_prefetch(p + (lower &+ half &+ 4 &* stride))
          return leftFactors(
            csimd_load(p), csimd_load(p + half), csimd_load(p + lower), csimd_load(p + (lower &+ half)))
        }
        let p = x + (row &* stride &+ i)
        let (y11, y12) = (outer(p), outer(p + depth))
        let (y21, y22) = (outer(p + innerLower), outer(p + (innerLower &+ depth)))
        // So many lines of all rows lie before.
        let within = i % lineFloats
        let to = factors + (row &* lineFloats &+ (i &- within) &* rows &+ within)
        @inline(__always) func put(_ index: Int, _ x11: V, _ x12: V, _ x21: V, _ x22: V) {
          let f = leftFactors(x11, x12, x21, x22)
          let place = to + 7 &* index &* distance
          csimd_store(place, f.0)
          csimd_store(place + distance, f.1)
          csimd_store(place + 2 &* distance, f.2)
          csimd_store(place + 3 &* distance, f.3)
          csimd_store(place + 4 &* distance, f.4)
          csimd_store(place + 5 &* distance, f.5)
          csimd_store(place + 6 &* distance, f.6)
        }
        put(0, y11.0, y12.0, y21.0, y22.0)
        put(1, y11.1, y12.1, y21.1, y22.1)
        put(2, y11.2, y12.2, y21.2, y22.2)
        put(3, y11.3, y12.3, y21.3, y22.3)
        put(4, y11.4, y12.4, y21.4, y22.4)
        put(5, y11.5, y12.5, y21.5, y22.5)
        put(6, y11.6, y12.6, y21.6, y22.6)
        i &+= lanes
      }
    }
  }
#endif
