internal import CSIMD

// Winograd's F(3×3, 3×3) with the points ±½, ±1½ and ∞, for images that squares of 4 outputs cover badly. One-dimensional
// transforms, applied to rows and then to columns:
//   input    ±½: ½ (d2 − 2¼ d0) ± (d3 − 2¼ d1);  ±1½: 1½ (d2 − ¼ d0) ± (d3 − ¼ d1);  ∞: d4 − 2½ d2 + 9/16 d0
//   weights  ±½: −½ (g0 + ¼ g2) ∓ ¼ g1;  ±1½: ⅙ (g0 + 2¼ g2) ± ¼ g1;  ∞: g2
//   output   y0 = (m0 + m1) + (m2 + m3);  y1 = ½ (m0 − m1) + 1½ (m2 − m3);  y2 = ¼ (m0 + m1) + 2¼ (m2 + m3) + m4

@inline(__always)
private func transformInput(_ d0: V, _ d1: V, _ d2: V, _ d3: V, _ d4: V, _ store: (Int, V) -> Void) {
  let (far, near) = (csimd_splat(-2.25), csimd_splat(-0.25))
  let odd1 = csimd_fma(d1, far, d3)
  let even1 = csimd_fma(d0, far, d2) * csimd_splat(0.5)
  store(0, even1 + odd1)
  store(1, even1 - odd1)
  let odd2 = csimd_fma(d1, near, d3)
  let even2 = csimd_fma(d0, near, d2) * csimd_splat(1.5)
  store(2, even2 + odd2)
  store(3, even2 - odd2)
  store(4, csimd_fma(d0, csimd_splat(0.5625), csimd_fma(d2, csimd_splat(-2.5), d4)))
}

func winogradSmallInput(
  _ x: In, _ pixelStride: Int, _ lineStride: Int, _ yBegin: Int, _ yEnd: Int, _ xBegin: Int, _ xEnd: Int,
  _ channels: Int, _ v: Out, _ frequencyStride: Int, _ shift: Int, _ yPhase: Int, _ xPhase: Int, _ scratch: Out
) {
  let x1 = ((1 &+ xPhase) &>> shift) &* pixelStride
  let x2 = ((2 &+ xPhase) &>> shift) &* pixelStride
  let x3 = ((3 &+ xPhase) &>> shift) &* pixelStride
  let x4 = ((4 &+ xPhase) &>> shift) &* pixelStride
  let zero = csimd_splat(0)
  var c = 0
  while c < channels {
    let rest = channels &- c
    let partial = rest < lanes
    for row in 0..<5 {
      let t = scratch + row &* 5 &* lanes
      if row < yBegin || row >= yEnd {
        for i in 0..<5 { csimd_store(t + i &* lanes, zero) }
        continue
      }
      let p = x + (((row &+ yPhase) &>> shift) &* lineStride &+ c)
      @inline(__always) func pixel(_ i: Int, _ offset: Int) -> V {
        if i < xBegin || i >= xEnd { return zero }
        return partial ? csimd_load_first(p + offset, rest) : csimd_load(p + offset)
      }
      transformInput(pixel(0, 0), pixel(1, x1), pixel(2, x2), pixel(3, x3), pixel(4, x4)) {
        csimd_store(t + $0 &* lanes, $1)
      }
    }
    for column in 0..<5 {
      let t = scratch + column &* lanes
      let to = v + (column &* frequencyStride &+ c)
      let down = 5 &* lanes
      transformInput(
        csimd_load(t), csimd_load(t + down), csimd_load(t + 2 &* down), csimd_load(t + 3 &* down),
        csimd_load(t + 4 &* down)
      ) { row, value in
        let place = to + row &* 5 &* frequencyStride
        if partial { csimd_store_first(place, value, rest) } else { csimd_store(place, value) }
      }
    }
    c &+= lanes
  }
}

@inline(__always)
func transformSmallWeights(_ g0: V, _ g1: V, _ g2: V) -> (V, V, V, V, V) {
  let odd = g1 * csimd_splat(0.25)
  let even1 = csimd_fma(g2, csimd_splat(-0.125), g0 * csimd_splat(-0.5))
  let even2 = csimd_fma(g2, csimd_splat(0.375), g0 * csimd_splat(1.0 / 6))
  return (even1 - odd, even1 + odd, even2 + odd, even2 - odd, g2)
}

/// One of the five; the same bits, as a product with ¼ is exact above the subnormal numbers.
@inline(__always)
func smallWeight(_ index: Int, _ g0: V, _ g1: V, _ g2: V) -> V {
  if index == 4 { return g2 }
  let even =
    index < 2
    ? csimd_fma(g2, csimd_splat(-0.125), g0 * csimd_splat(-0.5))
    : csimd_fma(g2, csimd_splat(0.375), g0 * csimd_splat(1.0 / 6))
  return csimd_fma(g1, csimd_splat(index == 0 || index == 3 ? -0.25 : 0.25), even)
}

