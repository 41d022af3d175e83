import Graph
import Support

/// ONNX `DeformConv` (two spatial dimensions): every tap reads the image at its own offset, bilinearly, times a mask.
struct DeformConvOperator: Operator {
  let attributes: WindowAttributes
  let group: Int
  let offsetGroup: Int

  init(_ node: Node) throws {
    attributes = try WindowAttributes(node)
    group = try node.int("group", default: 1)
    offsetGroup = try node.int("offset_group", default: 1)
  }

  private func shape(_ x: [Int], _ w: [Int]) throws(Failure) -> ConvolutionShape {
    let shape = try ConvolutionShape(x: x, weights: w, group: group, attributes: attributes, channelsLast: false)
    guard shape.spatialRank == 2 else {
      throw Failure(.unsupported, "\(shape.spatialRank) spatial dimensions", expected: "2")
    }
    guard offsetGroup > 0, shape.inChannels % offsetGroup == 0 else {
      throw Failure(.shapeMismatch, "offset_group \(offsetGroup) does not divide \(shape.inChannels) channels")
    }
    return shape
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x = try inputs.input(0, named: "X")
    let w = try inputs.input(1, named: "W")
    let offset = try inputs.input(2, named: "offset")
    try x.expectType(realTypes, named: "X")
    let shape = try shape(x.shape, w.shape)
    let grid = [shape.window.output.y, shape.window.output.x]
    for (info, name) in [(w, "W"), (offset, "offset")] { try info.expectType([x.type], named: name) }
    try offset.expectShape([shape.batch, offsetGroup * shape.window.taps * 2] + grid, named: "offset")
    if let bias = inputs.optionalInput(3) { try bias.expectShape([shape.outChannels], named: "B") }
    if let mask = inputs.optionalInput(4) {
      try mask.expectShape([shape.batch, offsetGroup * shape.window.taps] + grid, named: "mask")
    }
    return [ValueInfo(type: x.type, shape: shape.outputShape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let y = outputs.optionalTensor(0), y.count > 0 else { return }
    if y.type == .float64 {
      try compute(Double.self, inputs, y, context: context)
    } else {
      try compute(Float.self, inputs, y, context: context)
    }
  }

  private func compute<T: Real>(_: T.Type, _ inputs: [Tensor?], _ y: Tensor, context: RunContext) throws {
    let xTensor = try inputs.tensor(0, named: "X")
    let wTensor = try inputs.tensor(1, named: "W")
    let shape = try shape(xTensor.shape, wTensor.shape)
    let w = shape.window
    let x = xTensor.pointer(T.self)
    let weights = wTensor.pointer(T.self)
    let offsets = try inputs.tensor(2, named: "offset").pointer(T.self)
    let bias = inputs.optionalTensor(3)?.pointer(T.self)
    let mask = inputs.optionalTensor(4)?.pointer(T.self)
    let target = y.pointer(T.self)
    let pixels = w.outputCount
    let channelsPerOffset = shape.inChannels / offsetGroup
    try runTasks(shape.batch * shape.outChannels, slots: context.pool.threads, context: context) { _, task in
      let (image, filter) = task.quotientAndRemainder(dividingBy: shape.outChannels)
      let firstChannel = filter / shape.groupOut * shape.groupIn
      for pixel in 0..<pixels {
        let (oy, ox) = pixel.quotientAndRemainder(dividingBy: w.output.x)
        var sum: T = bias?[filter] ?? 0
        for c in 0..<shape.groupIn {
          let channel = firstChannel + c
          let plane = x + (image * shape.inChannels + channel) * w.inputCount
          let group = channel / channelsPerOffset
          for tap in 0..<w.taps {
            let (ky, kx) = tap.quotientAndRemainder(dividingBy: w.kernel.x)
            let entry = (image * offsetGroup + group) * w.taps + tap
            let dy = offsets[2 * entry * pixels + pixel]
            let dx = offsets[(2 * entry + 1) * pixels + pixel]
            let sampleY = T(oy * w.stride.y - w.padBegin.y + ky * w.dilation.y) + dy
            let sampleX = T(ox * w.stride.x - w.padBegin.x + kx * w.dilation.x) + dx
            let value = Self.bilinear(plane, w.input.y, w.input.x, sampleY, sampleX)
            sum += weights[(filter * shape.groupIn + c) * w.taps + tap] * value * (mask?[entry * pixels + pixel] ?? 1)
          }
        }
        target[task * pixels + pixel] = sum
      }
    }
  }

  /// The image between its pixels; zero outside.
  private static func bilinear<T: Real>(_ plane: UnsafePointer<T>, _ height: Int, _ width: Int, _ y: T, _ x: T) -> T {
    guard y > -1, x > -1, y < T(height), x < T(width) else { return 0 }
    let floorY = y.rounded(.down)
    let floorX = x.rounded(.down)
    let (y0, x0) = (Int(floorY), Int(floorX))
    let (fy, fx) = (y - floorY, x - floorX)
    func at(_ row: Int, _ column: Int) -> T {
      row >= 0 && row < height && column >= 0 && column < width ? plane[row * width + column] : 0
    }
    return (1 - fy) * ((1 - fx) * at(y0, x0) + fx * at(y0, x0 + 1))
      + fy * ((1 - fx) * at(y0 + 1, x0) + fx * at(y0 + 1, x0 + 1))
  }
}
