internal import CSIMD

// Winograd's F(4×4, 3×3) in float32; the transforms are in WinogradTransforms.swift.

func winogradInput(
  _ x: In, _ pixelStride: Int, _ lineStride: Int, _ yBegin: Int, _ yEnd: Int, _ xBegin: Int, _ xEnd: Int,
  _ channels: Int, _ v: Out, _ frequencyStride: Int, _ shift: Int, _ yPhase: Int, _ xPhase: Int, _ scratch: Out
) {
  let window = WinogradWindow(
    x: x, pixelStride: pixelStride, lineStride: lineStride, rows: yBegin..<yEnd, columns: xBegin..<xEnd,
    channels: channels, shift: shift, yPhase: yPhase, xPhase: xPhase)
  var c = 0
  while c < channels {
    let rest = channels &- c
    window.transformRows(c, scratch)
    for column in 0..<6 {
      let to = v + (column &* frequencyStride &+ c)
      window.transformColumn(column, scratch) { row, value in
        let place = to + row &* 6 &* frequencyStride
        // The 36 places are more streams than the hardware follows; ask for the lines after the next.
        csimd_prefetch_write(place + 2 &* lanes)
        if rest < lanes { csimd_store_first(place, value, rest) } else { csimd_store(place, value) }
      }
    }
    c &+= lanes
  }
}

func winogradWeights(
  _ panel: In, _ tapStride: Int, _ depth: Int, _ first: Int, _ end: Int, _ u: Out, _ frequencyStride: Int
) {
  winogradWeights(BPanel(panel: panel), tapStride, depth, first..<end, u, frequencyStride)
}

#if !KERNELS_PORTABLE
  /// `winogradWeights` on a panel of float16.
  func winogradHalfWeights(
    _ panel: In, _ tapStride: Int, _ depth: Int, _ first: Int, _ end: Int, _ u: Out, _ frequencyStride: Int
  ) {
    winogradWeights(BPanel(panel: panel, storage: .halves), tapStride, depth, first..<end, u, frequencyStride)
  }
#endif

/// Both passes in registers: 18 values between them.
@inline(__always)
private func winogradWeights(
  _ b: BPanel, _ tapStride: Int, _ depth: Int, _ vectors: Range<Int>, _ u: Out, _ frequencyStride: Int
) {
  for k in 0..<depth {
    let row = b.panel + k &* b.width
    // Both vectors of a row of float16 are in one line.
    if b.storage == .halves { fetchTaps(row + weightsAhead &* b.width, tapStride) }
    for half in vectors {
      let offset = k &* tileColumns &+ half &* lanes
      let from = row + half &* (b.width / 2)
      if b.storage == .words { fetchTaps(from + weightsAhead &* b.width, tapStride) }
      @inline(__always) func taps(_ index: Int) -> (V, V, V, V, V, V) {
        let p = from + 3 &* index &* tapStride
        return transformKernel4(b.load(p), b.load(p + tapStride), b.load(p + 2 &* tapStride))
      }
      @inline(__always) func column(_ index: Int, _ g0: V, _ g1: V, _ g2: V) {
        let to = u + (index &* frequencyStride &+ offset)
        let t = transformKernel4(g0, g1, g2)
        csimd_store(to, t.0)
        csimd_store(to + 6 &* frequencyStride, t.1)
        csimd_store(to + 12 &* frequencyStride, t.2)
        csimd_store(to + 18 &* frequencyStride, t.3)
        csimd_store(to + 24 &* frequencyStride, t.4)
        csimd_store(to + 30 &* frequencyStride, t.5)
      }
      let (a, b, c) = (taps(0), taps(1), taps(2))
      column(0, a.0, b.0, c.0)
      column(1, a.1, b.1, c.1)
      column(2, a.2, b.2, c.2)
      column(3, a.3, b.3, c.3)
      column(4, a.4, b.4, c.4)
      column(5, a.5, b.5, c.5)
    }
  }
}

@inline(__always)
private func transformOutput(
  _ m0: V, _ m1: V, _ m2: V, _ m3: V, _ m4: V, _ m5: V, _ store: (Int, V) -> Void
) {
  let s1 = m1 + m2
  let d1 = m1 - m2
  let s2 = m3 + m4
  let d2 = m3 - m4
  store(0, m0 + (s1 + s2))
  store(1, csimd_fma(d1, csimd_splat(pointA), d2 * csimd_splat(pointB)))
  store(2, csimd_fma(s1, csimd_splat(0.5), s2 + s2))
  store(3, csimd_fma(d1, csimd_splat(0.5 * pointA), csimd_fma(d2, csimd_splat(2 * pointB), m5)))
}

func winogradOutput(
  _ m: In, _ frequencyStride: Int, _ rows: Int, _ columns: Int, _ channels: Int, _ y: Out, _ pixelStride: Int,
  _ lineStride: Int, _ bias: In?, _ residual: In?, _ activation: Int32, _ scratch: Out
) {
  withActivation(activation) { f in
    var c = 0
    while c < channels {
      let rest = channels &- c
      let partial = rest < lanes
      for row in 0..<6 {
        let from = m + (6 &* row &* frequencyStride &+ c)
        let t = scratch + row &* 4 &* lanes
        // The next tile's products lie one row of the panel further.
        for i in 0..<6 { csimd_prefetch(from + (i &* frequencyStride &+ tileColumns)) }
        transformOutput(
          csimd_load(from), csimd_load(from + frequencyStride), csimd_load(from + 2 &* frequencyStride),
          csimd_load(from + 3 &* frequencyStride), csimd_load(from + 4 &* frequencyStride),
          csimd_load(from + 5 &* frequencyStride)
        ) { csimd_store(t + $0 &* lanes, $1) }
      }
      let shift = bias.map { partial ? csimd_load_first($0 + c, rest) : csimd_load($0 + c) } ?? csimd_splat(0)
      for column in 0..<columns {
        let t = scratch + column &* lanes
        let down = 4 &* lanes
        transformOutput(
          csimd_load(t), csimd_load(t + down), csimd_load(t + 2 &* down), csimd_load(t + 3 &* down),
          csimd_load(t + 4 &* down), csimd_load(t + 5 &* down)
        ) { row, value in
          if row < rows {
            let place = row &* lineStride &+ column &* pixelStride &+ c
            var sum = value + shift
            csimd_prefetch_write(y + (place &+ 4 &* pixelStride))
            if let residual {
              csimd_prefetch(residual + (place &+ 4 &* pixelStride))
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
