import Glibc
import Graph
import KernelTable
import Kernels
import Support

/// Normalisation over groups of channels at axis 1: ONNX `GroupNormalization`, `InstanceNormalization`, and
/// `adadiff:GroupNorm` with an activation.
struct GroupNormOperator: Operator {
  /// Nil: one group per channel.
  let groups: Int?
  let epsilon: Float
  /// Opset 18 scales groups, everything else channels.
  var scalesGroups = false
  var activation = Activation.none

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x = try inputs.input(0, named: "X")
    try x.expectType(realTypes, named: "X")
    try x.expectRank(2...64, named: "X")
    let channels = x.shape[1]
    let groups = groups ?? channels
    guard channels % groups == 0 else {
      throw Failure(.shapeMismatch, "\(channels) channels do not divide into \(groups) groups")
    }
    for (index, name) in [(1, "scale"), (2, "bias")] {
      let info = try inputs.input(index, named: name)
      try info.expectType([x.type], named: name)
      try info.expectShape([scalesGroups ? groups : channels], named: name)
    }
    return [ValueInfo(type: x.type, shape: x.shape)]
  }

  var inPlaceInputs: [Int] { [0] }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let y = outputs.optionalTensor(0), y.count > 0 else { return }
    let x = try inputs.tensor(0, named: "X")
    let scale = try inputs.tensor(1, named: "scale")
    let bias = try inputs.tensor(2, named: "bias")
    let channels = x.shape[1]
    let groups = groups ?? channels
    let inner = x.shape[2...].reduce(1, *)
    let perGroup = channels / groups
    let count = perGroup * inner
    let kernels = Kernels.current
    try runTasks(x.shape[0] * groups, slots: context.pool.threads, context: context) { _, task in
      let group = task % groups
      if x.type == .float64 {
        let from = x.pointer(Double.self) + task * count
        let to = y.pointer(Double.self) + task * count
        let (mean, variance) = RowMath.moments(from, count: count)
        let factor = 1 / (variance + Double(epsilon)).squareRoot()
        for i in 0..<count {
          let index = scalesGroups ? group : group * perGroup + i / inner
          to[i] = (from[i] - mean) * factor * scale.pointer(Double.self)[index] + bias.pointer(Double.self)[index]
        }
        return
      }
      let from = x.floats + task * count
      let to = y.floats + task * count
      let mean = Float(kernels.sum(from, count) / Double(count))
      let variance = kernels.squaredDeviations(from, mean, count) / Double(count)
      let factor = 1 / (variance + Double(epsilon)).squareRoot()
      for channel in 0..<perGroup {
        let index = scalesGroups ? group : group * perGroup + channel
        kernels.scaleShift(
          from + channel * inner, mean, Float(Double(scale.floats[index]) * factor), bias.floats[index],
          to + channel * inner, inner, activation.rawValue)
      }
    }
  }
}

/// `adadiff:GroupNormNHWC`: X (N, …, C), to which `shift` (N, 1…, C) is added first where there is one, with groups of the last
/// dimension.
///
/// Moments come from fixed blocks of rows, merged in order, so that they do not depend on the thread count.
struct GroupNormChannelsLastOperator: Operator {
  let groups: Int
  let epsilon: Float
  let activation: Activation

  /// Rows per block: 64 rows of 320 channels are 80 KB, read twice from the second-level cache.
  private static let blockRows = 64
  /// Blocks of an image up to which one thread takes it, or some of its groups, alone.
  private static let fewBlocks = 4

  init(_ node: Node) throws {
    groups = try node.required(node.int("num_groups"), "num_groups")
    epsilon = try node.float("epsilon", default: 1e-5)
    activation = try MatMulOperator.activation(node)
    guard groups > 0 else { throw Failure(.outOfRange, "num_groups must be positive", actual: "\(groups)") }
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x = try inputs.input(0, named: "X")
    try x.expectType([.float32], named: "X")
    try x.expectRank(3...5, named: "X")
    let channels = x.shape[x.shape.count - 1]
    guard channels % groups == 0 else {
      throw Failure(.shapeMismatch, "\(channels) channels do not divide into \(groups) groups")
    }
    for (index, name) in [(1, "scale"), (2, "bias")] {
      let info = try inputs.input(index, named: name)
      try info.expectType([.float32], named: name)
      try info.expectShape([channels], named: name)
    }
    if let shift = inputs.optionalInput(3) {
      try shift.expectType([.float32], named: "shift")
      try shift.expectShape([x.shape[0]] + [Int](repeating: 1, count: x.shape.count - 2) + [channels], named: "shift")
    }
    return [ValueInfo(type: .float32, shape: x.shape)]
  }

