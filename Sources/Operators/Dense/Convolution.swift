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
    return MatrixProduct.scratchByteCount(threads: threads, kernels)
      + (filters?.format == .int8 ? ScratchMemory.byteCount(floats: shape.pixels) : 0)
  }

  func run(_ filters: FilterBank, context: RunContext, scratch: inout ScratchMemory) throws {
    switch filters {
    case .winograd(let matrix):
      if let winograd = WinogradConvolution(shape, kernels: matrix.kernels, format: matrix.format) {
        return try winograd.run(self, matrix, context: context, scratch: &scratch)
      }
      try run(.matrices([matrix]), context: context, scratch: &scratch)
    case .matrices(let matrices):
      let slots = context.pool.threads
      let blocks = try scratch.takeFloats(slots * MatrixProduct.slotFloatCount(filters.kernels))
      let magnitudes = filters.format == .int8 ? try scratch.takeFloats(shape.pixels) : nil
      for (group, matrix) in matrices.enumerated() {
        if let magnitudes {
          try measurePixels(group: group, magnitudes, filters.kernels, context: context)
        }
        let first = group * shape.groupOut
        let product = MatrixProduct(
          rows: shape.rows, b: matrix, c: y + first, cStride: shape.outChannels, bias: bias.map { $0 + first },
          residual: residual.map { $0 + first }, residualStride: shape.outChannels, activation: activation)
        try product.run(
          context: context, slots: slots, scratch: blocks, gather(group: group, magnitudes: magnitudes))
      }
    case .depthwise(let weights, let kernels):
      try runDepthwise(weights.bytes.assumingMemoryBound(to: Float.self).baseAddress, kernels, context: context)
    }
  }

  /// Largest magnitude of every input pixel's channels of one group.
  private func measurePixels(
    group: Int, _ magnitudes: UnsafeMutablePointer<Float>, _ kernels: KernelTable, context: RunContext
  ) throws {
    let base = x + group * shape.groupIn
    let line = max(1, shape.window.input.x)
    try runTasks(shape.pixels / line, slots: context.pool.threads, context: context) { _, task in
      for pixel in (task * line)..<((task + 1) * line) {
        magnitudes[pixel] = kernels.narrow.magnitude(base + pixel * shape.inChannels, shape.groupIn)
      }
    }
  }

  /// Rows of the virtual matrix for one group. `magnitudes`: of the input pixels, where int8 needs them.
  private func gather(group: Int, magnitudes: UnsafePointer<Float>?) -> RowSource {
    let w = shape.window
    let channels = shape.groupIn
    let pixel = shape.inChannels
    let base = x + group * channels
    let images = w.inputCount * pixel
    // Of all pixels that a window covers: one scale per output pixel.
    let largest: RowSource.Magnitudes? = magnitudes.map { magnitudes in
      { rowStart, rows, target in
        var place = OutputPlace(row: rowStart, window: w)
        for row in 0..<rows {
          let image = magnitudes + place.image * w.inputCount
          var top: Float = 0
          w.forEachTap(at: place) { _, index in
            let value = image[index]
            // A NaN stays.
            if !(value <= top) && !top.isNaN { top = value }
          }
          target[row] = top
          place.advance(w)
        }
      }
    }
    if w.isPointwise {
      return RowSource(magnitudes: largest) { _, rowStart, rows, kStart, depth, packed in
        for row in 0..<rows {
          packed.write(base + (rowStart + row) * pixel + kStart, count: depth, row: row, at: 0)
        }
      }
    }
    return RowSource(magnitudes: largest) { _, rowStart, rows, kStart, depth, packed in
      var place = OutputPlace(row: rowStart, window: w)
      for row in 0..<rows {
        let image = base + place.image * images
        var k = kStart
        let end = kStart + depth
        while k < end {
          let (tap, channel) = k.quotientAndRemainder(dividingBy: channels)
          let count = min(channels - channel, end - k)
          let (plane, kx) = tap.quotientAndRemainder(dividingBy: w.kernel.x)
          let (kz, ky) = plane.quotientAndRemainder(dividingBy: w.kernel.y)
          let iz = place.z * w.stride.z - w.padBegin.z + kz * w.dilation.z
          let iy = place.y * w.stride.y - w.padBegin.y + ky * w.dilation.y
          let ix = place.x * w.stride.x - w.padBegin.x + kx * w.dilation.x
          if iz >= 0, iz < w.input.z, iy >= 0, iy < w.input.y, ix >= 0, ix < w.input.x {
            packed.write(
              image + ((iz * w.input.y + iy) * w.input.x + ix) * pixel + channel, count: count, row: row, at: k - kStart
            )
          } else {
            packed.clear(count: count, row: row, at: k - kStart)
          }
          k += count
        }
        place.advance(w)
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
    try runTasks(shape.rows / max(1, line), slots: context.pool.threads, context: context) { _, task in
      var place = OutputPlace(row: task * line, window: w)
      for offset in 0..<line {
        let row = task * line + offset
        let target = y + row * channels
        if let bias { target.update(from: bias, count: channels) } else { target.update(repeating: 0, count: channels) }
        let image = x + place.image * w.inputCount * channels
        for tap in 0..<w.taps {
          let (plane, kx) = tap.quotientAndRemainder(dividingBy: w.kernel.x)
          let (kz, ky) = plane.quotientAndRemainder(dividingBy: w.kernel.y)
          let iz = place.z * w.stride.z - w.padBegin.z + kz * w.dilation.z
          let iy = place.y * w.stride.y - w.padBegin.y + ky * w.dilation.y
          let ix = place.x * w.stride.x - w.padBegin.x + kx * w.dilation.x
          if iz >= 0, iz < w.input.z, iy >= 0, iy < w.input.y, ix >= 0, ix < w.input.x {
            kernels.multiplyAdd(
              image + ((iz * w.input.y + iy) * w.input.x + ix) * channels, weights + tap * channels, target, channels)
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
