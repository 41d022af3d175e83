internal import CSIMD
package import KernelTable

/// `table` with the products that the dot instructions of bfloat16 pairs and of bytes make faster. Call only on a machine
/// that has both.
package func withDotProducts(_ table: KernelTable) -> KernelTable {
  var result = table
  result.name = "avx512_bf16"
  result.narrow.hasDotProducts = true
  result.narrow.pairPanel = pairPanel
  result.narrow.bytePanel = bytePanel
  result.narrow.roundRow = roundRow
  result.narrow.packPairs = packPairs
  result.narrow.attentionPairs = attentionPairs
  return result
}

private func attentionPairs(
  _ rows: Int, _ keys: Int, _ scores: Out, _ stride: Int, _ maxima: Out, _ sums: Out, _ results: Out, _ valueSize: Int,
  _ pairs: Out
) {
  attentionPairs(rows, keys, scores, stride, maxima, sums, results, valueSize, pairs) {
    csimd_round_to_bfloat16($0, $1)
  }
}

private func roundRow(_ x: In, _ out: UnsafeMutablePointer<UInt16>, _ count: Int) {
  var i = 0
  while i &+ lanes <= count {
    csimd_round_to_bfloat16(out + i, csimd_load(x + i))
    i &+= lanes
  }
  if i < count { csimd_round_first_to_bfloat16(out + i, csimd_load_first(x + i, count &- i), count &- i) }
}
