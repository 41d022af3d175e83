import Glibc
import Graph
import Kernels
import Support

/// ONNX `LayerNormalization` and `RMSNormalization` over the dimensions from `axis` on.
struct LayerNormOperator: Operator {
  let axis: Int
  let epsilon: Float
  /// RMSNormalization: the mean is not subtracted.
  let rootMeanSquare: Bool

  init(_ node: Node, rootMeanSquare: Bool) throws {
    axis = try node.int("axis", default: -1)
    epsilon = try node.float("epsilon", default: 1e-5)
    self.rootMeanSquare = rootMeanSquare
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x = try inputs.input(0, named: "X")
    let scale = try inputs.input(1, named: "Scale")
    try x.expectType(realTypes, named: "X")
    let axis = try checkedAxis(axis, rank: x.shape.count)
    let normalized = Array(x.shape[axis...])
    for (info, name) in [(scale, "Scale")] + (inputs.optionalInput(2).map { [($0, "B")] } ?? []) {
      try info.expectType([x.type], named: name)
      guard try MatMulShape.broadcast(info.shape, normalized) == normalized else {
        throw Failure(
          .shapeMismatch, "shape of '\(name)'", expected: "broadcastable to \(normalized)", actual: "\(info.shape)")
      }
    }
    let y = ValueInfo(type: x.type, shape: x.shape)
    if rootMeanSquare { return [y] }
    let kept = Array(x.shape[..<axis]) + [Int](repeating: 1, count: x.shape.count - axis)
    let statistics = ValueInfo(type: .float32, shape: kept)
    return [y, statistics, statistics]
  }

  var inPlaceInputs: [Int] { [0] }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let x = try inputs.tensor(0, named: "X")
    guard let y = outputs.optionalTensor(0), y.count > 0 else { return }
    let axis = try checkedAxis(axis, rank: x.rank)
    let count = x.shape[axis...].reduce(1, *)
    let rows = x.count / count
    let scale = try expanded(try inputs.tensor(1, named: "Scale"), x.shape[axis...], count)
    let bias = try inputs.optionalTensor(2).map { try expanded($0, x.shape[axis...], count) }
    let means = outputs.optionalTensor(1)?.floats
    let deviations = outputs.optionalTensor(2)?.floats
    let kernels = Kernels.current
    context.pool.forRanges(rows, grain: max(1, (1 << 11) / count)) { range in
      for row in range {
        if x.type == .float64 {
          let from = x.pointer(Double.self) + row * count
          let to = y.pointer(Double.self) + row * count
          var (mean, variance) = RowMath.moments(from, count: count)
          if rootMeanSquare { (mean, variance) = (0, variance + mean * mean) }
          let factor = 1 / (variance + Double(epsilon)).squareRoot()
          means?[row] = Float(mean)
          deviations?[row] = Float(factor)
          let (s, b) = (scale.pointer(Double.self), bias?.pointer(Double.self))
          for i in 0..<count { to[i] = (from[i] - mean) * factor * s[i] + (b?[i] ?? 0) }
        } else {
          let from = UnsafePointer(x.floats + row * count)
          let mean = rootMeanSquare ? 0 : Float(kernels.sum(from, count) / Double(count))
          let variance = kernels.squaredDeviations(from, mean, count) / Double(count)
          let factor = Float(1 / (variance + Double(epsilon)).squareRoot())
          means?[row] = mean
          deviations?[row] = factor
          kernels.normalizeRow(from, mean, factor, scale.floats, bias?.floats, y.floats + row * count, count)
        }
      }
    }
    try context.checkCancelled()
  }

  /// `tensor` repeated to `shape` where it is smaller.
  private func expanded(_ tensor: Tensor, _ sizes: ArraySlice<Int>, _ count: Int) throws -> Tensor {
    if tensor.count == count { return tensor }
    let shape = Array(sizes)
    let result = try Tensor(type: tensor.type, shape: shape)
    let own = [Int](repeating: 1, count: shape.count - tensor.rank) + tensor.shape
    for index in 0..<result.count {
      var rest = index
      var source = 0
      var stride = 1
      for axis in shape.indices.reversed() {
        let place = rest % shape[axis]
        rest /= shape[axis]
        if own[axis] != 1 { source += place * stride }
        stride *= own[axis]
      }
      if tensor.type == .float64 {
        result.pointer(Double.self)[index] = tensor.pointer(Double.self)[source]
      } else {
        result.floats[index] = tensor.floats[source]
      }
    }
    return result
  }
}
