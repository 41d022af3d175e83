package import KernelTable

/// `table` with the products that dot instructions of bytes and of 16-bit integers make faster. Call only on a machine that has it.
package func withByteProducts(_ table: KernelTable) -> KernelTable {
  var result = table
  result.name = "avx512_vnni"
  result.narrow.multipliesBytes = true
  result.narrow.bytePanel = bytePanel
  result.int16?.panel = int16Panel
  result.int16?.bytePanel = int16BytePanel
  result.int16?.stepCost = 1
  return result
}