func winogradSmallWeights(
  _ panel: In, _ tapStride: Int, _ depth: Int, _ first: Int, _ end: Int, _ u: Out, _ frequencyStride: Int
) {
  winogradWeights25(
    BPanel(panel: panel), tapStride, depth, first..<end, u, frequencyStride, transformSmallWeights)
}

#if !KERNELS_PORTABLE
  /// `winogradSmallWeights` on a panel of float16.
  func winogradSmallHalfWeights(
    _ panel: In, _ tapStride: Int, _ depth: Int, _ first: Int, _ end: Int, _ u: Out, _ frequencyStride: Int
  ) {
    winogradWeights25(
      BPanel(panel: panel, storage: .halves), tapStride, depth, first..<end, u, frequencyStride, transformSmallWeights)
  }
#endif

/// Weights for 25 products, `transform` applied to rows and then to columns, in registers: 15 values between them.
@inline(__always)
func winogradWeights25(
  _ b: BPanel, _ tapStride: Int, _ depth: Int, _ vectors: Range<Int>, _ u: Out, _ frequencyStride: Int,
  _ transform: (V, V, V) -> (V, V, V, V, V)
) {
  for k in 0..<depth {
    let row = b.panel + k &* b.width
    // Both vectors of a row of float16 are in one line.
    if b.storage == .halves { fetchTaps(row + weightsAhead &* b.width, tapStride) }
    for half in vectors {
      let offset = k &* tileColumns &+ half &* lanes
      let from = row + half &* (b.width / 2)
      if b.storage == .words { fetchTaps(from + weightsAhead &* b.width, tapStride) }
      @inline(__always) func taps(_ index: Int) -> (V, V, V, V, V) {
        let p = from + 3 &* index &* tapStride
        return transform(b.load(p), b.load(p + tapStride), b.load(p + 2 &* tapStride))
      }
      @inline(__always) func column(_ index: Int, _ g0: V, _ g1: V, _ g2: V) {
        let to = u + (index &* frequencyStride &+ offset)
        let t = transform(g0, g1, g2)
        csimd_store(to, t.0)
        csimd_store(to + 5 &* frequencyStride, t.1)
        csimd_store(to + 10 &* frequencyStride, t.2)
        csimd_store(to + 15 &* frequencyStride, t.3)
        csimd_store(to + 20 &* frequencyStride, t.4)
      }
      let (a, b, c) = (taps(0), taps(1), taps(2))
      column(0, a.0, b.0, c.0)
      column(1, a.1, b.1, c.1)
      column(2, a.2, b.2, c.2)
      column(3, a.3, b.3, c.3)
      column(4, a.4, b.4, c.4)
    }
  }
}

@inline(__always)
private func transformOutput(_ m0: V, _ m1: V, _ m2: V, _ m3: V, _ m4: V, _ store: (Int, V) -> Void) {
  let (sum1, difference1, sum2, difference2) = (m0 + m1, m0 - m1, m2 + m3, m2 - m3)
  store(0, sum1 + sum2)
  store(1, csimd_fma(difference1, csimd_splat(0.5), difference2 * csimd_splat(1.5)))
  store(2, csimd_fma(sum1, csimd_splat(0.25), csimd_fma(sum2, csimd_splat(2.25), m4)))
}

func winogradSmallOutput(
  _ m: In, _ frequencyStride: Int, _ rows: Int, _ columns: Int, _ channels: Int, _ y: Out, _ pixelStride: Int,
  _ lineStride: Int, _ bias: In?, _ residual: In?, _ activation: Int32, _ scratch: Out
) {
  withActivation(activation) { f in
    var c = 0
    while c < channels {
      let rest = channels &- c
      let partial = rest < lanes
      for row in 0..<5 {
        let from = m + (5 &* row &* frequencyStride &+ c)
        let t = scratch + row &* 3 &* lanes
        transformOutput(
          csimd_load(from), csimd_load(from + frequencyStride), csimd_load(from + 2 &* frequencyStride),
          csimd_load(from + 3 &* frequencyStride), csimd_load(from + 4 &* frequencyStride)
        ) { csimd_store(t + $0 &* lanes, $1) }
      }
      let shift = bias.map { partial ? csimd_load_first($0 + c, rest) : csimd_load($0 + c) } ?? csimd_splat(0)
      for column in 0..<columns {
        let t = scratch + column &* lanes
        let down = 3 &* lanes
        transformOutput(
          csimd_load(t), csimd_load(t + down), csimd_load(t + 2 &* down), csimd_load(t + 3 &* down),
          csimd_load(t + 4 &* down)
        ) { row, value in
          if row < rows {
            let place = row &* lineStride &+ column &* pixelStride &+ c
            var sum = value + shift
            if let residual {
              sum = sum + (partial ? csimd_load_first(residual + place, rest) : csimd_load(residual + place))
            }
            if partial { csimd_store_first(y + place, f(sum), rest) } else { csimd_store(y + place, f(sum)) }
          }
        }
      }
      c &+= lanes
    }
  }
}
