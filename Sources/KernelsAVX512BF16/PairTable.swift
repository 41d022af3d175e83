internal import CSIMD
package import KernelTable

/// `table` with the products that the dot instruction of bfloat16 pairs makes faster. Call only on a machine that has it.
package func withPairProducts(_ table: KernelTable) -> KernelTable {
  var result = table
  result.name = "avx512_bf16"
  result.narrow.multipliesPairs = true
  result.narrow.pairPanel = pairPanel
  result.narrow.roundRow = roundRow
  result.narrow.packPairs = packPairs
  result.attention.softmaxPairs = softmaxPairs
  result.winograd.pairs = WinogradPairKernels(
    input: winogradPairInput, pairWeights: winogradPairWeights, byteWeights: winogradByteWeights)
  result.enlargedWinograd.pairs = WinogradPairKernels(
    input: winogradEnlargedPairInput, pairWeights: winogradEnlargedPairWeights,
    byteWeights: winogradEnlargedByteWeights)
  return result
}

/// Sums what is stored, the rounded exponentials.
private func softmaxPairs(
  _ rows: Int, _ keys: Int, _ scores: Out, _ stride: Int, _ states: Out, _ results: Out, _ valueSize: Int
) {
  let ones = csimd_splat(Float(bitPattern: 0x3F80_3F80))
  softmaxRows(rows, keys, scores, stride, states, results, valueSize, vexp2Coarse) { line, i, first, second, sum in
    let words = csimd_round_two_to_bfloat16(first, second)
    csimd_store(line + i &>> 1, words)
    return csimd_dot_pairs(words, ones, sum)
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
