internal import CSIMD

// F(3×3, 3×3) for few tiles: transformed weights go from register to register, into the products of four tiles. Stored, they
// are 25 lines for every nine that are read, which leave the first-level cache before they are used (Intel, family 6 model 207: about 130 cycles
// per vector and channel; products of four tiles are 100 multiply-adds, two a cycle).

/// Channels whose weights are widened at a time: 9 · 16 lines. 8 took 1 % longer, 24 2 to 4 %, 64, which fill most of a first-level cache of 48 KB,
/// 14 to 21 %.
@inline(__always) private var pieceDepth: Int { 16 }

func winogradSmallProducts(
  _ panel: In, _ tapStride: Int, _ depth: Int, _ vector: Int, _ v: In, _ frequencyStride: Int, _ m: Out,
  _ productStride: Int, _ accumulate: Bool, _ scratch: Out
) {
  products(
    BPanel(panel: panel), tapStride, depth, vector, v, frequencyStride, m, productStride, accumulate, scratch)
}

/// `winogradSmallProducts` on a panel of float16.
func winogradSmallHalfProducts(
  _ panel: In, _ tapStride: Int, _ depth: Int, _ vector: Int, _ v: In, _ frequencyStride: Int, _ m: Out,
  _ productStride: Int, _ accumulate: Bool, _ scratch: Out
) {
  products(
    BPanel(panel: panel, storage: .halves), tapStride, depth, vector, v, frequencyStride, m, productStride, accumulate,
    scratch)
}

@inline(__always)
private func products(
  _ b: BPanel, _ tapStride: Int, _ depth: Int, _ vector: Int, _ v: In, _ frequencyStride: Int, _ m: Out,
  _ productStride: Int, _ accumulate: Bool, _ scratch: Out
) {
  let first = b.panel + vector &* (b.width / 2)
  var k = 0
  while k < depth {
    let count = min(pieceDepth, depth &- k)
    let from = first + k &* b.width
    var to = scratch
    for row in 0..<count {
      let line = from + row &* b.width
      for tap in 0..<9 { csimd_store(to + tap &* lanes, b.load(line + tap &* tapStride)) }
      to += 9 &* lanes
    }
    // What the next call or piece reads: rows that follow, or those of the next panel.
    let soon = k &+ count < depth ? from + count &* b.width : first + 9 &* tapStride
    let adds = accumulate || k > 0
    let windows = v + k
    lineOfProducts(0, count, scratch, windows, frequencyStride, m, productStride, adds, soon, tapStride, b.width)
    lineOfProducts(1, count, scratch, windows, frequencyStride, m, productStride, adds, soon, tapStride, b.width)
    lineOfProducts(2, count, scratch, windows, frequencyStride, m, productStride, adds, soon, tapStride, b.width)
    lineOfProducts(3, count, scratch, windows, frequencyStride, m, productStride, adds, soon, tapStride, b.width)
    lineOfProducts(4, count, scratch, windows, frequencyStride, m, productStride, adds, soon, tapStride, b.width)
    k &+= count
  }
}

/// Products of the five frequencies `x`, `x` + 5, … (`x` a constant) with four tiles: 20 of 32 registers are sums.
@inline(__always)
private func lineOfProducts(
  _ x: Int, _ depth: Int, _ weights: Out, _ v: In, _ frequencyStride: Int, _ m: Out, _ productStride: Int,
  _ accumulate: Bool, _ soon: In, _ tapStride: Int, _ width: Int
) {
  let (v0, v1) = (v + x &* frequencyStride, v + (x &+ 5) &* frequencyStride)
  let (v2, v3) = (v + (x &+ 10) &* frequencyStride, v + (x &+ 15) &* frequencyStride)
  let v4 = v + (x &+ 20) &* frequencyStride
  @inline(__always) func place(_ y: Int, _ tile: Int) -> Out {
    m + ((x &+ 5 &* y) &* productStride &+ tile &* tileColumns)
  }
  @inline(__always) func sum(_ y: Int, _ tile: Int) -> V { accumulate ? csimd_load(place(y, tile)) : csimd_splat(0) }
  var (m00, m01, m02, m03) = (sum(0, 0), sum(0, 1), sum(0, 2), sum(0, 3))
  var (m10, m11, m12, m13) = (sum(1, 0), sum(1, 1), sum(1, 2), sum(1, 3))
  var (m20, m21, m22, m23) = (sum(2, 0), sum(2, 1), sum(2, 2), sum(2, 3))
  var (m30, m31, m32, m33) = (sum(3, 0), sum(3, 1), sum(3, 2), sum(3, 3))
  var (m40, m41, m42, m43) = (sum(4, 0), sum(4, 1), sum(4, 2), sum(4, 3))
  var w = In(weights)
  for k in 0..<depth {
    @inline(__always) func taps(_ row: Int) -> V {
      let p = w + 3 &* row &* lanes
      return smallWeight(x, csimd_load(p), csimd_load(p + lanes), csimd_load(p + 2 &* lanes))
    }
    let u = transformSmallWeights(taps(0), taps(1), taps(2))
    @inline(__always) func add(_ v: In, _ tile: Int, _ u: V, _ sum: inout V) {
      sum = csimd_fma(csimd_splat(v[tile &* rowStride &+ k]), u, sum)
    }
    add(v0, 0, u.0, &m00)
    add(v0, 1, u.0, &m01)
    add(v0, 2, u.0, &m02)
    add(v0, 3, u.0, &m03)
    add(v1, 0, u.1, &m10)
    add(v1, 1, u.1, &m11)
    add(v1, 2, u.1, &m12)
    add(v1, 3, u.1, &m13)
    add(v2, 0, u.2, &m20)
    add(v2, 1, u.2, &m21)
    add(v2, 2, u.2, &m22)
    add(v2, 3, u.2, &m23)
    add(v3, 0, u.3, &m30)
    add(v3, 1, u.3, &m31)
    add(v3, 2, u.3, &m32)
    add(v3, 3, u.3, &m33)
    add(v4, 0, u.4, &m40)
    add(v4, 1, u.4, &m41)
    add(v4, 2, u.4, &m42)
    add(v4, 3, u.4, &m43)
    let next = soon + k &* width
    csimd_prefetch(next + 2 &* x &* tapStride)
    if x < 4 { csimd_prefetch(next + (2 &* x &+ 1) &* tapStride) }
    w += 9 &* lanes
  }
  @inline(__always) func store(_ y: Int, _ s0: V, _ s1: V, _ s2: V, _ s3: V) {
    csimd_store(place(y, 0), s0)
    csimd_store(place(y, 1), s1)
    csimd_store(place(y, 2), s2)
    csimd_store(place(y, 3), s3)
  }
  store(0, m00, m01, m02, m03)
  store(1, m10, m11, m12, m13)
  store(2, m20, m21, m22, m23)
  store(3, m30, m31, m32, m33)
  store(4, m40, m41, m42, m43)
}
