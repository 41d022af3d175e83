internal import CSIMD

// The packed product on bfloat16 pairs and on bytes: the float32 tile with another multiplication. Compiled once more for
// the instruction set that has dot products of both.

func pairPanel(
  _ rows: Int, _ columns: Int, _ depth: Int, _ a: In, _ b: In, _ c: Out, _ cStride: Int, _ accumulate: Bool,
  _ tile: Out, _ next: In?, _ ahead: In?, _ aheadStride: Int, _ aheadLines: Int
) {
  let ahead = RowsAhead(address: ahead, stride: aheadStride, lines: aheadLines)
  multiplyPanel(rows, columns, depth, a, b, c, cStride, accumulate, tile, next, ahead) { csimd_dot_pairs($0, $1, $2) }
}

func bytePanel(
  _ rows: Int, _ columns: Int, _ depth: Int, _ a: In, _ b: In, _ c: Out, _ cStride: Int, _ accumulate: Bool,
  _ tile: Out, _ next: In?, _ ahead: In?, _ aheadStride: Int, _ aheadLines: Int
) {
  let ahead = RowsAhead(address: ahead, stride: aheadStride, lines: aheadLines)
  multiplyPanel(rows, columns, depth, a, b, c, cStride, accumulate, tile, next, ahead) { csimd_dot_bytes($0, $1, $2) }
}

func packPairs(_ rows: In, _ depth: Int, _ panel: Out) {
  var from = rows
  var to = panel
  var k = 0
  while k < depth {
    for half in 0..<2 {
      let low = csimd_load(from + half &* lanes)
      let high = k &+ 1 < depth ? csimd_load(from + (tileColumns &+ half &* lanes)) : csimd_splat(0)
      csimd_store(to + half &* lanes, csimd_pair(low, high))
    }
    from += 2 &* tileColumns
    to += tileColumns
    k &+= 2
  }
}
