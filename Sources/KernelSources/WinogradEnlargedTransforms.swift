internal import CSIMD

// 4×4 outputs of a 3×3 convolution over an image whose pixels were doubled in both directions, 25 products instead of the 36 of
// F(4×4, 3×3): of a line x0 x1 x1 x2 x2 x3 there are four values, and five products give the four outputs
//   y0 = g0 x0 + (g1 + g2) x1    y1 = (g0 + g1) x1 + g2 x2    y2 = g0 x1 + (g1 + g2) x2    y3 = (g0 + g1) x2 + g2 x3
// One-dimensional transforms, applied to rows and then to columns:
//   input    a = x0 − x2;  t = x1 + x2;  d = x1 − x2, which serves two products;  b = x3 − x1
//   weights  a: g0;  t: ½ (g0 + g1 + g2);  d: ½ (g1 + g2 − g0) and ½ (g2 − g0 − g1);  b: g2
//   output   with products A, T, P, Q, B:  y0 = T + P + A;  y1 = T − Q;  y2 = T − P;  y3 = T + Q + B
// No factor but ½, so that rounding errors are hardly larger than those of the plain sum.

/// The window over four by four small pixels behind one of six by six; of its rows and columns 0, 1, 3 and 5 say what is there.
struct EnlargedWindow {
  let x: In
  let pixelStride: Int
  let lineStride: Int
  let rows: Range<Int>
  let columns: Range<Int>
  let channels: Int

  /// 16 vectors for the channels from `c` on, by row and column: `store(place, vector)`.
  @inline(__always)
  func transform(_ c: Int, _ store: (Int, V) -> Void) {
    let rest = channels &- c
    @inline(__always) func pixel(_ row: Int, _ column: Int) -> V {
      let (y, x0) = (max(0, 2 &* row &- 1), max(0, 2 &* column &- 1))
      if y < rows.lowerBound || y >= rows.upperBound || x0 < columns.lowerBound || x0 >= columns.upperBound || rest <= 0
      {
        return csimd_splat(0)
      }
      let p = x + (row &* lineStride &+ column &* pixelStride &+ c)
      return rest < lanes ? csimd_load_first(p, rest) : csimd_load(p)
    }
    @inline(__always) func line(_ row: Int) -> (V, V, V, V) {
      transformEnlarged(pixel(row, 0), pixel(row, 1), pixel(row, 2), pixel(row, 3))
    }
    let (r0, r1, r2, r3) = (line(0), line(1), line(2), line(3))
    @inline(__always) func column(_ index: Int, _ v0: V, _ v1: V, _ v2: V, _ v3: V) {
      let v = transformEnlarged(v0, v1, v2, v3)
      store(index, v.0)
      store(index &+ 4, v.1)
      store(index &+ 8, v.2)
      store(index &+ 12, v.3)
    }
    column(0, r0.0, r1.0, r2.0, r3.0)
    column(1, r0.1, r1.1, r2.1, r3.1)
    column(2, r0.2, r1.2, r2.2, r3.2)
    column(3, r0.3, r1.3, r2.3, r3.3)
  }
}

@inline(__always)
private func transformEnlarged(_ x0: V, _ x1: V, _ x2: V, _ x3: V) -> (V, V, V, V) {
  (x0 - x2, x1 + x2, x1 - x2, x3 - x1)
}

@inline(__always)
func transformEnlargedKernel(_ g0: V, _ g1: V, _ g2: V) -> (V, V, V, V, V) {
  let half = csimd_splat(0.5)
  let (h0, h1, h2) = (g0 * half, g1 * half, g2 * half)
  let sum = h1 + h2
  return (g0, sum + h0, sum - h0, (h2 - h1) - h0, g2)
}
