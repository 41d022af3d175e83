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

func winogradEnlargedWeights(
  _ panel: In, _ tapStride: Int, _ depth: Int, _ first: Int, _ end: Int, _ u: Out, _ frequencyStride: Int
) {
  winogradWeights25(
    BPanel(panel: panel), tapStride, depth, first..<end, u, frequencyStride,
    transformEnlargedKernel)
}

#if !KERNELS_PORTABLE
  /// `winogradEnlargedWeights` on a panel of float16.
  func winogradEnlargedHalfWeights(
    _ panel: In, _ tapStride: Int, _ depth: Int, _ first: Int, _ end: Int, _ u: Out, _ frequencyStride: Int
  ) {
    winogradWeights25(
      BPanel(panel: panel, storage: .halves), tapStride, depth, first..<end, u, frequencyStride, transformEnlargedKernel
    )
  }
#endif

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
