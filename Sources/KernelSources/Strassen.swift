internal import CSIMD

// The seven products of `StrassenKernels` and the sums around them.

/// Longest K of a product of factors, and the distance of a left factor's rows: constants, as `rowStride`.
@inline(__always) var factorDepth: Int { 672 }
@inline(__always) var factorStride: Int { factorDepth &+ 16 }

func strassenProduct(
  _ rows: Int, _ columns: Int, _ depth: Int, _ a: In, _ b: In, _ c: Out, _ cStride: Int, _ accumulate: Bool,
  _ tile: Out, _ next: In?, _ ahead: In?, _ aheadStride: Int, _ aheadLines: Int
) {
  let ahead = RowsAhead(address: ahead, stride: aheadStride, lines: aheadLines)
  multiplyPanel(
    rows, columns, depth, a, b, c, cStride, accumulate, tile, next, ahead, distance: factorStride
  ) { csimd_fma($0, $1, $2) }
}

func strassenLeft(
  _ rows: Int, _ lowerRows: Int, _ depth: Int, _ a11: In, _ a12: In, _ a21: In, _ a22: In, _ stride: Int, _ a: Out,
  _ targetStride: Int, _ distance: Int
) {
  @inline(__always)
  func store(_ at: Out, _ x11: V, _ x12: V, _ x21: V, _ x22: V) {
    let s1 = x21 + x22
    let s2 = s1 - x11
    csimd_store(at, x11)
    csimd_store(at + distance, x12)
    csimd_store(at + 2 &* distance, x12 - s2)
    csimd_store(at + 3 &* distance, x22)
    csimd_store(at + 4 &* distance, s1)
    csimd_store(at + 5 &* distance, s2)
    csimd_store(at + 6 &* distance, x11 - x21)
  }
  for row in 0..<rows {
    let from = row &* stride
    let to = a + row &* targetStride
    let isPaired = row < lowerRows
    var i = 0
    while i &+ lanes <= depth {
      let at = from &+ i
      // Rows of a kilobyte or less: too short for the hardware to foresee.
      csimd_prefetch(a11 + (at &+ 2 &* stride))
      csimd_prefetch(a12 + (at &+ 2 &* stride))
      csimd_prefetch(a21 + (at &+ 2 &* stride))
      csimd_prefetch(a22 + (at &+ 2 &* stride))
      store(
        to + i, csimd_load(a11 + at), csimd_load(a12 + at), isPaired ? csimd_load(a21 + at) : csimd_splat(0),
        isPaired ? csimd_load(a22 + at) : csimd_splat(0))
      i &+= lanes
    }
    if i < depth {
      // Packed rows have room for whole vectors; what lies beyond the depth is never multiplied.
      let (at, rest) = (from &+ i, depth &- i)
      store(
        to + i, csimd_load_first(a11 + at, rest), csimd_load_first(a12 + at, rest),
        isPaired ? csimd_load_first(a21 + at, rest) : csimd_splat(0),
        isPaired ? csimd_load_first(a22 + at, rest) : csimd_splat(0))
    }
  }
}

func strassenRight(_ count: Int, _ b11: In, _ b21: In, _ b22: In, _ b12: In, _ b: Out, _ distance: Int) {
  var i = 0
  while i < count {
    let x11 = csimd_load(b11 + i)
    let x21 = csimd_load(b21 + i)
    let x22 = csimd_load(b22 + i)
    let x12 = csimd_load(b12 + i)
    let t1 = x12 - x11
    let t2 = x22 - t1
    let at = b + i
    csimd_store(at, t2 - x21)
    csimd_store(at + distance, t1)
    csimd_store(at + 2 &* distance, t2)
    csimd_store(at + 3 &* distance, x22 - x12)
    i &+= lanes
  }
}

/// One vector of each quarter; `store(quarter, vector)`.
@inline(__always)
private func strassenSums(_ p: In, _ distance: Int, _ store: (Int, V) -> Void) {
  let p1 = csimd_load(p)
  let p5 = csimd_load(p + 4 &* distance)
  let u2 = p1 + csimd_load(p + 5 &* distance)
  let u3 = u2 + csimd_load(p + 6 &* distance)
  store(0, p1 + csimd_load(p + distance))
  store(1, u2 + p5 + csimd_load(p + 2 &* distance))
  store(2, u3 - csimd_load(p + 3 &* distance))
  store(3, u3 + p5)
}

func strassenResults(
  _ rows: Int, _ lowerRows: Int, _ columns: Int, _ rightColumns: Int, _ products: In, _ distance: Int, _ c11: Out,
  _ c12: Out, _ c21: Out, _ c22: Out, _ cStride: Int, _ accumulate: Bool
) {
  for row in 0..<rows {
    for half in 0..<2 {
      let column = half &* lanes
      let offset = row &* cStride &+ column
      strassenSums(products + (row &* tileColumns &+ column), distance) { quarter, sum in
        guard quarter < 2 || row < lowerRows else { return }
        let width = (quarter & 1 == 0 ? columns : rightColumns) &- column
        guard width > 0 else { return }
        let target = (quarter == 0 ? c11 : quarter == 1 ? c12 : quarter == 2 ? c21 : c22) + offset
        if width >= lanes {
          csimd_store(target, accumulate ? csimd_load(target) + sum : sum)
        } else {
          csimd_store_first(target, accumulate ? csimd_load_first(target, width) + sum : sum, width)
        }
      }
    }
  }
}
