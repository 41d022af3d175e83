package import KernelTable

/// `table` with the products that tile registers make faster. Call only on a machine that lets the process use them.
package func withTileProducts(_ table: KernelTable) -> KernelTable {
  var result = table
  result.name = "avx512_amx"
  var shape = table.gemm
  shape.tileRows = 32
  shape.smallestTileRows = 16
  // Measured: 0.3, or 0.7 while another virtual machine uses the core.
  shape.rowCycles = 0.5
  shape.edgeFloatCount = edgeFloatCount
  result.narrow.shape = shape
  // Three products per element, of which a word holds one.
  shape.rowCycles *= 1.5
  shape.depthStep = SplitKernels.group
  shape.edgeFloatCount += shape.blockDepth * shape.tileColumns
  result.split = SplitKernels(
    shape: shape, panel: splitPanel, halfPanel: splitHalfPanel, splitRow: splitRow, pack: packSplit,
    unpack: unpackSplit, softmax: softmaxSplit)
  result.narrow.pairPanel = pairPanel
  result.narrow.bytePanel = bytePanel
  return result
}
