internal import CSIMD

// The convolution over an image of twice the size in float32; the transforms are in WinogradEnlargedTransforms.swift.

func winogradEnlargedInput(
  _ x: In, _ pixelStride: Int, _ lineStride: Int, _ yBegin: Int, _ yEnd: Int, _ xBegin: Int, _ xEnd: Int,
  _ channels: Int, _ v: Out, _ frequencyStride: Int, _ shift: Int, _ yPhase: Int, _ xPhase: Int, _ scratch: Out
) {
  let window = EnlargedWindow(
    x: x, pixelStride: pixelStride, lineStride: lineStride, rows: yBegin..<yEnd, columns: xBegin..<xEnd,
    channels: channels)
  var c = 0
  while c < channels {
    let rest = channels &- c
    window.transform(c) { place, value in
      let to = v + (place &* frequencyStride &+ c)
      csimd_prefetch_write(to + 2 &* lanes)
      if rest < lanes { csimd_store_first(to, value, rest) } else { csimd_store(to, value) }
    }
    c &+= lanes
  }
}

func winogradEnlargedWeights(_ panel: In, _ tapStride: Int, _ depth: Int, _ u: Out, _ frequencyStride: Int) {
  enlargedWeights(BPanel(panel: panel, width: tileColumns, isHalf: false), tapStride, depth, u, frequencyStride)
}

#if !KERNELS_PORTABLE
  /// `winogradEnlargedWeights` on a panel of float16.
  func winogradEnlargedHalfWeights(_ panel: In, _ tapStride: Int, _ depth: Int, _ u: Out, _ frequencyStride: Int) {
    enlargedWeights(BPanel(panel: panel, width: lanes, isHalf: true), tapStride, depth, u, frequencyStride)
  }
#endif

@inline(__always)
private func enlargedWeights(_ b: BPanel, _ tapStride: Int, _ depth: Int, _ u: Out, _ frequencyStride: Int) {
  for k in 0..<depth {
    for half in 0..<2 {
      let offset = k &* tileColumns &+ half &* lanes
      let from = b.panel + (k &* b.width &+ half &* (b.width / 2))
      @inline(__always) func row(_ index: Int) -> (V, V, V, V, V) {
        let p = from + 3 &* index &* tapStride
        csimd_prefetch(p + weightsAhead &* b.width)
        csimd_prefetch(p + (tapStride &+ weightsAhead &* b.width))
        csimd_prefetch(p + (2 &* tapStride &+ weightsAhead &* b.width))
        return transformEnlargedKernel(b.load(p), b.load(p + tapStride), b.load(p + 2 &* tapStride))
      }
      @inline(__always) func column(_ index: Int, _ g0: V, _ g1: V, _ g2: V) {
        let to = u + (index &* frequencyStride &+ offset)
        let t = transformEnlargedKernel(g0, g1, g2)
        csimd_store(to, t.0)
        csimd_store(to + 5 &* frequencyStride, t.1)
        csimd_store(to + 10 &* frequencyStride, t.2)
        csimd_store(to + 15 &* frequencyStride, t.3)
        csimd_store(to + 20 &* frequencyStride, t.4)
      }
      let (a, b, c) = (row(0), row(1), row(2))
      column(0, a.0, b.0, c.0)
      column(1, a.1, b.1, c.1)
      column(2, a.2, b.2, c.2)
      column(3, a.3, b.3, c.3)
      column(4, a.4, b.4, c.4)
    }
  }
}

@inline(__always)
private func transformOutput(_ a: V, _ t: V, _ p: V, _ q: V, _ b: V, _ store: (Int, V) -> Void) {
  store(0, (t + p) + a)
  store(1, t - q)
  store(2, t - p)
  store(3, (t + q) + b)
}

func winogradEnlargedOutput(
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
        let t = scratch + row &* 4 &* lanes
        // The next tile's products lie one row of the panel further.
        for i in 0..<5 { csimd_prefetch(from + (i &* frequencyStride &+ tileColumns)) }
        transformOutput(
          csimd_load(from), csimd_load(from + frequencyStride), csimd_load(from + 2 &* frequencyStride),
          csimd_load(from + 3 &* frequencyStride), csimd_load(from + 4 &* frequencyStride)
        ) { csimd_store(t + $0 &* lanes, $1) }
      }
      let shift = bias.map { partial ? csimd_load_first($0 + c, rest) : csimd_load($0 + c) } ?? csimd_splat(0)
      for column in 0..<columns {
        let t = scratch + column &* lanes
        let down = 4 &* lanes
        transformOutput(
          csimd_load(t), csimd_load(t + down), csimd_load(t + 2 &* down), csimd_load(t + 3 &* down),
          csimd_load(t + 4 &* down)
        ) { row, value in
          if row < rows {
            storeOutput(
              value + shift, y, residual, row &* lineStride &+ column &* pixelStride &+ c, ahead: 4 &* pixelStride,
              rest, f)
          }
        }
      }
      c &+= lanes
    }
  }
}

/// One vector of outputs, at most `rest` of it, at `place` of `y` and `residual`.
@inline(__always)
private func storeOutput(
  _ value: V, _ y: Out, _ residual: In?, _ place: Int, ahead: Int, _ rest: Int, _ activation: (V) -> V
) {
  var sum = value
  csimd_prefetch_write(y + (place &+ ahead))
  if let residual {
    csimd_prefetch(residual + (place &+ ahead))
    sum = sum + (rest < lanes ? csimd_load_first(residual + place, rest) : csimd_load(residual + place))
  }
  if rest < lanes {
    csimd_store_first(y + place, activation(sum), rest)
  } else {
    csimd_store(y + place, activation(sum))
  }
}
