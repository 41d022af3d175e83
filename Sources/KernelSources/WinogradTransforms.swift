internal import CSIMD

// Winograd's F(4×4, 3×3) with the points 0, ±a, ±b, ∞; a = √½, b = √2. One-dimensional transforms, applied to rows and
// then to columns:
//   input    0: d0 − 2.5 d2 + d4;  ±a: (d4 − 2 d2) ± a (d3 − 2 d1);  ±b: (d4 − ½ d2) ± b (d3 − ½ d1);  ∞: d1 − 2.5 d3 + d5
//   weights  0: g0;  ±a: −(2 g0 + g2) / 3 ∓ (2a / 3) g1;  ±b: (g0 + 2 g2) / 6 ± (b / 6) g1;  ∞: g2
//   output   y0 = m0 + (m1 + m2) + (m3 + m4);  y1 = a (m1 − m2) + b (m3 − m4);  y2 = ½ (m1 + m2) + 2 (m3 + m4);
//            y3 = ½a (m1 − m2) + 2b (m3 − m4) + m5

@inline(__always) var pointA: Float { 0.707_106_78 }
@inline(__always) var pointB: Float { 1.414_213_56 }

/// Six values in, six out, at distance `stride`.
@inline(__always)
func transformWindow4(
  _ d0: V, _ d1: V, _ d2: V, _ d3: V, _ d4: V, _ d5: V, _ store: (Int, V) -> Void
) {
  let two = csimd_splat(-2)
  let half = csimd_splat(-0.5)
  let middle = csimd_splat(-2.5)
  store(0, csimd_fma(d2, middle, d0 + d4))
  let e1 = csimd_fma(d2, two, d4)
  let o1 = csimd_fma(d1, two, d3)
  store(1, csimd_fma(o1, csimd_splat(pointA), e1))
  store(2, csimd_fma(o1, csimd_splat(-pointA), e1))
  let e2 = csimd_fma(d2, half, d4)
  let o2 = csimd_fma(d1, half, d3)
  store(3, csimd_fma(o2, csimd_splat(pointB), e2))
  store(4, csimd_fma(o2, csimd_splat(-pointB), e2))
  store(5, csimd_fma(d3, middle, d1 + d5))
}

/// A window over an image, `channels` of it from the first pixel on, as `WinogradKernels.input` describes it.
struct WinogradWindow {
  let x: In
  let pixelStride: Int
  let lineStride: Int
  let rows: Range<Int>
  let columns: Range<Int>
  let channels: Int
  let shift: Int
  let yPhase: Int
  let xPhase: Int

  /// Its rows transformed, for one vector of channels from `c` on: 36 vectors, row after row.
  @inline(__always)
  func transformRows(_ c: Int, _ t: Out) {
    let rest = channels &- c
    let partial = rest < lanes
    let zero = csimd_splat(0)
    let whole = columns.lowerBound == 0 && columns.upperBound == 6
    let x1 = ((1 &+ xPhase) &>> shift) &* pixelStride
    let x2 = ((2 &+ xPhase) &>> shift) &* pixelStride
    let x3 = ((3 &+ xPhase) &>> shift) &* pixelStride
    let x4 = ((4 &+ xPhase) &>> shift) &* pixelStride
    let x5 = ((5 &+ xPhase) &>> shift) &* pixelStride
    for row in 0..<6 {
      let to = t + row &* 6 &* lanes
      if row < rows.lowerBound || row >= rows.upperBound || rest <= 0 {
        for i in 0..<6 { csimd_store(to + i &* lanes, zero) }
        continue
      }
      let p = x + (((row &+ yPhase) &>> shift) &* lineStride &+ c)
      let d0: V, d1: V, d2: V, d3: V, d4: V, d5: V
      if whole && !partial {
        d0 = csimd_load(p)
        d1 = csimd_load(p + x1)
        d2 = csimd_load(p + x2)
        d3 = csimd_load(p + x3)
        d4 = csimd_load(p + x4)
        d5 = csimd_load(p + x5)
      } else {
        @inline(__always) func pixel(_ i: Int, _ offset: Int) -> V {
          if i < columns.lowerBound || i >= columns.upperBound { return zero }
          return partial ? csimd_load_first(p + offset, rest) : csimd_load(p + offset)
        }
        d0 = pixel(0, 0)
        d1 = pixel(1, x1)
        d2 = pixel(2, x2)
        d3 = pixel(3, x3)
        d4 = pixel(4, x4)
        d5 = pixel(5, x5)
      }
      transformWindow4(d0, d1, d2, d3, d4, d5) { csimd_store(to + $0 &* lanes, $1) }
    }
  }

  /// What `transformRows` left, transformed along column `column`: six vectors.
  @inline(__always)
  func transformColumn(_ column: Int, _ t: Out, _ store: (Int, V) -> Void) {
    let from = t + column &* lanes
    let down = 6 &* lanes
    transformWindow4(
      csimd_load(from), csimd_load(from + down), csimd_load(from + 2 &* down), csimd_load(from + 3 &* down),
      csimd_load(from + 4 &* down), csimd_load(from + 5 &* down), store)
  }
}

/// Rows of weights that are asked for before they are needed; nine short streams are more than the hardware follows.
@inline(__always) var weightsAhead: Int { 12 }

/// Asks for a line of every tap.
@inline(__always)
func fetchTaps(_ line: In, _ tapStride: Int) {
  for tap in 0..<9 { csimd_prefetch(line + tap &* tapStride) }
}

@inline(__always)
func transformKernel4(_ g0: V, _ g1: V, _ g2: V) -> (V, V, V, V, V, V) {
  let third = csimd_splat(-1.0 / 3)
  let e1 = csimd_fma(g0, csimd_splat(-2.0 / 3), g2 * third)
  let e2 = csimd_fma(g2, csimd_splat(1.0 / 3), g0 * csimd_splat(1.0 / 6))
  return (
    g0, csimd_fma(g1, csimd_splat(-2 * pointA / 3), e1), csimd_fma(g1, csimd_splat(2 * pointA / 3), e1),
    csimd_fma(g1, csimd_splat(pointB / 6), e2), csimd_fma(g1, csimd_splat(-pointB / 6), e2), g2
  )
}
