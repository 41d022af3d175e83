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
  return result
}

private func roundRow(_ x: In, _ out: UnsafeMutablePointer<UInt16>, _ count: Int) {
  var i = 0
  while i &+ lanes <= count {
    csimd_round_to_bfloat16(out + i, csimd_load(x + i))
    i &+= lanes
  }
  if i < count { csimd_round_first_to_bfloat16(out + i, csimd_load_first(x + i, count &- i), count &- i) }
}
