package import KernelTable

/// `table` with the product that the dot instruction of bytes makes faster. Call only on a machine that has it.
package func withByteProducts(_ table: KernelTable) -> KernelTable {
  var result = table
  result.name = "avx512_vnni"
  result.narrow.multipliesBytes = true
  result.narrow.bytePanel = bytePanel
  return result
}
