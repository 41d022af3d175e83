import KernelTable
import Support

/// Few tiles: kernels that transform weights and multiply in one.
extension WinogradConvolution {
  /// Those that take so many tiles at once, on float32 weights. With 8 tiles and two calls each, layers of 160 channels took 4 to 7 %
  /// longer than with stored transforms (Intel, family 6 model 207).
  func fusedKernels(tiles: Int) -> WinogradFusedKernels? {
    format == .float32 && tiles <= WinogradFusedKernels.tiles ? transforms.fused : nil
  }

  /// Outputs of `tiles`, whose windows are transformed in `v`: a vector of filters is a task, so that threads have equal shares.
  func multiply(
    _ fused: WinogradFusedKernels, _ convolution: Convolution, _ weights: PackedMatrix, _ v: UnsafePointer<Float>,
    _ tiles: Range<Int>, _ own: UnsafeMutablePointer<Float>, context: RunContext
  ) throws {
    let filters = shape.outChannels
    let depthLimit = kernels.gemm.blockDepth
    let products = weights.isHalf ? fused.halfProducts : fused.products
    try runTasks((filters + lanes - 1) / lanes, slots: context.pool.threads, context: context) { slot, task in
      let (panel, vector) = task.quotientAndRemainder(dividingBy: 2)
      let scratch = own + slot * slotFloatCount
      let m = scratch + transforms.frequencies * weightFrequencyStride
      for block in 0..<depthBlocks {
        let channel = block * depthLimit
        products(
          weights.panel(panel, from: channel), shape.inChannels * weights.rowStride,
          min(depthLimit, shape.inChannels - channel), vector, v + block * inputBlockStride, inputFrequencyStride, m,
          productFrequencyStride, block > 0, scratch)
      }
      let column = task * lanes
      transformOutputs(
        convolution, m, tiles, column..<min(filters, column + lanes),
        m + transforms.frequencies * productFrequencyStride)
    }
  }
}
