import Graph
import Support

/// ONNX `BatchNormalization` over the channels at axis 1, with stored or (training_mode) current statistics.
struct BatchNormOperator: Operator {
  let epsilon: Float
  let momentum: Float
  let training: Bool

  init(_ node: Node) throws {
    epsilon = try node.float("epsilon", default: 1e-5)
    momentum = try node.float("momentum", default: 0.9)
    training = try node.bool("training_mode", default: false)
    guard try node.bool("spatial", default: true) else {
      throw Failure(.unsupported, "spatial = 0 (statistics per element)")
    }
    let used = node.outputs.dropFirst().contains { $0 != nil }
    guard training || !used else { throw Failure(.unsupported, "statistics as outputs need training_mode") }
    guard try node.version >= 7 || node.bool("is_test", default: false) else {
      throw Failure(.unsupported, "training in opsets before 7")
    }
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x = try inputs.input(0, named: "X")
    try x.expectType(realTypes, named: "X")
    try x.expectRank(1...64, named: "X")
    let channels = x.shape.count > 1 ? x.shape[1] : 1
    var statistics = x.type
    for (index, name) in [(1, "scale"), (2, "B"), (3, "input_mean"), (4, "input_var")] {
      let info = try inputs.input(index, named: name)
      try info.expectType(realTypes, named: name)
      try info.expectShape([channels], named: name)
      if index == 3 { statistics = info.type }
    }
    let y = ValueInfo(type: x.type, shape: x.shape)
    let running = ValueInfo(type: statistics, shape: [channels])
    return training ? [y, running, running] : [y]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let x = try inputs.tensor(0, named: "X")
    if x.type == .float64 {
      try compute(Double.self, x, inputs, outputs, context: context)
    } else {
      try compute(Float.self, x, inputs, outputs, context: context)
    }
  }

  private func values(_ tensor: Tensor) -> [Double] {
    tensor.type == .float64 ? Array(tensor.buffer(Double.self)) : tensor.buffer(Float.self).map { Double($0) }
  }

  private func compute<T: Real>(
    _: T.Type, _ x: Tensor, _ inputs: [Tensor?], _ outputs: [Tensor?], context: RunContext
  ) throws {
    let scale = values(try inputs.tensor(1, named: "scale"))
    let bias = values(try inputs.tensor(2, named: "B"))
    var mean = values(try inputs.tensor(3, named: "input_mean"))
    var variance = values(try inputs.tensor(4, named: "input_var"))
    let channels = x.rank > 1 ? x.shape[1] : 1
    let inner = x.shape.dropFirst(2).reduce(1, *)
    let images = x.shape[0]
    let from = x.pointer(T.self)
    if training {
      for channel in 0..<channels {
        let count = Double(images * inner)
        var sum = 0.0
        for image in 0..<images { for i in 0..<inner { sum += Double(from[(image * channels + channel) * inner + i]) } }
        let current = sum / count
        var squares = 0.0
        for image in 0..<images {
          for i in 0..<inner {
            let d = Double(from[(image * channels + channel) * inner + i]) - current
            squares += d * d
          }
        }
        let old = Double(momentum)
        store(mean[channel] * old + current * (1 - old), outputs.optionalTensor(1), channel)
        store(variance[channel] * old + squares / count * (1 - old), outputs.optionalTensor(2), channel)
        (mean[channel], variance[channel]) = (current, squares / count)
      }
    }
    guard let y = outputs.optionalTensor(0) else { return }
    let to = y.pointer(T.self)
    try runTasks(images * channels, slots: context.pool.threads, context: context) { _, task in
      let channel = task % channels
      let factor = T(scale[channel] / (variance[channel] + Double(epsilon)).squareRoot())
      let (shift, offset) = (T(mean[channel]), T(bias[channel]))
      let start = task * inner
      for i in start..<(start + inner) { to[i] = (from[i] - shift) * factor + offset }
    }
  }

  private func store(_ value: Double, _ tensor: Tensor?, _ index: Int) {
    guard let tensor else { return }
    if tensor.type == .float64 {
      tensor.pointer(Double.self)[index] = value
    } else {
      tensor.floats[index] = Float(value)
    }
  }
}
