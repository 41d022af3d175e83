internal import CSIMD
package import KernelTable

/// The kernels of the instruction set that this module is compiled for. Call only on a machine that has it.
package func kernelTable() -> KernelTable {
  #if KERNELS_AVX512
    let name: StaticString = "avx512"
  #elseif KERNELS_AVX2
    let name: StaticString = "avx2"
  #else
    let name: StaticString = "portable"
  #endif
  var table = KernelTable(
    named: name,
    gemm: GemmShape(tileRows: tileRows, tileColumns: tileColumns, blockDepth: blockDepth, rowStride: rowStride),
    add: add,
    subtract: subtract,
    multiply: multiply,
    divide: divide,
    minimum: minimum,
    maximum: maximum,
    addScalar: addScalar,
    multiplyScalar: multiplyScalar,
    subtractScalar: subtractScalar,
    scalarSubtract: scalarSubtract,
    divideScalar: divideScalar,
    scalarDivide: scalarDivide,
    negate: negate,
    absolute: absolute,
    squareRoot: squareRoot,
    reciprocal: reciprocal,
    relu: relu,
    exp: exponential,
    sigmoid: sigmoid,
    tanh: hyperbolicTangent,
    erf: errorFunction,
    silu: silu,
    gelu: gelu,
    geluTanh: geluTanh,
    quickGelu: quickGelu,
    geglu: geglu,
    fromFloat16: fromFloat16,
    toFloat16: toFloat16,
    fromBFloat16: fromBFloat16,
    toBFloat16: toBFloat16,
    sum: rowSum,
    squaredDeviations: squaredDeviations,
    rowMaximum: rowMaximum,
    expAndSum: expAndSum,
    softmaxRow: softmaxRow,
    normalizeRow: normalizeRow,
    scaleShift: scaleShift,
    channelMoments: channelMoments,
    scaleShiftChannels: scaleShiftChannels,
    accumulate: accumulate,
    multiplyAdd: multiplyAdd,
    winograd: WinogradKernels(
      outputSide: 4, lineValues: 6, lineProducts: 6, input: winogradInput, weights: winogradWeights,
      output: winogradOutput),
    smallWinograd: WinogradKernels(
      outputSide: 3, lineValues: 5, lineProducts: 5, input: winogradSmallInput, weights: winogradSmallWeights,
      output: winogradSmallOutput),
    enlargedWinograd: WinogradKernels(
      outputSide: 4, lineValues: 4, lineProducts: 5, input: winogradEnlargedInput, weights: winogradEnlargedWeights,
      output: winogradEnlargedOutput),
    strassen: StrassenKernels(
      depthLimit: factorDepth, rowStride: factorStride, product: strassenProduct, left: strassenLeft,
      right: strassenRight, results: strassenResults),
    strassenTiles: StrassenTileKernels(
      left: strassenTileLeft, softmax: strassenSoftmax, multiply: strassenMultiply, accumulate: strassenAccumulate),
    fused: FusedKernels(
      gegluTile: gegluTile, gegluTileCoarse: gegluTileCoarse, gegluTileIntegers: gegluTileIntegers),
    attention: AttentionKernels(
      prefetchRows: prefetchRows, scaleRows: scaleRows, begin: beginRows, maxima: scoreMaxima,
      integerScores: integerScores,
      softmax: softmax,
      softmaxPairs: softmaxPairs, divide: divideResults),
    narrow: NarrowKernels(
      pairPanel: pairPanel, bytePanel: bytePanel, roundRow: toBFloat16, packPairs: packPairs, unpackPairs: unpackPairs,
      columnMagnitudes: columnMagnitudes, packBytes: packBytes, unpackBytes: unpackBytes, magnitude: magnitude,
      quantizeRow: quantizeRow, rescale: rescale),
    gemmPanel: gemmPanel,
    epilogue: epilogue,
    packPanel: packPanel,
    copyRows: copyRows,
    packPanelTransposed: packPanelTransposed)
  #if KERNELS_PORTABLE
    table.half = nil
  #else
    table.strassenOnce = StrassenOnceKernels(
      depthLimit: onceDepth, rowStride: onceStride, lastRows: onceLastRows, multiply: strassenOnceMultiply,
      multiplyLast: strassenOnceMultiplyLast)
    table.strassenTwice = StrassenTwiceKernels(
      depthLimit: onceDepth, lastRows: onceLastRows, left: strassenTwiceLeft,
      multiply: strassenTwiceMultiply, multiplyLast: strassenTwiceMultiplyLast)
    table.half = HalfKernels(panel: halfPanel)
    // Two instructions; on AVX2 the additions find units that multiply-adds leave free.
    #if KERNELS_AVX2
      let stepCost = 1.25
    #else
      let stepCost = 2.0
    #endif
    table.int16 = Int16Kernels(
      stepCost: stepCost, panel: int16Panel, bytePanel: int16BytePanel, columnSquares: columnSquares, pack: packInt16,
      packBytes: packInt16Bytes, unpack: unpackInt16, unpackBytes: unpackInt16Bytes, quantizeRow: quantizeInt16Row,
      softmax: softmaxInt16, addScaled: addScaled)
    table.winograd.halfWeights = winogradHalfWeights
    table.smallWinograd.halfWeights = winogradSmallHalfWeights
    table.enlargedWinograd.halfWeights = winogradEnlargedHalfWeights
    #if KERNELS_AVX512
      table.smallWinograd.fused = WinogradFusedKernels(
        products: winogradSmallProducts, halfProducts: winogradSmallHalfProducts)
    #endif
  #endif
  return table
}
