import Graph
import KernelTable
import Kernels
import Support

/// ONNX `Conv` (channels first) and `adadiff:ConvNHWC` (channels last, optional residual as input 3, activation).
struct ConvOperator: Operator {
  let attributes: WindowAttributes
  let group: Int
  let channelsLast: Bool
  let activation: Activation
  /// Of constant weights, packed.
  let format: ElementFormat
  private let roundsOnly: Bool
  /// Nearest-neighbour enlargement of the input, 1 or 2 (attribute `enlargement` of ConvNHWC).
  let enlargement: Int
  /// Packed weights and their shape, where they were constant when the plan was made.
  var filters: FilterBank?
  var weightShape: [Int] = []
  /// Where the plan has bound the operator to its input's shape.
  private var boundShape: ConvolutionShape?

  init(_ node: Node, channelsLast: Bool) throws {
    attributes = try WindowAttributes(node)
    group = try node.int("group", default: 1)
    self.channelsLast = channelsLast
    activation = try channelsLast ? MatMulOperator.activation(node) : .none
    format = try node.elementFormat()
    roundsOnly = node.roundsWeightsOnly
    enlargement = try channelsLast ? node.int("enlargement", default: 1) : 1
  }

  private func shape(_ x: [Int], _ weights: [Int]) throws(Failure) -> ConvolutionShape {
    try ConvolutionShape(
      x: x, weights: weights, group: group, attributes: attributes, channelsLast: channelsLast,
      enlargement: enlargement)
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x = try inputs.input(0, named: "X")
    let weights = try inputs.input(1, named: "W")
    try x.expectType(channelsLast ? [.float32] : realTypes, named: "X")
    try weights.expectType([x.type], named: "W")
    let shape = try shape(x.shape, weights.shape)
    if let bias = inputs.optionalInput(2) {
      try bias.expectType([x.type], named: "B")
      try bias.expectShape([shape.outChannels], named: "B")
    }
    let output = channelsLast ? shape.outputShapeChannelsLast : shape.outputShape
    if channelsLast, let residual = inputs.optionalInput(3) {
      try residual.expectType([x.type], named: "R")
      try residual.expectShape(output, named: "R")
    }
    return [ValueInfo(type: x.type, shape: output)]
  }

  func scratchByteCount(for inputs: [ValueInfo?], threads: Int) -> Int {
    guard let x = inputs.optionalInput(0), x.type == .float32, let weights = inputs.optionalInput(1)?.shape,
      let shape = try? shape(x.shape, weights)
    else { return 0 }
    let product = Convolution.scratchByteCount(shape, filters, threads: threads, Kernels.current)
    guard !channelsLast else { return product }
    return product + ScratchMemory.byteCount(floats: x.elementCount)
      + ScratchMemory.byteCount(floats: shape.outputShape.reduce(1, *))
  }

  func prepared(for inputs: [ValueInfo?], threads: Int) throws -> (any Operator)? {
    guard filters == nil, let x = inputs.optionalInput(0), x.type == .float32,
      let weights = inputs.optionalInput(1), let constant = weights.constant
    else { return nil }
    var copy = self
    copy.weightShape = weights.shape
    copy.filters = try FilterBank(
      constant.floats, try shape(x.shape, weights.shape), kernels: Kernels.current, allowTransforms: true,
      format: format, roundsOnly: roundsOnly)
    return copy
  }

  func bound(to inputs: [ValueInfo?], threads: Int) throws -> (any Operator)? {
    guard let x = inputs.optionalInput(0), let weights = inputs.optionalInput(1) else { return nil }
    var copy = self
    copy.boundShape = try shape(x.shape, weights.shape)
    return copy
  }

  /// Packing depends on the weights alone.
  func preparationKey(for inputs: [ValueInfo?], threads: Int) -> String? { "" }

  var consumedInputs: [Int] { filters == nil ? [] : [1] }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let y = outputs.optionalTensor(0), y.count > 0 else { return }
    let x = try inputs.tensor(0, named: "X")
    let bias = inputs.optionalTensor(2)
    if x.type == .float64 {
      let weights = try inputs.tensor(1, named: "W")
      return try DirectConvolution<Double>(shape: try shape(x.shape, weights.shape)).run(
        x.pointer(), weights.pointer(), bias?.pointer(), y.pointer(), context: context)
    }
    let weights = filters == nil ? try inputs.tensor(1, named: "W") : nil
    let shape = try boundShape ?? shape(x.shape, weights?.shape ?? weightShape)
    let bank =
      try filters
      ?? FilterBank(weights?.floats ?? x.floats, shape, kernels: Kernels.current, allowTransforms: true)
    var scratch = ScratchMemory(context.scratch)
    defer { withExtendedLifetime(scratch) {} }
    var convolution = Convolution(
      shape: shape, x: x.floats, y: y.floats, bias: bias.map { UnsafePointer($0.floats) }, activation: activation)
    if channelsLast {
      convolution.residual = inputs.optionalTensor(3).map { UnsafePointer($0.floats) }
      return try convolution.run(bank, context: context, scratch: &scratch)
    }
    let input = try scratch.takeFloats(x.count)
    let output = try scratch.takeFloats(y.count)
    try transposeMatrices(
      x.floats, input, count: shape.batch, rows: shape.inChannels, columns: shape.window.inputCount, context: context)
    convolution.x = UnsafePointer(input)
    convolution.y = output
    try convolution.run(bank, context: context, scratch: &scratch)
    try transposeMatrices(
      output, y.floats, count: shape.batch, rows: shape.window.outputCount, columns: shape.outChannels,
      context: context)
  }
}

/// Convolution by its definition, channels first: float64.
struct DirectConvolution<T: Real> {
  let shape: ConvolutionShape

  func run(
    _ x: UnsafePointer<T>, _ weights: UnsafePointer<T>, _ bias: UnsafePointer<T>?, _ y: UnsafeMutablePointer<T>,
    context: RunContext
  ) throws {
    let w = shape.window
    try runTasks(shape.batch * shape.outChannels, slots: context.pool.threads, context: context) { _, task in
      let (image, filter) = task.quotientAndRemainder(dividingBy: shape.outChannels)
      let firstChannel = image * shape.inChannels + filter / shape.groupOut * shape.groupIn
      let target = y + task * w.outputCount
      var place = OutputPlace(row: 0, window: w)
      for pixel in 0..<w.outputCount {
        var sum: T = 0
        for channel in 0..<shape.groupIn {
          let plane = x + (firstChannel + channel) * w.inputCount
          let kernel = weights + (filter * shape.groupIn + channel) * w.taps
          w.forEachTap(at: place) { tap, index in sum += plane[index] * kernel[tap] }
        }
        target[pixel] = sum + (bias?[filter] ?? 0)
        place.advance(w)
      }
    }
  }
}

extension SpatialWindow {
  /// Calls `body` with the number of every tap that lies inside the input and the index of its pixel.
  @inline(__always)
  func forEachTap(at place: OutputPlace, _ body: (_ tap: Int, _ index: Int) -> Void) {
    var tap = 0
    for kz in 0..<kernel.z {
      let iz = place.z * stride.z - padBegin.z + kz * dilation.z
      for ky in 0..<kernel.y {
        let iy = place.y * stride.y - padBegin.y + ky * dilation.y
        for kx in 0..<kernel.x {
          let ix = place.x * stride.x - padBegin.x + kx * dilation.x
          if iz >= 0, iz < input.z, iy >= 0, iy < input.y, ix >= 0, ix < input.x {
            body(tap, (iz * input.y + iy) * input.x + ix)
          }
          tap += 1
        }
      }
    }
  }
}
