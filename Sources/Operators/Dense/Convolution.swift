import Graph
import KernelTable
import Kernels
import Support

/// Convolution in float32, or in the narrow format of its filters, on channels-last images: X (batch, spatial…, inChannels) to Y (batch, spatial…, outChannels).
///
/// Implicit matrix product: rows are output pixels, the inner dimension is (tap, channel), and blocks of the virtual
/// matrix are gathered from the image while they are packed.
struct Convolution {
  var shape: ConvolutionShape
  var x: UnsafePointer<Float>
  var y: UnsafeMutablePointer<Float>
  var bias: UnsafePointer<Float>?
  /// (batch, spatial…, outChannels), added before the activation.
  var residual: UnsafePointer<Float>?
  var activation = Activation.none

  /// `filters` nil: not known yet.
  static func scratchByteCount(
    _ shape: ConvolutionShape, _ filters: FilterBank?, threads: Int, _ kernels: KernelTable
  ) -> Int {
    if case .winograd(let matrix)? = filters,
      let winograd = WinogradConvolution(shape, kernels: kernels, format: matrix.format)
    {
      return winograd.scratchByteCount(threads: threads)
    }
    let depth = shape.window.taps * shape.groupIn
    return MatrixProduct.scratchByteCount(
      rows: shape.rows, depth: depth, columns: shape.groupOut, format: filters?.format ?? .float32, threads: threads,
      kernels)
      + (filters?.format.isInteger == true ? ScratchMemory.byteCount(floats: shape.storedPixels) : 0)
  }

  func run(_ filters: FilterBank, context: RunContext, scratch: inout ScratchMemory) throws {
    switch filters {
    case .winograd(let matrix):
      if let winograd = WinogradConvolution(shape, kernels: matrix.kernels, format: matrix.format) {
        return try winograd.run(self, matrix, context: context, scratch: &scratch)
      }
      let pixels = matrix.format.isInteger ? try scratch.takeFloats(shape.storedPixels) : nil
      try multiply(group: 0, matrix, context: context, pixels, &scratch)
    case .matrices(let matrices):
      let pixels = filters.format.isInteger ? try scratch.takeFloats(shape.storedPixels) : nil
      for (group, matrix) in matrices.enumerated() {
        try scratch.lend { try multiply(group: group, matrix, context: context, pixels, &$0) }
      }
    case .depthwise(let weights, let kernels):
      try runDepthwise(weights.bytes.assumingMemoryBound(to: Float.self).baseAddress, kernels, context: context)
    }
  }

  /// `pixels`: room for a scale of every stored input pixel, where integers need them.
  private func multiply(
    group: Int, _ matrix: PackedMatrix, context: RunContext, _ pixels: UnsafeMutablePointer<Float>?,
    _ scratch: inout ScratchMemory
  ) throws {
    let first = group * shape.groupOut
    let product = MatrixProduct(
      rows: shape.rows, b: matrix, c: y + first, cStride: shape.outChannels, bias: bias.map { $0 + first },
      residual: residual.map { $0 + first }, residualStride: shape.outChannels, activation: activation)
    let base = x + group * shape.groupIn
    if shape.window.isPointwise && shape.enlargement == 1 {
      return try product.run(context: context, scratch: &scratch, rowsOf: base, stride: shape.inChannels)
    }
    if let pixels { try measure(base, pixels, matrix.format, matrix.kernels, context: context) }
    try product.run(
      context: context, scratch: &scratch, ConvolutionRows(shape: shape, base: base, pixelScales: pixels))
  }

  /// What an integer would stand for in every stored input pixel's channels of one group.
  private func measure(
    _ base: UnsafePointer<Float>, _ scales: UnsafeMutablePointer<Float>, _ format: ElementFormat,
    _ kernels: KernelTable, context: RunContext
  ) throws {
    let pixelsPerTask = 256
    let count = (shape.storedPixels + pixelsPerTask - 1) / pixelsPerTask
    try runTasks(count, slots: context.pool.threads, context: context) { _, task in
      for pixel in (task * pixelsPerTask)..<min(shape.storedPixels, (task + 1) * pixelsPerTask) {
        (scales[pixel], _) = PackedMatrix.quantization(
          row: base + pixel * shape.inChannels, count: shape.groupIn, format, kernels)
      }
    }
  }

  private func runDepthwise(
    _ weights: UnsafeMutablePointer<Float>?, _ kernels: KernelTable, context: RunContext
  ) throws {
    guard let weights else { return }
    let w = shape.window
    let channels = shape.outChannels
    let line = w.output.x
    let scale = shape.enlargement
    let inputLine = w.input.x / scale
    try runTasks(shape.rows / max(1, line), slots: context.pool.threads, context: context) { _, task in
      var place = OutputPlace(row: task * line, window: w)
      for offset in 0..<line {
        let row = task * line + offset
        let target = y + row * channels
        if let bias { target.update(from: bias, count: channels) } else { target.update(repeating: 0, count: channels) }
        let image = x + place.image * shape.storedInputCount * channels
        for tap in 0..<w.taps {
          let (plane, kx) = tap.quotientAndRemainder(dividingBy: w.kernel.x)
          let (kz, ky) = plane.quotientAndRemainder(dividingBy: w.kernel.y)
          let iz = place.z * w.stride.z - w.padBegin.z + kz * w.dilation.z
          let iy = place.y * w.stride.y - w.padBegin.y + ky * w.dilation.y
          let ix = place.x * w.stride.x - w.padBegin.x + kx * w.dilation.x
          if iz >= 0, iz < w.input.z, iy >= 0, iy < w.input.y, ix >= 0, ix < w.input.x {
            kernels.multiplyAdd(
              image + ((iz * w.input.y + iy / scale) * inputLine + ix / scale) * channels, weights + tap * channels,
              target, channels)
          }
        }
        if residual != nil || activation != .none {
          kernels.epilogue(
            1, channels, target, channels, nil, residual.map { $0 + row * channels }, channels, activation.rawValue)
        }
        place.advance(w)
      }
    }
  }
}

/// Coordinates of one output pixel, counted through all images.
struct OutputPlace {
  var image: Int
  var z: Int
  var y: Int
  var x: Int

  init(row: Int, window w: SpatialWindow) {
    var rest = row
    (rest, x) = rest.quotientAndRemainder(dividingBy: max(1, w.output.x))
    (rest, y) = rest.quotientAndRemainder(dividingBy: max(1, w.output.y))
    (image, z) = rest.quotientAndRemainder(dividingBy: max(1, w.output.z))
  }

  @inline(__always)
  mutating func advance(_ w: SpatialWindow) {
    x += 1
    guard x == w.output.x else { return }
    x = 0
    y += 1
    guard y == w.output.y else { return }
    y = 0
    z += 1
    guard z == w.output.z else { return }
    z = 0
    image += 1
  }
}
