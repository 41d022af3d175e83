import Graph
import Support

/// Normalisations and softmaxes.
let normalizationOperators: [OperatorEntry] = [
  .widened("Softmax") { try SoftmaxOperator($0, .softmax) },
  .widened("LogSoftmax") { try SoftmaxOperator($0, .logSoftmax) },
  .widened("Hardmax") { try SoftmaxOperator($0, .hardmax) },
  .widened("LayerNormalization", float32Outputs: [1, 2]) { try LayerNormOperator($0, rootMeanSquare: false) },
  .widened("RMSNormalization") { try LayerNormOperator($0, rootMeanSquare: true) },
  .widened("GroupNormalization", versions: 18...99) { node in
    let groups = try node.required(node.int("num_groups"), "num_groups")
    guard groups > 0 else { throw Failure(.outOfRange, "num_groups must be positive", actual: "\(groups)") }
    return GroupNormOperator(
      groups: groups, epsilon: try node.float("epsilon", default: 1e-5), scalesGroups: node.version < 21)
  },
  .widened("InstanceNormalization") { node in
    GroupNormOperator(groups: nil, epsilon: try node.float("epsilon", default: 1e-5))
  },
  .widened("BatchNormalization") { try BatchNormOperator($0) },
  .widened("LpNormalization") { try AxisNormOperator.lp($0) },
  .widened("MeanVarianceNormalization") { try AxisNormOperator.meanVariance($0) },
  .widened("LRN") { try AxisNormOperator.localResponse($0) },
]