  var inPlaceInputs: [Int] { [0] }

  private func sizes(_ shape: [Int]) -> (images: Int, rows: Int, channels: Int, blocks: Int) {
    let rows = shape[1..<(shape.count - 1)].reduce(1, *)
    return (shape[0], rows, shape[shape.count - 1], (rows + Self.blockRows - 1) / Self.blockRows)
  }

  func scratchByteCount(for inputs: [ValueInfo?], threads: Int) -> Int {
    guard let shape = inputs.optionalInput(0)?.shape, shape.count >= 3 else { return 0 }
    let (images, _, channels, blocks) = sizes(shape)
    return ScratchMemory.byteCount(floats: images * blocks * 2 * channels)
      + ScratchMemory.byteCount(floats: images * 2 * channels)
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let y = outputs.optionalTensor(0), y.count > 0 else { return }
    let x = try inputs.tensor(0, named: "X").floats
    let scale = try inputs.tensor(1, named: "scale").floats
    let bias = try inputs.tensor(2, named: "bias").floats
    let shift = inputs.optionalTensor(3)?.floats
    let (images, rows, channels, blocks) = sizes(y.shape)
    let kernels = Kernels.current
    let slots = context.pool.threads
    var scratch = ScratchMemory(context.scratch)
    defer { withExtendedLifetime(scratch) {} }
    // (image, block, {sum, squares}, channel) and (image, {mean, scale}, channel)
    let moments = try scratch.takeFloats(images * blocks * 2 * channels)
    let factors = try scratch.takeFloats(images * 2 * channels)
    let perGroup = channels / groups
    func height(_ block: Int) -> Int { min(Self.blockRows, rows - block * Self.blockRows) }
    func measure(_ image: Int, _ block: Int, _ range: Range<Int>) {
      let target = moments + (image * blocks + block) * 2 * channels + range.lowerBound
      kernels.channelMoments(
        x + (image * rows + block * Self.blockRows) * channels + range.lowerBound, height(block), range.count, channels,
        target, target + channels)
    }
    func merge(_ image: Int, _ group: Int) {
      let first = group * perGroup
      let shift = shift.map { $0 + image * channels + first }
      // Chan's rule: merge (count, mean, squares) of channel blocks in a fixed order.
      var (count, mean, squares) = (0.0, 0.0, 0.0)
      for block in 0..<blocks {
        let entry = moments + (image * blocks + block) * 2 * channels + first
        let size = Double(height(block))
        for channel in 0..<perGroup {
          let other = Double(entry[channel]) / size + Double(shift?[channel] ?? 0)
          let total = count + size
          let difference = other - mean
          mean += difference * size / total
          squares += Double(entry[channels + channel]) + difference * difference * count * size / total
          count = total
        }
      }
      let factor = 1 / (squares / max(count, 1) + Double(epsilon)).squareRoot()
      let means = factors + image * 2 * channels + first
      for channel in 0..<perGroup {
        means[channel] = Float(mean - Double(shift?[channel] ?? 0))
        means[channels + channel] = Float(Double(scale[first + channel]) * factor)
      }
    }
    func apply(_ image: Int, _ block: Int, _ range: Range<Int>) {
      let start = (image * rows + block * Self.blockRows) * channels + range.lowerBound
      let means = factors + image * 2 * channels + range.lowerBound
      kernels.scaleShiftChannels(
        x + start, height(block), range.count, channels, means, means + channels, bias + range.lowerBound,
        y.floats + start, activation.rawValue)
    }
    if blocks <= Self.fewBlocks {
      // A task does some groups of an image from beginning to end, while they are in its cache.
      let slices = min(groups, images >= slots ? 1 : (slots + images - 1) / images)
      return try runTasks(images * slices, slots: slots, context: context) { _, task in
        let (image, slice) = task.quotientAndRemainder(dividingBy: slices)
        let own = (slice * groups / slices)..<((slice + 1) * groups / slices)
        let range = (own.lowerBound * perGroup)..<(own.upperBound * perGroup)
        for block in 0..<blocks { measure(image, block, range) }
        for group in own { merge(image, group) }
        for block in 0..<blocks { apply(image, block, range) }
      }
    }
    try runTasks(images * blocks, slots: slots, context: context) { _, task in
      let (image, block) = task.quotientAndRemainder(dividingBy: blocks)
      measure(image, block, 0..<channels)
    }
    context.pool.forRanges(images * groups, grain: 4) { range in
      for item in range { merge(item / groups, item % groups) }
    }
    try runTasks(images * blocks, slots: slots, context: context) { _, task in
      let (image, block) = task.quotientAndRemainder(dividingBy: blocks)
      apply(image, block, 0..<channels)
    }
  }
}
