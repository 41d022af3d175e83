import Graph
import Support

/// ONNX `MaxPool` with its indices.
struct MaxPoolOperator: Operator {
  let attributes: WindowAttributes
  /// Indices count down columns first (storage_order 1).
  let columnMajor: Bool

  init(_ node: Node) throws {
    attributes = try WindowAttributes(node)
    _ = try node.required(attributes.kernel, "kernel_shape")
    columnMajor = try node.bool("storage_order", default: false)
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x = try inputs.input(0, named: "X")
    try x.expectType(realTypes + byteTypes, named: "X")
    try x.expectRank(3...5, named: "X")
    let window = try attributes.window(spatial: Array(x.shape[2...]), kernel: attributes.kernel ?? [])
    let shape = Array(x.shape[..<2]) + window.outputShape(rank: x.shape.count - 2)
    return [ValueInfo(type: x.type, shape: shape), ValueInfo(type: .int64, shape: shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let x = try inputs.tensor(0, named: "X")
    let (y, indices) = (outputs.optionalTensor(0), outputs.optionalTensor(1))
    switch x.type {
    case .float32: try compute(Float.self, x, y, indices, context: context)
    case .float64: try compute(Double.self, x, y, indices, context: context)
    case .int8: try compute(Int8.self, x, y, indices, context: context)
    default: try compute(UInt8.self, x, y, indices, context: context)
    }
  }

  private func compute<T: Comparable & BitwiseCopyable>(
    _: T.Type, _ x: Tensor, _ y: Tensor?, _ indices: Tensor?, context: RunContext
  ) throws {
    let window = try attributes.window(spatial: Array(x.shape[2...]), kernel: attributes.kernel ?? [])
    let planes = x.shape[0] * x.shape[1]
    try runTasks(planes, slots: context.pool.threads, context: context) { _, plane in
      let from = x.pointer(T.self) + plane * window.inputCount
      var place = OutputPlace(row: 0, window: window)
      for pixel in 0..<window.outputCount {
        var best = -1
        // NaN is neither smaller nor equal, so it wins over everything and is kept.
        window.forEachTap(at: place) { _, index in
          if best < 0 || (!(from[index] <= from[best]) && from[best] == from[best]) { best = index }
        }
        let at = plane * window.outputCount + pixel
        if best >= 0 {
          if let y { y.pointer(T.self)[at] = from[best] }
          if let indices { indices.pointer(Int64.self)[at] = Int64(plane * window.inputCount + order(best, window)) }
        } else {
          // A window wholly inside the padding has no element; the lowest pixel stands in.
          if let y, window.inputCount > 0 { y.pointer(T.self)[at] = from[0] }
          if let indices { indices.pointer(Int64.self)[at] = -1 }
        }
        place.advance(window)
      }
    }
  }

  private func order(_ index: Int, _ w: SpatialWindow) -> Int {
    guard columnMajor else { return index }
    let (rest, x) = index.quotientAndRemainder(dividingBy: w.input.x)
    let (z, y) = rest.quotientAndRemainder(dividingBy: w.input.y)
    return (x * w.input.y + y) * w.input.z + z
  }
}

/// ONNX `MaxUnpool`: puts values back where `MaxPool` found them, zero elsewhere.
struct MaxUnpoolOperator: Operator {
  let attributes: WindowAttributes

  init(_ node: Node) throws {
    attributes = try WindowAttributes(node)
    _ = try node.required(attributes.kernel, "kernel_shape")
  }

  /// The output that the window implies.
  private func inferredShape(_ x: [Int]) throws -> [Int] {
    let rank = x.count - 2
    let kernel = attributes.kernel ?? []
    let strides = attributes.strides ?? kernel.map { _ in 1 }
    let pads = attributes.pads ?? [Int](repeating: 0, count: 2 * rank)
    guard rank >= 1, kernel.count == rank, strides.count == rank, pads.count == 2 * rank else {
      throw Failure(.shapeMismatch, "attributes do not fit the input", actual: "\(x)")
    }
    var shape = Array(x[..<2])
    for axis in 0..<rank {
      shape.append((x[axis + 2] - 1) * strides[axis] - pads[axis] - pads[axis + rank] + kernel[axis])
    }
    guard shape.allSatisfy({ $0 >= 0 }) else {
      throw Failure(.shapeMismatch, "negative output size", actual: "\(shape)")
    }
    return shape
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x = try inputs.input(0, named: "X")
    let indices = try inputs.input(1, named: "I")
    try x.expectType(realTypes, named: "X")
    try indices.expectType([.int64], named: "I")
    try indices.expectShape(x.shape, named: "I")
    let inferred = try inferredShape(x.shape)
    guard let wanted = inputs.optionalInput(2) else { return [ValueInfo(type: x.type, shape: inferred)] }
    guard let constant = wanted.constant else { return nil }
    let shape = try constant.integers()
    guard shape.count == inferred.count, zip(shape, inferred).allSatisfy({ $0 >= $1 }) else {
      throw Failure(.shapeMismatch, "output_shape", expected: "at least \(inferred)", actual: "\(shape)")
    }
    return [ValueInfo(type: x.type, shape: shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let y = outputs.optionalTensor(0), y.count > 0 else { return }
    if y.type == .float64 { try compute(Double.self, inputs, y) } else { try compute(Float.self, inputs, y) }
  }

  private func compute<T: Real>(_: T.Type, _ inputs: [Tensor?], _ y: Tensor) throws {
    let x = try inputs.tensor(0, named: "X")
    let indices = try inputs.tensor(1, named: "I").pointer(Int64.self)
    let inferred = try inferredShape(x.shape)
    let limit = inferred.reduce(1, *)
    let target = y.pointer(T.self)
    target.update(repeating: 0, count: y.count)
    for i in 0..<x.count {
      let index = Int(indices[i])
      guard index >= 0, index < limit else {
        throw Failure(.outOfRange, "index \(index) of an output of \(limit) elements")
      }
      // Indices count in the inferred shape; a larger output is filled from its corner.
      var rest = index
      var place = 0
      var stride = 1
      for axis in inferred.indices.reversed() {
        place += rest % inferred[axis] * stride
        rest /= inferred[axis]
        stride *= y.shape[axis]
      }
      target[place] = x.pointer(T.self)[i]
    }
  }
}
