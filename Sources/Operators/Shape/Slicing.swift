import Graph
import Support

/// Slice with starts, ends, axes and steps: attributes before opset 10, inputs since.
struct Slice: Operator {
  private struct Attributes {
    var starts: [Int]
    var ends: [Int]
    var axes: [Int]?
  }

  private let attributes: Attributes?

  init(_ node: Node) throws {
    guard node.version < 10 else {
      attributes = nil
      return
    }
    attributes = Attributes(
      starts: try node.required(node.ints("starts"), "starts"), ends: try node.required(node.ints("ends"), "ends"),
      axes: try node.ints("axes"))
  }

  private struct AxisRange {
    var start = 0
    var step = 1
    var count: Int
  }

  private func ranges(for inputs: [ValueInfo?]) throws -> [AxisRange] {
    let data = try inputs.info(at: 0, named: "data")
    let starts = try attributes?.starts ?? inputs.requiredIntegers(at: 1, named: "starts")
    let ends = try attributes?.ends ?? inputs.requiredIntegers(at: 2, named: "ends")
    let given = try attributes.map(\.axes) ?? inputs.integers(at: 3, named: "axes")
    let steps = attributes == nil ? try inputs.integers(at: 4, named: "steps") : nil
    let axes = try ShapeRules.axes(given ?? Array(starts.indices), rank: data.shape.count)
    guard starts.count == ends.count, axes.count == starts.count, steps.map({ $0.count == starts.count }) ?? true else {
      throw Failure(
        .shapeMismatch, "starts, ends, axes and steps must have one length", expected: "\(starts.count)",
        actual: "\(starts.count), \(ends.count), \(axes.count), \(steps?.count ?? starts.count)")
    }
    var ranges = data.shape.map { AxisRange(count: $0) }
    for (index, axis) in axes.enumerated() {
      ranges[axis] = try Self.range(
        start: starts[index], end: ends[index], step: steps?[index] ?? 1, size: data.shape[axis])
    }
    return ranges
  }

  private static func range(start: Int, end: Int, step: Int, size: Int) throws(Failure) -> AxisRange {
    guard step != 0 else { throw Failure(.outOfRange, "a slice's step must not be 0") }
    func clamp(_ index: Int, _ low: Int, _ high: Int) -> Int {
      min(max(index < 0 ? index + size : index, low), high)
    }
    // A longer step than the axis takes the same single element, and cannot overflow.
    let stride = min(max(step, -size - 1), size + 1)
    if stride > 0 {
      let first = clamp(start, 0, size)
      let count = max(0, clamp(end, 0, size) - first)
      return AxisRange(start: first, step: stride, count: (count + stride - 1) / stride)
    }
    guard size > 0 else { return AxisRange(count: 0) }
    let first = clamp(start, 0, size - 1)
    let count = max(0, first - clamp(end, -1, size - 1))
    return AxisRange(start: first, step: stride, count: (count - stride - 1) / -stride)
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "data")
    if attributes == nil && inputs.isUnknown(at: 1, 2, 3, 4) { return nil }
    return [ValueInfo(type: data.type, shape: try ranges(for: inputs).map(\.count))]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let data = try inputs.tensor(at: 0)
    guard let output = outputs.optionalTensor(at: 0) else { return }
    try moveElements(copy(of: inputs.infos, pool: context.pool), from: [data], to: [output])
  }

  func bound(to inputs: [ValueInfo?], threads: Int) throws -> (any Operator)? {
    guard let output = try outputs(for: inputs)?.first else { return nil }
    return BoundCopy(copy: try copy(of: inputs, pool: ThreadPool(threads: 1)), output: output)
  }

  private func copy(of inputs: [ValueInfo?], pool: ThreadPool) throws -> StridedCopy {
    let ranges = try ranges(for: inputs)
    let strides = ShapeRules.strides(of: try inputs.info(at: 0, named: "data").shape)
    return StridedCopy(
      shape: ranges.map(\.count), sourceStrides: zip(ranges, strides).map { $0.step * $1 },
      sourceOffset: zip(ranges, strides).map { $0.start * $1 }.reduce(0, +),
      destinationStrides: ShapeRules.strides(of: ranges.map(\.count)), pool: pool)
  }
}

