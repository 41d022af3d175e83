import Graph
import KernelTable
import Kernels
import Support

/// ONNX `ConvInteger` (int32 result) and `QLinearConv` (8-bit result), channels first.
struct QuantizedConvolution: Operator {
  /// True: inputs x, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point, B.
  let linear: Bool
  let attributes: WindowAttributes
  let group: Int

  init(_ node: Node, linear: Bool) throws {
    self.linear = linear
    attributes = try WindowAttributes(node)
    group = try node.int("group", default: 1)
  }

  private var wIndex: Int { linear ? 3 : 1 }
  private var xZeroIndex: Int { 2 }
  private var wZeroIndex: Int { linear ? 5 : 3 }

  private func shape(_ x: [Int], _ w: [Int]) throws(Failure) -> ConvolutionShape {
    try ConvolutionShape(x: x, weights: w, group: group, attributes: attributes, channelsLast: false)
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x = try inputs.input(0, named: "x")
    let w = try inputs.input(wIndex, named: "w")
    try x.expectType(byteTypes, named: "x")
    try w.expectType(byteTypes, named: "w")
    let shape = try shape(x.shape, w.shape)
    func check(_ info: ValueInfo?, _ limit: Int, _ name: String) throws {
      guard let info else { return }
      guard info.elementCount == 1 || info.elementCount == limit else {
        throw Failure(.shapeMismatch, "shape of '\(name)'", expected: "1 or \(limit) values", actual: "\(info.shape)")
      }
    }
    try check(inputs.optionalInput(xZeroIndex), 1, "x_zero_point")
    try check(inputs.optionalInput(wZeroIndex), shape.outChannels, "w_zero_point")
    try inputs.optionalInput(xZeroIndex)?.expectType([x.type], named: "x_zero_point")
    try inputs.optionalInput(wZeroIndex)?.expectType([w.type], named: "w_zero_point")
    guard linear else { return [ValueInfo(type: .int32, shape: shape.outputShape)] }
    let zero = try inputs.input(7, named: "y_zero_point")
    try zero.expectType(byteTypes, named: "y_zero_point")
    try check(zero, 1, "y_zero_point")
    try check(try inputs.input(1, named: "x_scale"), 1, "x_scale")
    try check(try inputs.input(4, named: "w_scale"), shape.outChannels, "w_scale")
    try check(try inputs.input(6, named: "y_scale"), 1, "y_scale")
    if let bias = inputs.optionalInput(8) {
      try bias.expectType([.int32], named: "B")
      try bias.expectShape([shape.outChannels], named: "B")
    }
    return [ValueInfo(type: zero.type, shape: shape.outputShape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let y = outputs.optionalTensor(0), y.count > 0 else { return }
    let x = try inputs.tensor(0, named: "x")
    let w = try inputs.tensor(wIndex, named: "w")
    let shape = try shape(x.shape, w.shape)
    let kernels = Kernels.current
    let slots = context.pool.threads
    var scratch = ScratchMemory(context.scratch)
    defer { withExtendedLifetime(scratch) {} }
    let blocks = try scratch.takeFloats(slots * ByteProduct.slotFloatCount(kernels))
    // (batch, pixels, outChannels)
    let sums = UnsafeMutableRawPointer(try scratch.takeFloats(y.count)).assumingMemoryBound(to: Int32.self)
    let filters = try packed(w, zero: ByteSource.values(inputs.optionalTensor(wZeroIndex)), shape, kernels)
    let xZero = ByteSource.values(inputs.optionalTensor(xZeroIndex)).first ?? 0
    guard case .matrices(let matrices) = filters else { return }
    for (group, matrix) in matrices.enumerated() {
      let product = ByteProduct(
        rows: shape.rows, b: matrix, c: sums + group * shape.groupOut, cStride: shape.outChannels)
      try product.run(
        context: context, slots: slots, scratch: blocks,
        gather(ByteSource(x), zero: xZero, group: group, shape, distance: kernels.gemm.rowStride))
    }
    try finish(sums, shape, inputs, y)
  }

  private func packed(_ w: Tensor, zero: [Int32], _ shape: ConvolutionShape, _ kernels: KernelTable) throws
    -> FilterBank
  {
    let source = ByteSource(w)
    let floats = try Tensor(type: .float32, shape: w.shape)
    defer { withExtendedLifetime(floats) {} }
    for filter in 0..<shape.outChannels {
      source.copy(
        filter * shape.depth, shape.depth, minus: zero.count == 1 ? zero[0] : zero[filter],
        to: floats.floats + filter * shape.depth)
    }
    return try FilterBank(floats.floats, shape, kernels: kernels, allowDepthwise: false)
  }

  /// Padding is the zero point, which is 0 after it has been subtracted.
  private func gather(
    _ x: ByteSource, zero: Int32, group: Int, _ shape: ConvolutionShape, distance: Int
  ) -> ByteProduct.RowSource {
    let w = shape.window
    let channels = shape.groupIn
    return { _, rowStart, rows, kStart, depth, packed in
      var place = OutputPlace(row: rowStart, window: w)
      for row in 0..<rows {
        let firstPlane = place.image * shape.inChannels + group * channels
        let target = packed + row * distance
        for k in 0..<depth {
          let (tap, channel) = (kStart + k).quotientAndRemainder(dividingBy: channels)
          let (plane, kx) = tap.quotientAndRemainder(dividingBy: w.kernel.x)
          let (kz, ky) = plane.quotientAndRemainder(dividingBy: w.kernel.y)
          let iz = place.z * w.stride.z - w.padBegin.z + kz * w.dilation.z
          let iy = place.y * w.stride.y - w.padBegin.y + ky * w.dilation.y
          let ix = place.x * w.stride.x - w.padBegin.x + kx * w.dilation.x
          let inside = iz >= 0 && iz < w.input.z && iy >= 0 && iy < w.input.y && ix >= 0 && ix < w.input.x
          let index = (firstPlane + channel) * w.inputCount + (iz * w.input.y + iy) * w.input.x + ix
          target[k] = inside ? Float(x.value(index) &- zero) : 0
        }
        place.advance(w)
      }
    }
  }

  /// Channels last to channels first, rescaled for `QLinearConv`.
  private func finish(
    _ sums: UnsafePointer<Int32>, _ shape: ConvolutionShape, _ inputs: [Tensor?], _ y: Tensor
  ) throws {
    let pixels = shape.window.outputCount
    let channels = shape.outChannels
    guard linear else {
      let target = y.pointer(Int32.self)
      for image in 0..<shape.batch {
        for channel in 0..<channels {
          for pixel in 0..<pixels {
            target[(image * channels + channel) * pixels + pixel] = sums[(image * pixels + pixel) * channels + channel]
          }
        }
      }
      return
    }
    let xScale = try scaleValues(try inputs.tensor(1, named: "x_scale")).first ?? 1
    let wScale = try scaleValues(try inputs.tensor(4, named: "w_scale"))
    let yScale = try scaleValues(try inputs.tensor(6, named: "y_scale")).first ?? 1
    let yZero = ByteSource.values(inputs.optionalTensor(7)).first ?? 0
    let bias = inputs.optionalTensor(8)?.pointer(Int32.self)
    let target = Requantizer(y)
    for image in 0..<shape.batch {
      for channel in 0..<channels {
        let scale = xScale * (wScale.count == 1 ? wScale[0] : wScale[channel]) / yScale
        for pixel in 0..<pixels {
          let sum = sums[(image * pixels + pixel) * channels + channel] &+ (bias?[channel] ?? 0)
          target.store(Double(sum) * scale, zero: yZero, at: (image * channels + channel) * pixels + pixel)
        }
      }
    }
  }
}
