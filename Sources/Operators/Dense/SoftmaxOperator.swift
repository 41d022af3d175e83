import Graph
import Kernels
import Support

/// ONNX `Softmax`, `LogSoftmax`, `Hardmax`.
struct SoftmaxOperator: Operator {
  enum Kind: Sendable { case softmax, logSoftmax, hardmax }

  let kind: Kind
  let axis: Int
  /// Before opset 13 the input is seen as a matrix (dimensions before `axis`, the rest).
  let flattens: Bool

  init(_ node: Node, _ kind: Kind) throws {
    self.kind = kind
    flattens = node.version < 13
    axis = try node.int("axis", default: flattens ? 1 : -1)
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x = try inputs.input(0, named: "input")
    try x.expectType(realTypes, named: "input")
    _ = try rows(x.shape)
    return [ValueInfo(type: x.type, shape: x.shape)]
  }

  var inPlaceInputs: [Int] { [0] }

  private func rows(_ shape: [Int]) throws(Failure) -> (outer: Int, count: Int, inner: Int) {
    if flattens {
      guard axis >= -shape.count, axis <= shape.count else {
        throw Failure(.outOfRange, "axis \(axis) of a tensor of rank \(shape.count)")
      }
      let split = axis < 0 ? axis + shape.count : axis
      return (shape[..<split].reduce(1, *), shape[split...].reduce(1, *), 1)
    }
    if shape.isEmpty { return (1, 1, 1) }
    let axis = try checkedAxis(axis, rank: shape.count)
    return (shape[..<axis].reduce(1, *), shape[axis], shape[(axis + 1)...].reduce(1, *))
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let y = outputs.optionalTensor(0), y.count > 0 else { return }
    let x = try inputs.tensor(0, named: "input")
    if x.type == .float64 {
      try compute(Double.self, x, y, context: context)
    } else {
      try compute(Float.self, x, y, context: context)
    }
  }

  private func compute<T: Real>(_: T.Type, _ x: Tensor, _ y: Tensor, context: RunContext) throws {
    let (outer, count, inner) = try rows(x.shape)
    let from = x.pointer(T.self)
    let to = y.pointer(T.self)
    let fast = T.self == Float.self && kind == .softmax && inner == 1
    let softmaxRow = Kernels.current.softmaxRow
    context.pool.forRanges(outer * inner, grain: max(1, (1 << 14) / max(1, count))) { range in
      for row in range {
        if fast {
          softmaxRow(x.floats + row * count, y.floats + row * count, count)
          continue
        }
        let (block, column) = row.quotientAndRemainder(dividingBy: inner)
        let start = block * count * inner + column
        switch kind {
        case .softmax: RowMath.softmax(from + start, to + start, count: count, stride: inner)
        case .logSoftmax: RowMath.logSoftmax(from + start, to + start, count: count, stride: inner)
        case .hardmax: RowMath.hardmax(from + start, to + start, count: count, stride: inner)
        }
      }
    }
    try context.checkCancelled()
  }
}
