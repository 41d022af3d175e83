import Graph
import Support

/// ONNX `LpNormalization`, `MeanVarianceNormalization` and `LRN`.
struct AxisNormOperator: Operator {
  enum Kind: Sendable {
    case lp(axis: Int, p: Int)
    case meanVariance(axes: [Int])
    case localResponse(size: Int, alpha: Double, beta: Double, bias: Double)
  }

  let kind: Kind

  static func lp(_ node: Node) throws -> AxisNormOperator {
    let p = try node.int("p", default: 2)
    guard p == 1 || p == 2 else { throw Failure(.unsupported, "p = \(p)", expected: "1 or 2") }
    return AxisNormOperator(kind: .lp(axis: try node.int("axis", default: -1), p: p))
  }

  static func meanVariance(_ node: Node) throws -> AxisNormOperator {
    if node.version < 9 {
      let across = try node.bool("across_channels", default: false)
      guard try node.bool("normalize_variance", default: true) else {
        throw Failure(.unsupported, "normalize_variance = 0")
      }
      return AxisNormOperator(kind: .meanVariance(axes: across ? [0, 1, 2, 3] : [0, 2, 3]))
    }
    return AxisNormOperator(kind: .meanVariance(axes: try node.ints("axes") ?? [0, 2, 3]))
  }

  static func localResponse(_ node: Node) throws -> AxisNormOperator {
    let size = try node.required(node.int("size"), "size")
    guard size > 0, size <= WindowAttributes.limit else { throw Failure(.outOfRange, "size \(size)") }
    return AxisNormOperator(
      kind: .localResponse(
        size: size, alpha: Double(try node.float("alpha", default: 1e-4)),
        beta: Double(try node.float("beta", default: 0.75)), bias: Double(try node.float("bias", default: 1))))
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x = try inputs.input(0, named: "X")
    try x.expectType(realTypes, named: "X")
    switch kind {
    case .lp(let axis, _): _ = try checkedAxis(axis, rank: x.shape.count)
    case .meanVariance(let axes): for axis in axes { _ = try checkedAxis(axis, rank: x.shape.count) }
    case .localResponse: try x.expectRank(2...64, named: "X")
    }
    return [ValueInfo(type: x.type, shape: x.shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let y = outputs.optionalTensor(0), y.count > 0 else { return }
    let x = try inputs.tensor(0, named: "X")
    if x.type == .float64 { try compute(Double.self, x, y) } else { try compute(Float.self, x, y) }
    try context.checkCancelled()
  }

  private func compute<T: Real>(_: T.Type, _ x: Tensor, _ y: Tensor) throws {
    let from = x.pointer(T.self)
    let to = y.pointer(T.self)
    switch kind {
    case .lp(let axis, let p):
      let axis = try checkedAxis(axis, rank: x.rank)
      let (size, inner) = (x.shape[axis], x.shape[(axis + 1)...].reduce(1, *))
      for row in 0..<(x.count / size) {
        let (block, column) = row.quotientAndRemainder(dividingBy: inner)
        let start = block * size * inner + column
        var sum = 0.0
        for i in 0..<size {
          let value = Double(from[start + i * inner])
          sum += p == 1 ? abs(value) : value * value
        }
        let norm = p == 1 ? sum : sum.squareRoot()
        // A zero vector becomes NaN, as the definition and ONNX's test have it.
        for i in 0..<size { to[start + i * inner] = T(Double(from[start + i * inner]) / norm) }
      }
    case .meanVariance(let axes):
      try meanVariance(from, to, x.shape, Set(try axes.map { try checkedAxis($0, rank: x.rank) }))
    case .localResponse(let size, let alpha, let beta, let bias):
      let (channels, inner) = (x.shape[1], x.shape[2...].reduce(1, *))
      for image in 0..<x.shape[0] {
        for channel in 0..<channels {
          let window = max(0, channel - (size - 1) / 2)...min(channels - 1, channel + size / 2)
          for i in 0..<inner {
            var sum = 0.0
            for c in window {
              let value = Double(from[(image * channels + c) * inner + i])
              sum += value * value
            }
            let index = (image * channels + channel) * inner + i
            to[index] = T(Double(from[index]) / Double.pow(bias + alpha / Double(size) * sum, beta))
          }
        }
      }
    }
  }

  /// (x − mean) / (standard deviation + 1e-9) over `axes`.
  private func meanVariance<T: Real>(
    _ from: UnsafePointer<T>, _ to: UnsafeMutablePointer<T>, _ shape: [Int], _ axes: Set<Int>
  ) throws {
    let count = shape.reduce(1, *)
    // Number of the group that each element belongs to.
    var groupStrides = [Int](repeating: 0, count: shape.count)
    var groups = 1
    for axis in shape.indices.reversed() where !axes.contains(axis) {
      groupStrides[axis] = groups
      groups *= shape[axis]
    }
    func group(_ index: Int) -> Int {
      var rest = index
      var result = 0
      for axis in shape.indices.reversed() {
        result += rest % shape[axis] * groupStrides[axis]
        rest /= shape[axis]
      }
      return result
    }
    var sums = [Double](repeating: 0, count: groups)
    var squares = sums
    let size = Double(count / groups)
    for index in 0..<count { sums[group(index)] += Double(from[index]) }
    for index in 0..<count {
      let d = Double(from[index]) - sums[group(index)] / size
      squares[group(index)] += d * d
    }
    for index in 0..<count {
      let g = group(index)
      to[index] = T((Double(from[index]) - sums[g] / size) / ((squares[g] / size).squareRoot() + 1e-9))
    }
  }
}
