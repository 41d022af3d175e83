import Graph
import Support

/// Concat along an existing axis (default 1 in opset 1 only).
struct Concat: Operator {
  let axis: Int

  init(axis: Int) { self.axis = axis }

  init(_ node: Node) throws {
    axis = node.version < 4 ? try node.int("axis", default: 1) : try node.required(node.int("axis"), "axis")
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let first = try inputs.info(at: 0, named: "inputs")
    let axis = try ShapeRules.axis(axis, rank: first.shape.count)
    var shape = first.shape
    shape[axis] = 0
    for index in inputs.indices {
      let part = try inputs.info(at: index, named: "inputs")
      try ShapeRules.requireSameType(first, part, named: "inputs[\(index)]")
      let matches =
        part.shape.count == shape.count && shape.indices.allSatisfy { $0 == axis || part.shape[$0] == shape[$0] }
      guard matches else {
        throw Failure(
          .shapeMismatch, "input \(index) does not fit along axis \(axis)", expected: "like \(first.shape)",
          actual: "\(part.shape)")
      }
      shape[axis] = try CheckedSize.sum(shape[axis], part.shape[axis], of: "joined axis")
    }
    return [ValueInfo(type: first.type, shape: shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let output = outputs.optionalTensor(at: 0) else { return }
    let axis = try ShapeRules.axis(axis, rank: output.rank)
    if output.type != .string, output.type.bitWidth % 8 == 0 {
      return try joinLines(inputs, output, axis: axis, context: context)
    }
    let parts = try inputs.indices.map { try inputs.tensor(at: $0) }
    try moveElements(
      JoinedParts(whole: output, parts: parts, axis: axis, pool: context.pool), from: parts, to: [output])
  }

  /// A line is everything behind one place of the axes before `axis`; every part gives a piece of each.
  private func joinLines(_ inputs: [Tensor?], _ output: Tensor, axis: Int, context: RunContext) throws {
    let element = output.type.bitWidth / 8
    let lines = output.shape[..<axis].reduce(1, *)
    guard output.count > 0, lines > 0, let base = output.bytes.baseAddress else { return }
    let lineBytes = output.count / lines * element
    var start = 0
    for index in inputs.indices {
      let part = try inputs.tensor(at: index)
      let bytes = part.count / lines * element
      guard bytes > 0, let source = part.bytes.baseAddress else { continue }
      let target = base + start
      if lines == 1 {
        context.pool.forRanges(bytes, grain: Self.bytesPerThread) { range in
          (target + range.lowerBound).copyMemory(from: source + range.lowerBound, byteCount: range.count)
        }
      } else {
        context.pool.forRanges(lines, grain: max(1, Self.bytesPerThread / bytes)) { range in
          for line in range { (target + line * lineBytes).copyMemory(from: source + line * bytes, byteCount: bytes) }
        }
      }
      start += bytes
    }
  }

  /// Fewer bytes than this are not worth a second thread.
  private static let bytesPerThread = 1 << 17
}

/// Copies several tensors behind each other along one axis of a larger one.
private struct JoinedParts: ElementMovement {
  var copies: [StridedCopy] = []

  init(whole: Tensor, parts: [Tensor], axis: Int, pool: ThreadPool) {
    let strides = ShapeRules.strides(of: whole.shape)
    var offset = 0
    for part in parts {
      copies.append(
        StridedCopy(
          shape: part.shape, sourceStrides: ShapeRules.strides(of: part.shape), destinationStrides: strides,
          destinationOffset: offset * strides[axis], pool: pool))
      offset += part.shape[axis]
    }
  }

  func move<Element>(_ sources: [UnsafePointer<Element>], _ destinations: [UnsafeMutablePointer<Element>]) {
    for (copy, source) in zip(copies, sources) { copy.run(from: source, to: destinations[0]) }
  }
}

/// Split into parts along an axis: sizes from an attribute (before opset 13), an input, or equal.
struct Split: Operator {
  let axis: Int
  let attributeSizes: [Int]?
  let readsInput: Bool
  /// Opset 18: the number of parts; the last may be smaller.
  let partCount: Int?
  let outputCount: Int

  init(_ node: Node) throws {
    axis = try node.int("axis", default: 0)
    readsInput = node.version >= 13 || node.version == 1
    attributeSizes = node.version < 13 ? try node.ints("split") : nil
    partCount = node.version >= 18 ? try node.int("num_outputs") : nil
    outputCount = node.outputCount
    if let partCount, partCount != outputCount {
      throw Failure(
        .corrupt, "attribute 'num_outputs' contradicts the node", expected: "\(outputCount)", actual: "\(partCount)")
    }
  }

  func sizes(of dimension: Int, given: [Int]?) throws(Failure) -> [Int] {
    if let given {
      let total = given.reduce((sum: 0, valid: true)) { state, size in
        let (sum, overflow) = state.sum.addingReportingOverflow(size)
        return (sum, state.valid && !overflow && size >= 0)
      }
      guard total.valid, total.sum == dimension, given.count == outputCount else {
        throw Failure(
          .shapeMismatch, "split sizes \(given) do not fit",
          expected: "\(outputCount) parts with the sum \(dimension)")
      }
      return given
    }
    guard outputCount > 0 else { throw Failure(.corrupt, "a Split without outputs") }
    let size = (dimension + outputCount - 1) / outputCount
    let last = dimension - size * (outputCount - 1)
    guard last >= 0, partCount != nil || last == size else {
      throw Failure(.shapeMismatch, "a dimension of \(dimension) cannot be split into \(outputCount) parts")
    }
    return [Int](repeating: size, count: outputCount - 1) + [last]
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "input")
    if readsInput && inputs.isUnknown(at: 1) { return nil }
    let axis = try ShapeRules.axis(axis, rank: data.shape.count)
    let given = try attributeSizes ?? (readsInput ? inputs.integers(at: 1, named: "split") : nil)
    return try sizes(of: data.shape[axis], given: given).map { size in
      var shape = data.shape
      shape[axis] = size
      return ValueInfo(type: data.type, shape: shape)
    }
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let data = try inputs.tensor(at: 0)
    let axis = try ShapeRules.axis(axis, rank: data.rank)
    guard let described = try self.outputs(for: inputs.infos) else { return }
    let strides = ShapeRules.strides(of: data.shape)
    var offset = 0
    for (index, info) in described.enumerated() {
      if let output = outputs.optionalTensor(at: index) {
        let copy = StridedCopy(
          shape: info.shape, sourceStrides: strides, sourceOffset: offset * strides[axis],
          destinationStrides: ShapeRules.strides(of: info.shape), pool: context.pool)
        try moveElements(copy, from: [data], to: [output])
      }
      offset += info.shape[axis]
    }
  }
}
