extension KernelTable {
  /// Every field in the order of its declaration: a table that misses a kernel does not compile.
  package init(
    named name: StaticString,
    gemm: GemmShape,
    add: BinaryKernel,
    subtract: BinaryKernel,
    multiply: BinaryKernel,
    divide: BinaryKernel,
    minimum: BinaryKernel,
    maximum: BinaryKernel,
    addScalar: ScalarKernel,
    multiplyScalar: ScalarKernel,
    subtractScalar: ScalarKernel,
    scalarSubtract: ScalarKernel,
    divideScalar: ScalarKernel,
    scalarDivide: ScalarKernel,
    negate: UnaryKernel,
    absolute: UnaryKernel,
    squareRoot: UnaryKernel,
    reciprocal: UnaryKernel,
    relu: UnaryKernel,
    exp: UnaryKernel,
    sigmoid: UnaryKernel,
    tanh: UnaryKernel,
    erf: UnaryKernel,
    silu: UnaryKernel,
    gelu: UnaryKernel,
    geluTanh: UnaryKernel,
    quickGelu: UnaryKernel,
    geglu: BinaryKernel,
    fromFloat16: @convention(c) (UnsafePointer<UInt16>, UnsafeMutablePointer<Float>, Int) -> Void,
    toFloat16: @convention(c) (UnsafePointer<Float>, UnsafeMutablePointer<UInt16>, Int) -> Void,
    fromBFloat16: @convention(c) (UnsafePointer<UInt16>, UnsafeMutablePointer<Float>, Int) -> Void,
    toBFloat16: @convention(c) (UnsafePointer<Float>, UnsafeMutablePointer<UInt16>, Int) -> Void,
    sum: @convention(c) (UnsafePointer<Float>, Int) -> Double,
    squaredDeviations: @convention(c) (UnsafePointer<Float>, Float, Int) -> Double,
    rowMaximum: @convention(c) (UnsafePointer<Float>, Int) -> Float,
    expAndSum: @convention(c) (UnsafePointer<Float>, Float, UnsafeMutablePointer<Float>, Int) -> Float,
    softmaxRow: UnaryKernel,
    normalizeRow:
      @convention(c) (
        UnsafePointer<Float>, Float, Float, UnsafePointer<Float>?, UnsafePointer<Float>?,
        UnsafeMutablePointer<Float>, Int
      ) -> Void,
    scaleShift:
      @convention(c) (
        UnsafePointer<Float>, Float, Float, Float, UnsafeMutablePointer<Float>, Int, Int32
      ) -> Void,
    channelMoments:
      @convention(c) (
        UnsafePointer<Float>, Int, Int, Int, UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>
      ) -> Void,
    scaleShiftChannels:
      @convention(c) (
        UnsafePointer<Float>, Int, Int, Int, UnsafePointer<Float>, UnsafePointer<Float>, UnsafePointer<Float>,
        UnsafeMutablePointer<Float>, Int32
      ) -> Void,
    accumulate: @convention(c) (UnsafePointer<Float>, Float, UnsafeMutablePointer<Float>, Int) -> Void,
    multiplyAdd: BinaryKernel,
    winograd: WinogradKernels,
    smallWinograd: WinogradKernels,
    enlargedWinograd: WinogradKernels,
    strassen: StrassenKernels,
    strassenTiles: StrassenTileKernels,
    fused: FusedKernels,
    attention: AttentionKernels,
    narrow: NarrowKernels,
    gemmPanel: PanelKernel,
    epilogue:
      @convention(c) (
        Int, Int, UnsafeMutablePointer<Float>, Int, UnsafePointer<Float>?, UnsafePointer<Float>?, Int, Int32
      ) -> Void,
    packPanel: @convention(c) (UnsafePointer<Float>, Int, Int, Int, UnsafeMutablePointer<Float>) -> Void,
    copyRows: @convention(c) (UnsafePointer<Float>, Int, Int, Int, UnsafeMutablePointer<Float>, Int) -> Void,
    packPanelTransposed: @convention(c) (UnsafePointer<Float>, Int, Int, Int, UnsafeMutablePointer<Float>) -> Void
  ) {
    self.name = name
    self.gemm = gemm
    self.add = add
    self.subtract = subtract
    self.multiply = multiply
    self.divide = divide
    self.minimum = minimum
    self.maximum = maximum
    self.addScalar = addScalar
    self.multiplyScalar = multiplyScalar
    self.subtractScalar = subtractScalar
    self.scalarSubtract = scalarSubtract
    self.divideScalar = divideScalar
    self.scalarDivide = scalarDivide
    self.negate = negate
    self.absolute = absolute
    self.squareRoot = squareRoot
    self.reciprocal = reciprocal
    self.relu = relu
    self.exp = exp
    self.sigmoid = sigmoid
    self.tanh = tanh
    self.erf = erf
    self.silu = silu
    self.gelu = gelu
    self.geluTanh = geluTanh
    self.quickGelu = quickGelu
    self.geglu = geglu
    self.fromFloat16 = fromFloat16
    self.toFloat16 = toFloat16
    self.fromBFloat16 = fromBFloat16
    self.toBFloat16 = toBFloat16
    self.sum = sum
    self.squaredDeviations = squaredDeviations
    self.rowMaximum = rowMaximum
    self.expAndSum = expAndSum
    self.softmaxRow = softmaxRow
    self.normalizeRow = normalizeRow
    self.scaleShift = scaleShift
    self.channelMoments = channelMoments
    self.scaleShiftChannels = scaleShiftChannels
    self.accumulate = accumulate
    self.multiplyAdd = multiplyAdd
    self.winograd = winograd
    self.smallWinograd = smallWinograd
    self.enlargedWinograd = enlargedWinograd
    self.strassen = strassen
    self.strassenTiles = strassenTiles
    self.fused = fused
    self.attention = attention
    self.narrow = narrow
    self.gemmPanel = gemmPanel
    self.epilogue = epilogue
    self.packPanel = packPanel
    self.copyRows = copyRows
    self.packPanelTransposed = packPanelTransposed
  }
}
