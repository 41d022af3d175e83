import Graph
import KernelTable
import Kernels

// What `bench --profile` shows beside an operator: the algorithm that was chosen for its shapes and weights.

extension ConvOperator {
  func kernelName(for inputs: [ValueInfo?]) -> String? {
    guard let x = inputs.optionalInput(0), x.type == .float32, let weights = inputs.optionalInput(1)?.shape,
      let shape = try? ConvolutionShape(
        x: x.shape, weights: weights, group: group, attributes: attributes, channelsLast: channelsLast,
        enlargement: enlargement)
    else { return nil }
    return shape.algorithmName(filters) + (filters?.format.suffix ?? "")
  }
}

extension ElementFormat {
  /// Nothing for float32.
  var suffix: String {
    switch self {
    case .float32: ""
    case .twoBFloat16: ", two bfloat16"
    case .bfloat16, .int8, .int16: ", \(self)"
    }
  }
}

extension MatMulOperator {
  func kernelName(for inputs: [ValueInfo?]) -> String? {
    packed.map { "packed weights" + $0.format.suffix } ?? "packed per run"
  }
}

extension MatMulGroupOperator {
  func kernelName(for inputs: [ValueInfo?]) -> String? { "packed weights" + (packed?.matrix.format.suffix ?? "") }
}

extension GemmOperator {
  func kernelName(for inputs: [ValueInfo?]) -> String? {
    packed.map { "packed weights" + $0.format.suffix } ?? "packed per run"
  }
}

extension MatMulGegluOperator {
  func kernelName(for inputs: [ValueInfo?]) -> String? { "gated in the cache" + (packed?.value.format.suffix ?? "") }
}

extension FusedAttentionOperator {
  func kernelName(for inputs: [ValueInfo?]) -> String? {
    let k = inputs.optionalInput(1)?.shape ?? [0, 0, 0]
    let formats = AttentionFormats(
      format, keys: k[1], size: k[2] / heads, isMasked: inputs.optionalInput(3) != nil, Kernels.current)
    return "blocked softmax" + formats.values.suffix + (formats.scores == .int8 ? ", int8 scores" : "")
  }
}
