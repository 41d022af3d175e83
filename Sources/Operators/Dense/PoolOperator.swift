import Graph
import Support

/// ONNX `AveragePool` and `LpPool`.
struct PoolOperator: Operator {
  enum Kind: Sendable {
    case average(countsPadding: Bool)
    case lp(Int)
  }

  let kind: Kind
  let attributes: WindowAttributes

  init(_ node: Node, average: Bool) throws {
    attributes = try WindowAttributes(node)
    _ = try node.required(attributes.kernel, "kernel_shape")
    if average {
      kind = .average(countsPadding: try node.bool("count_include_pad", default: false))
    } else {
      let p = try node.int("p", default: 2)
      guard p > 0 else { throw Failure(.outOfRange, "p must be positive", actual: "\(p)") }
      kind = .lp(p)
    }
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x = try inputs.input(0, named: "X")
    try x.expectType(realTypes, named: "X")
    try x.expectRank(3...5, named: "X")
    let window = try attributes.window(spatial: Array(x.shape[2...]), kernel: attributes.kernel ?? [])
    return [ValueInfo(type: x.type, shape: Array(x.shape[..<2]) + window.outputShape(rank: x.shape.count - 2))]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let y = outputs.optionalTensor(0), y.count > 0 else { return }
    let x = try inputs.tensor(0, named: "X")
    if x.type == .float64 {
      try compute(Double.self, x, y, context: context)
    } else {
      try compute(Float.self, x, y, context: context)
    }
  }

  private func compute<T: Real>(_: T.Type, _ x: Tensor, _ y: Tensor, context: RunContext) throws {
    let window = try attributes.window(spatial: Array(x.shape[2...]), kernel: attributes.kernel ?? [])
    let planes = x.shape[0] * x.shape[1]
    try runTasks(planes, slots: context.pool.threads, context: context) { _, plane in
      let from = x.pointer(T.self) + plane * window.inputCount
      let to = y.pointer(T.self) + plane * window.outputCount
      var place = OutputPlace(row: 0, window: window)
      for pixel in 0..<window.outputCount {
        var sum = 0.0
        var count = 0
        switch kind {
        case .average(let countsPadding):
          window.forEachTap(at: place) { _, index in
            sum += Double(from[index])
            count += 1
          }
          if countsPadding { count = window.paddedTaps(at: place) }
          to[pixel] = T(sum / Double(count))
        case .lp(let p):
          window.forEachTap(at: place) { _, index in
            let value = abs(Double(from[index]))
            sum += p == 1 ? value : p == 2 ? value * value : Double.pow(value, Double(p))
          }
          to[pixel] = T(p == 1 ? sum : p == 2 ? sum.squareRoot() : Double.pow(sum, 1 / Double(p)))
        }
        place.advance(window)
      }
    }
  }
}

extension SpatialWindow {
  /// Taps inside the input or its padding: windows that `ceil_mode` pushes further out are cut there.
  func paddedTaps(at place: OutputPlace) -> Int {
    var total = 1
    for (axis, position) in [place.z, place.y, place.x].enumerated() {
      var inside = 0
      for tap in 0..<kernel[axis] {
        let at = position * stride[axis] - padBegin[axis] + tap * dilation[axis]
        if at < input[axis] + padEnd[axis] { inside += 1 }
      }
      total *= inside
    }
    return max(1, total)
  }
}

/// ONNX `GlobalAveragePool`, `GlobalMaxPool`, `GlobalLpPool`.
struct GlobalPoolOperator: Operator {
  enum Kind: Sendable { case average, maximum, lp(Int) }
  let kind: Kind

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x = try inputs.input(0, named: "X")
    try x.expectType(realTypes, named: "X")
    try x.expectRank(2...64, named: "X")
    return [ValueInfo(type: x.type, shape: Array(x.shape[..<2]) + x.shape[2...].map { _ in 1 })]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let y = outputs.optionalTensor(0), y.count > 0 else { return }
    let x = try inputs.tensor(0, named: "X")
    if x.type == .float64 { compute(Double.self, x, y) } else { compute(Float.self, x, y) }
  }

  private func compute<T: Real>(_: T.Type, _ x: Tensor, _ y: Tensor) {
    let count = x.count / y.count
    let to = y.pointer(T.self)
    for plane in 0..<y.count {
      let from = x.pointer(T.self) + plane * count
      var sum = 0.0
      switch kind {
      case .average:
        for i in 0..<count { sum += Double(from[i]) }
        to[plane] = T(sum / Double(count))
      case .maximum:
        var best = -T.infinity
        for i in 0..<count where !(from[i] <= best) { best = from[i] }
        to[plane] = best
      case .lp(let p):
        for i in 0..<count { sum += Double.pow(abs(Double(from[i])), Double(p)) }
        to[plane] = T(Double.pow(sum, 1 / Double(p)))
      }
    }
  }
}
