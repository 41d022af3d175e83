import Graph
import KernelTable
import Kernels
import Support

/// `adadiff:Silu`, `adadiff:Gelu`, `adadiff:QuickGelu` on float32, in place where the planner likes.
struct FusedActivationOperator: Operator {
  let activation: Activation

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x = try inputs.input(0, named: "X")
    try x.expectType([.float32], named: "X")
    return [ValueInfo(type: x.type, shape: x.shape)]
  }

  var inPlaceInputs: [Int] { [0] }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let y = outputs.optionalTensor(0) else { return }
    let x = try inputs.tensor(0, named: "X").floats
    let kernels = Kernels.current
    let kernel: UnaryKernel =
      switch activation {
      case .silu: kernels.silu
      case .gelu: kernels.gelu
      case .geluTanh: kernels.geluTanh
      case .quickGelu: kernels.quickGelu
      case .relu, .none: kernels.relu
      }
    context.pool.forRanges(y.count, grain: 1 << 14) { range in
      kernel(x + range.lowerBound, y.floats + range.lowerBound, range.count)
    }
  }
}

/// `adadiff:Geglu`: X (…, 2N) → x[…, :N] · gelu(x[…, N:]).
struct GegluOperator: Operator {
  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x = try inputs.input(0, named: "X")
    try x.expectType([.float32], named: "X")
    guard let last = x.shape.last, last % 2 == 0 else {
      throw Failure(.shapeMismatch, "the last dimension must be even", actual: "\(x.shape)")
    }
    return [ValueInfo(type: x.type, shape: x.shape.dropLast() + [last / 2])]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let y = outputs.optionalTensor(0), y.count > 0, let count = y.shape.last else { return }
    let x = try inputs.tensor(0, named: "X").floats
    let geglu = Kernels.current.geglu
    context.pool.forRanges(y.count / count, grain: max(1, (1 << 13) / count)) { range in
      for row in range { geglu(x + 2 * row * count, x + (2 * row + 1) * count, y.floats + row * count, count) }
    }
  }
}

/// `adadiff:ResizeNearestNHWC`: every pixel scale_h × scale_w times.
struct ResizeNearestChannelsLastOperator: Operator {
  let vertical: Int
  let horizontal: Int

  init(_ node: Node) throws {
    vertical = try node.required(node.int("scale_h"), "scale_h")
    horizontal = try node.required(node.int("scale_w"), "scale_w")
    guard (1...1024).contains(vertical), (1...1024).contains(horizontal) else {
      throw Failure(.outOfRange, "scales \(vertical) and \(horizontal)", expected: "1 to 1024")
    }
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x = try inputs.input(0, named: "X")
    try x.expectType([.float32], named: "X")
    try x.expectRank(4...4, named: "X")
    let s = x.shape
    return [ValueInfo(type: x.type, shape: [s[0], s[1] * vertical, s[2] * horizontal, s[3]])]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let y = outputs.optionalTensor(0), y.count > 0 else { return }
    let xTensor = try inputs.tensor(0, named: "X")
    let x = xTensor.floats
    let (height, width, channels) = (xTensor.shape[1], xTensor.shape[2], xTensor.shape[3])
    let line = width * horizontal * channels
    context.pool.forRanges(xTensor.shape[0] * height, grain: max(1, (1 << 14) / line)) { range in
      for row in range {
        let first = y.floats + row * vertical * line
        for column in 0..<width {
          for copy in 0..<horizontal {
            (first + (column * horizontal + copy) * channels).update(
              from: x + (row * width + column) * channels, count: channels)
          }
        }
        for copy in 1..<max(1, vertical) { (first + copy * line).update(from: first, count: line) }
      }
    }
    try context.checkCancelled()
  }
}
