internal import CSIMD

// The convolution over an image of twice the size with products of bfloat16 pairs, as WinogradNarrow.swift has it for others.

/// `KernelTable.enlargedWinograd.input`, rounded: words of two channels.
func winogradEnlargedPairInput(
  _ x: In, _ pixelStride: Int, _ lineStride: Int, _ yBegin: Int, _ yEnd: Int, _ xBegin: Int, _ xEnd: Int,
  _ channels: Int, _ v: Out, _ frequencyStride: Int, _ shift: Int, _ yPhase: Int, _ xPhase: Int, _ scratch: Out
) {
  let window = EnlargedWindow(
    x: x, pixelStride: pixelStride, lineStride: lineStride, rows: yBegin..<yEnd, columns: xBegin..<xEnd,
    channels: channels)
  var c = 0
  while c < channels {
    window.transform(c) { csimd_store(scratch + $0 &* lanes, $1) }
    window.transform(c &+ lanes) { place, value in
      let to = v + (place &* frequencyStride &+ c / 2)
      csimd_prefetch_write(to + 2 &* lanes)
      csimd_store(to, csimd_round_two_to_bfloat16(csimd_load(scratch + place &* lanes), value))
    }
    c &+= 2 &* lanes
  }
}

/// A 3×3 kernel's rows transformed.
private typealias WeightRows = ((V, V, V, V, V), (V, V, V, V, V), (V, V, V, V, V))

@inline(__always)
private func transformRows(_ tap: (Int) -> V) -> WeightRows {
  (
    transformEnlargedKernel(tap(0), tap(1), tap(2)), transformEnlargedKernel(tap(3), tap(4), tap(5)),
    transformEnlargedKernel(tap(6), tap(7), tap(8))
  )
}

/// One word of transformed weights for every frequency from two channels' rows.
@inline(__always)
private func storePairs(_ low: WeightRows, _ high: WeightRows, _ u: Out, _ frequencyStride: Int) {
  @inline(__always) func column(_ index: Int, _ l0: V, _ l1: V, _ l2: V, _ h0: V, _ h1: V, _ h2: V) {
    let to = u + index &* frequencyStride
    let l = transformEnlargedKernel(l0, l1, l2)
    let h = transformEnlargedKernel(h0, h1, h2)
    csimd_store(to, csimd_pair(l.0, h.0))
    csimd_store(to + 5 &* frequencyStride, csimd_pair(l.1, h.1))
    csimd_store(to + 10 &* frequencyStride, csimd_pair(l.2, h.2))
    csimd_store(to + 15 &* frequencyStride, csimd_pair(l.3, h.3))
    csimd_store(to + 20 &* frequencyStride, csimd_pair(l.4, h.4))
  }
  column(0, low.0.0, low.1.0, low.2.0, high.0.0, high.1.0, high.2.0)
  column(1, low.0.1, low.1.1, low.2.1, high.0.1, high.1.1, high.2.1)
  column(2, low.0.2, low.1.2, low.2.2, high.0.2, high.1.2, high.2.2)
  column(3, low.0.3, low.1.3, low.2.3, high.0.3, high.1.3, high.2.3)
  column(4, low.0.4, low.1.4, low.2.4, high.0.4, high.1.4, high.2.4)
}

func winogradEnlargedPairWeights(
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

func winogradEnlargedByteWeights(
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