/// Expand: NumPy broadcasting of the input with a shape.
struct Expand: Operator {
  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "input")
    if inputs.isUnknown(at: 1) { return nil }
    let target = try inputs.requiredIntegers(at: 1, named: "shape")
    let shape = try ShapeRules.broadcast(data.shape, target)
    _ = try CheckedSize.product(shape, of: "expanded shape")
    return [ValueInfo(type: data.type, shape: shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let data = try inputs.tensor(at: 0)
    guard let output = outputs.optionalTensor(at: 0) else { return }
    try moveElements(copy(of: data.shape, to: output.shape, pool: context.pool), from: [data], to: [output])
  }

  func bound(to inputs: [ValueInfo?], threads: Int) throws -> (any Operator)? {
    guard let output = try outputs(for: inputs)?.first else { return nil }
    let data = try inputs.info(at: 0, named: "input")
    return BoundCopy(
      copy: copy(of: data.shape, to: output.shape, pool: ThreadPool(threads: 1)), output: output)
  }

  private func copy(of data: [Int], to output: [Int], pool: ThreadPool) -> StridedCopy {
    let added = output.count - data.count
    let strides = ShapeRules.strides(of: data)
    let sourceStrides = output.indices.map { axis in
      axis < added || data[axis - added] == 1 ? 0 : strides[axis - added]
    }
    return StridedCopy(
      shape: output, sourceStrides: sourceStrides, destinationStrides: ShapeRules.strides(of: output), pool: pool)
  }
}

/// Tile: the whole input repeated along each axis. Opset 1 has one axis and its count as scalars.
struct Tile: Operator {
  let singleAxis: Bool

  init(_ node: Node) { singleAxis = node.version < 6 }

  private func repeats(for inputs: [ValueInfo?], rank: Int) throws -> [Int] {
    var repeats = try inputs.requiredIntegers(at: 1, named: "repeats")
    if singleAxis {
      guard repeats.count == 1, let axis = try inputs.integer(at: 2, named: "axis") else {
        throw Failure(.shapeMismatch, "tiles and axis must have one element")
      }
      let count = repeats[0]
      repeats = [Int](repeating: 1, count: rank)
      repeats[try ShapeRules.axis(axis, rank: rank)] = count
    }
    guard repeats.count == rank else {
      throw Failure(
        .shapeMismatch, "one repeat per axis is required", expected: "\(rank)", actual: "\(repeats.count)")
    }
    return repeats
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "input")
    if inputs.isUnknown(at: 1, 2) { return nil }
    let repeats = try repeats(for: inputs, rank: data.shape.count)
    var shape: [Int] = []
    for (size, count) in zip(data.shape, repeats) {
      shape.append(try CheckedSize.product([size, count], of: "tiled axis"))
    }
    _ = try CheckedSize.product(shape, of: "tiled shape")
    return [ValueInfo(type: data.type, shape: shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let data = try inputs.tensor(at: 0)
    guard let output = outputs.optionalTensor(at: 0) else { return }
    let repeats = try repeats(for: inputs.infos, rank: data.rank)
    let strides = ShapeRules.strides(of: data.shape)
    // Every axis becomes (repeat, element).
    let shape = data.shape.indices.flatMap { [repeats[$0], data.shape[$0]] }
    let copy = StridedCopy(
      shape: shape, sourceStrides: data.shape.indices.flatMap { [0, strides[$0]] },
      destinationStrides: ShapeRules.strides(of: shape), pool: context.pool)
    try moveElements(copy, from: [data], to: [output])
  }
}
