internal import CSIMD

// The packed product on pairs of 16-bit integers. Compiled once more for the instruction set that adds the products itself.

func int16Panel(
  _ rows: Int, _ columns: Int, _ depth: Int, _ a: In, _ b: In, _ c: Out, _ cStride: Int, _ accumulate: Bool,
  _ tile: Out, _ next: In?, _ ahead: In?, _ aheadStride: Int, _ aheadLines: Int
) {
  let ahead = RowsAhead(address: ahead, stride: aheadStride, lines: aheadLines)
  multiplyPanel(rows, columns, depth, a, b, c, cStride, accumulate, tile, next, ahead) { csimd_dot_int16($0, $1, $2) }
}

/// `int16Panel` on a panel of bytes.
func int16BytePanel(
  _ rows: Int, _ columns: Int, _ depth: Int, _ a: In, _ b: In, _ c: Out, _ cStride: Int, _ accumulate: Bool,
  _ tile: Out, _ next: In?, _ ahead: In?, _ aheadStride: Int, _ aheadLines: Int
) {
  let ahead = RowsAhead(address: ahead, stride: aheadStride, lines: aheadLines)
  multiplyPanel(rows, columns, depth, a, b, c, cStride, accumulate, tile, next, ahead, storage: .bytes) {
    csimd_dot_int16($0, $1, $2)
  }
}
