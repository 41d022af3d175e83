import Graph
import Support

/// ONNX `ConvTranspose`: the gradient of a convolution, channels first.
struct ConvTransposeOperator: Operator {
  let attributes: WindowAttributes
  let group: Int
  let outputPadding: [Int]?
  let outputShape: [Int]?

  init(_ node: Node) throws {
    attributes = try WindowAttributes(node)
    group = try node.int("group", default: 1)
    outputPadding = try node.ints("output_padding")
    outputShape = try node.ints("output_shape")
  }

  /// Sizes with the roles of input and output exchanged: `window.output` is X's grid, `window.input` is Y's.
  private func window(_ x: [Int], _ w: [Int]) throws(Failure) -> (window: SpatialWindow, rank: Int) {
    let rank = x.count - 2
    guard (1...3).contains(rank), w.count == x.count else {
      throw Failure(.shapeMismatch, "ranks of input and weights", actual: "\(x) and \(w)")
    }
    guard group > 0, x[1] == w[0], x[1] % group == 0 else {
      throw Failure(.shapeMismatch, "channels: input \(x), weights \(w), group \(group)")
    }
    let ones = [Int](repeating: 1, count: rank)
    let zeros = [Int](repeating: 0, count: rank)
    let strides = attributes.strides ?? ones
    let dilations = attributes.dilations ?? ones
    let extra = outputPadding ?? zeros
    let pads = attributes.pads ?? zeros + zeros
    let wanted = outputShape.map { Array($0.suffix(rank)) }
    guard strides.count == rank, dilations.count == rank, extra.count == rank, pads.count == 2 * rank,
      wanted?.count ?? rank == rank, extra.allSatisfy({ $0 >= 0 && $0 <= WindowAttributes.limit }),
      wanted?.allSatisfy({ $0 >= 0 && $0 <= WindowAttributes.limit }) ?? true
    else { throw Failure(.shapeMismatch, "attributes do not fit \(rank) spatial dimensions") }
    var result = SpatialWindow()
    for axis in 0..<rank {
      let at = axis + 3 - rank
      let kernel = w[axis + 2]
      let full = strides[axis] * (x[axis + 2] - 1) + extra[axis] + (kernel - 1) * dilations[axis] + 1
      var begin = pads[axis]
      var end = pads[axis + rank]
      let same = attributes.padding == .sameUpper || attributes.padding == .sameLower
      if attributes.padding == .valid { (begin, end) = (0, 0) }
      if same || wanted != nil {
        let size = wanted?[axis] ?? x[axis + 2] * strides[axis]
        // Missing columns come at the end.
        let total = max(0, full - size)
        begin = attributes.padding == .sameUpper ? total / 2 : total - total / 2
        end = full - size - begin
      }
      let size = full - begin - end
      guard size >= 0 else { throw Failure(.shapeMismatch, "the padding leaves no output", actual: "\(size)") }
      result.input[at] = size
      result.output[at] = x[axis + 2]
      result.kernel[at] = kernel
      result.stride[at] = strides[axis]
      result.dilation[at] = dilations[axis]
      result.padBegin[at] = begin
      result.padEnd[at] = end
    }
    return (result, rank)
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x = try inputs.input(0, named: "X")
    let w = try inputs.input(1, named: "W")
    try x.expectType(realTypes, named: "X")
    try w.expectType([x.type], named: "W")
    let (window, rank) = try window(x.shape, w.shape)
    let channels = w.shape[1] * group
    if let bias = inputs.optionalInput(2) {
      try bias.expectType([x.type], named: "B")
      try bias.expectShape([channels], named: "B")
    }
    let sizes = [window.input.z, window.input.y, window.input.x].suffix(rank)
    return [ValueInfo(type: x.type, shape: [x.shape[0], channels] + sizes)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let y = outputs.optionalTensor(0), y.count > 0 else { return }
    let x = try inputs.tensor(0, named: "X")
    let w = try inputs.tensor(1, named: "W")
    let bias = inputs.optionalTensor(2)
    if x.type == .float64 {
      try compute(Double.self, x, w, bias, y, context: context)
    } else {
      try compute(Float.self, x, w, bias, y, context: context)
    }
  }

  private func compute<T: Real>(
    _: T.Type, _ x: Tensor, _ w: Tensor, _ bias: Tensor?, _ y: Tensor, context: RunContext
  ) throws {
    let (window, _) = try window(x.shape, w.shape)
    let inChannels = x.shape[1]
    let groupIn = inChannels / group
    let groupOut = w.shape[1]
    let outChannels = groupOut * group
    let px = x.pointer(T.self)
    let pw = w.pointer(T.self)
    let py = y.pointer(T.self)
    let pb = bias?.pointer(T.self)
    let pixels = window.outputCount
    try runTasks(x.shape[0] * outChannels, slots: context.pool.threads, context: context) { _, task in
      let (image, channel) = task.quotientAndRemainder(dividingBy: outChannels)
      let (group, local) = channel.quotientAndRemainder(dividingBy: groupOut)
      let target = py + task * window.inputCount
      target.update(repeating: pb?[channel] ?? 0, count: window.inputCount)
      for c in 0..<groupIn {
        let source = px + (image * inChannels + group * groupIn + c) * pixels
        let kernel = pw + ((group * groupIn + c) * groupOut + local) * window.taps
        var place = OutputPlace(row: 0, window: window)
        for pixel in 0..<pixels {
          let value = source[pixel]
          window.forEachTap(at: place) { tap, index in target[index] += value * kernel[tap] }
          place.advance(window)
        }
      }
    }
  }
}
