internal import CSIMD

// Winograd's F(4×4, 3×3) with products of bfloat16 pairs: windows and narrow weights are transformed in float32 and rounded on
// their way to memory.

/// `KernelTable.winograd.input`, rounded: words of two channels.
func winogradPairInput(
  _ x: In, _ pixelStride: Int, _ lineStride: Int, _ yBegin: Int, _ yEnd: Int, _ xBegin: Int, _ xEnd: Int,
  _ channels: Int, _ v: Out, _ frequencyStride: Int, _ shift: Int, _ yPhase: Int, _ xPhase: Int, _ scratch: Out
) {
  let window = WinogradWindow(
    x: x, pixelStride: pixelStride, lineStride: lineStride, rows: yBegin..<yEnd, columns: xBegin..<xEnd,
    channels: channels, shift: shift, yPhase: yPhase, xPhase: xPhase)
  let second = scratch + 36 &* lanes
  var c = 0
  while c < channels {
    window.transformRows(c, scratch)
    window.transformRows(c &+ lanes, second)
    for column in 0..<6 {
      let to = v + (column &* frequencyStride &+ c / 2)
      window.transformColumn(column, scratch) { csimd_store(scratch + ($0 &* 6 &+ column) &* lanes, $1) }
      window.transformColumn(column, second) { row, value in
        let place = to + row &* 6 &* frequencyStride
        csimd_prefetch_write(place + 2 &* lanes)
        csimd_store(
          place, csimd_round_two_to_bfloat16(csimd_load(scratch + (row &* 6 &+ column) &* lanes), value))
      }
    }
    c &+= 2 &* lanes
  }
}

/// A 3×3 kernel's rows transformed.
private typealias WeightRows = (
  (V, V, V, V, V, V), (V, V, V, V, V, V), (V, V, V, V, V, V)
)

@inline(__always)
private func transformRows(_ tap: (Int) -> V) -> WeightRows {
  (
    transformKernel4(tap(0), tap(1), tap(2)), transformKernel4(tap(3), tap(4), tap(5)),
    transformKernel4(tap(6), tap(7), tap(8))
  )
}

/// One word of transformed weights for every frequency from two channels' rows.
@inline(__always)
private func storePairs(_ low: WeightRows, _ high: WeightRows, _ u: Out, _ frequencyStride: Int) {
  @inline(__always) func column(_ index: Int, _ l0: V, _ l1: V, _ l2: V, _ h0: V, _ h1: V, _ h2: V) {
    let to = u + index &* frequencyStride
    let l = transformKernel4(l0, l1, l2)
    let h = transformKernel4(h0, h1, h2)
    csimd_store(to, csimd_pair(l.0, h.0))
    csimd_store(to + 6 &* frequencyStride, csimd_pair(l.1, h.1))
    csimd_store(to + 12 &* frequencyStride, csimd_pair(l.2, h.2))
    csimd_store(to + 18 &* frequencyStride, csimd_pair(l.3, h.3))
    csimd_store(to + 24 &* frequencyStride, csimd_pair(l.4, h.4))
    csimd_store(to + 30 &* frequencyStride, csimd_pair(l.5, h.5))
  }
  column(0, low.0.0, low.1.0, low.2.0, high.0.0, high.1.0, high.2.0)
  column(1, low.0.1, low.1.1, low.2.1, high.0.1, high.1.1, high.2.1)
  column(2, low.0.2, low.1.2, low.2.2, high.0.2, high.1.2, high.2.2)
  column(3, low.0.3, low.1.3, low.2.3, high.0.3, high.1.3, high.2.3)
  column(4, low.0.4, low.1.4, low.2.4, high.0.4, high.1.4, high.2.4)
  column(5, low.0.5, low.1.5, low.2.5, high.0.5, high.1.5, high.2.5)
}

func winogradPairWeights(
  _ panel: In, _ tapStride: Int, _ words: Int, _ first: Int, _ end: Int, _ u: Out, _ frequencyStride: Int
) {
  for k in 0..<words {
    for half in first..<end {
      let offset = k &* tileColumns &+ half &* lanes
      let from = panel + offset
      fetchTaps(from + weightsAhead &* tileColumns, tapStride)
      storePairs(
        transformRows { csimd_low_half(csimd_load(from + $0 &* tapStride)) },
        transformRows { csimd_high_half(csimd_load(from + $0 &* tapStride)) }, u + offset, frequencyStride)
    }
  }
}

func winogradByteWeights(
  _ panel: In, _ tapStride: Int, _ words: Int, _ first: Int, _ end: Int, _ scales: In, _ u: Out, _ frequencyStride: Int
) {
  for k in 0..<words {
    for half in first..<end {
      let column = half &* lanes
      let from = panel + (k &* tileColumns &+ column)
      let scale = csimd_load(scales + column)
      fetchTaps(from + weightsAhead &* tileColumns, tapStride)
      @inline(__always) func rows(_ index: Int32) -> WeightRows {
        transformRows { csimd_signed_byte(csimd_load(from + $0 &* tapStride), index) * scale }
      }
      let to = u + (2 &* k &* tileColumns &+ column)
      storePairs(rows(0), rows(1), to, frequencyStride)
      storePairs(rows(2), rows(3), to + tileColumns, frequencyStride)
    }
  }
}
