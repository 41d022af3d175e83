internal import CSIMD

// Float32 products of numbers that are sums of two bfloat16: `SplitKernels`.

func splitPanel(
  _ rows: Int, _ columns: Int, _ depth: Int, _ a: In, _ b: In, _ c: Out, _ cStride: Int, _ accumulate: Bool,
  _ edge: Out, _ next: In?, _ ahead: In?, _ aheadStride: Int, _ aheadLines: Int
) {
  multiplySplit(
    rows, columns, depth, a, b, c, cStride, accumulate, edge, next,
    RowsAhead(address: ahead, stride: aheadStride, lines: aheadLines), PanelAhead(after: b, depth: depth))
}

/// `splitPanel` on a panel of float16, which is split into `edge`.
func splitHalfPanel(
  _ rows: Int, _ columns: Int, _ depth: Int, _ a: In, _ b: In, _ c: Out, _ cStride: Int, _ accumulate: Bool,
  _ edge: Out, _ next: In?, _ ahead: In?, _ aheadStride: Int, _ aheadLines: Int
) {
  let panel = edge + edgeFloatCount
  let halves = UnsafeRawPointer(b).assumingMemoryBound(to: UInt16.self)
  splitRows(depth, panel) { csimd_from_half(halves + $0) }
  multiplySplit(
    rows, columns, depth, a, In(panel), c, cStride, accumulate, edge, next,
    RowsAhead(address: ahead, stride: aheadStride, lines: aheadLines),
    PanelAhead(first: b + depth &* tileColumns / 2, lines: depth))
}

@inline(__always)
private func multiplySplit(
  _ rows: Int, _ columns: Int, _ depth: Int, _ a: In, _ b: In, _ c: Out, _ cStride: Int, _ accumulate: Bool,
  _ edge: Out, _ next: In?, _ rowsAhead: RowsAhead, _ panelAhead: PanelAhead
) {
  multiplyPanel(
    rows, columns, depth, a, b, c, cStride, accumulate, edge, next, rowsAhead, panelAhead, isSplit: true,
    csimd_tiles_pairs_upper_left, csimd_tiles_pairs_upper_right, csimd_tiles_pairs_lower_left,
    csimd_tiles_pairs_lower_right)
}

/// Two vectors of a row as one of words with high parts and one with low parts.
@inline(__always)
private func storeWords(_ place: Out, _ first: V, _ second: V) {
  csimd_store(place, csimd_round_two_to_bfloat16(first, second))
  let high = UnsafeRawPointer(place).assumingMemoryBound(to: UInt16.self)
  csimd_store(
    place + lanes,
    csimd_round_two_to_bfloat16(first - csimd_from_bfloat16(high), second - csimd_from_bfloat16(high + lanes)))
}

/// The row of a panel with the high parts of that pair of elements; their low parts lie `lanes` rows further.
@inline(__always)
private func row(ofPair pair: Int) -> Int { pair / lanes &* lanes &+ pair }

func splitRow(_ x: In, _ out: Out, _ count: Int) {
  var i = 0
  while i < count {
    storeWords(out + i, csimd_load(x + i), csimd_load(x + i + lanes))
    i &+= tileColumns
  }
}

func packSplit(_ rows: In, _ depth: Int, _ panel: Out) { splitRows(depth, panel) { csimd_load(rows + $0) } }

/// Splits rows of a panel; `load(i)` reads the vector from element i on.
@inline(__always)
private func splitRows(_ depth: Int, _ panel: Out, _ load: (Int) -> V) {
  var pair = 0
  while 2 &* pair < depth {
    for half in 0..<2 {
      let from = 2 &* pair &* tileColumns &+ half &* lanes
      let to = panel + (row(ofPair: pair) &* tileColumns &+ half &* lanes)
      let (first, second) = (load(from), load(from + tileColumns))
      let high = csimd_pair(first, second)
      csimd_store(to, high)
      csimd_store(
        to + lanes &* tileColumns, csimd_pair(first - csimd_low_half(high), second - csimd_high_half(high)))
    }
    pair &+= 1
  }
}

func unpackSplit(_ panel: In, _ depth: Int, _ rows: Out) {
  var pair = 0
  while 2 &* pair < depth {
    for half in 0..<2 {
      let from = panel + (row(ofPair: pair) &* tileColumns &+ half &* lanes)
      let to = rows + (2 &* pair &* tileColumns &+ half &* lanes)
      let (high, low) = (csimd_load(from), csimd_load(from + lanes &* tileColumns))
      csimd_store(to, csimd_low_half(high) + csimd_low_half(low))
      csimd_store(to + tileColumns, csimd_high_half(high) + csimd_high_half(low))
    }
    pair &+= 1
  }
}

/// A `SoftmaxKernel` whose exponentials are sums of two bfloat16.
func softmaxSplit(
  _ rows: Int, _ keys: Int, _ scores: Out, _ stride: Int, _ states: Out, _ results: Out, _ valueSize: Int
) {
  softmaxRows(rows, keys, scores, stride, states, results, valueSize, vexp2) { line, i, first, second, sum in
    storeWords(line + i, first, second)
    return sum + (first + second)
  }
}
