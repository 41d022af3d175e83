import Graph
import KernelTable
import Support

/// Operators of domain `adadiff`, which only graph passes introduce: float32, channels last where the name says NHWC.
let fusedOperators: [OperatorEntry] = [
  OperatorEntry("ConvNHWC", domain: "adadiff") { try ConvOperator($0, channelsLast: true) },
  OperatorEntry("MatMulBias", domain: "adadiff") { node in
    MatMulOperator(
      fused: true, activation: try MatMulOperator.activation(node), format: try node.elementFormat())
  },
  OperatorEntry("Attention", domain: "adadiff") { try FusedAttentionOperator($0) },
  OperatorEntry("GroupNormNHWC", domain: "adadiff") { try GroupNormChannelsLastOperator($0) },
  OperatorEntry("GroupNorm", domain: "adadiff") { node in
    let groups = try node.required(node.int("num_groups"), "num_groups")
    guard groups > 0 else { throw Failure(.outOfRange, "num_groups must be positive", actual: "\(groups)") }
    return GroupNormOperator(
      groups: groups, epsilon: try node.float("epsilon", default: 1e-5),
      activation: try MatMulOperator.activation(node))
  },
  OperatorEntry("Silu", domain: "adadiff") { _ in FusedActivationOperator(activation: .silu) },
  OperatorEntry("QuickGelu", domain: "adadiff") { _ in FusedActivationOperator(activation: .quickGelu) },
  OperatorEntry("Gelu", domain: "adadiff") { node in
    switch try node.string("approximate", default: "none") {
    case "none", "": return FusedActivationOperator(activation: .gelu)
    case "tanh": return FusedActivationOperator(activation: .geluTanh)
    case let name: throw Failure(.unsupported, "approximate = '\(name)'")
    }
  },
  OperatorEntry("Geglu", domain: "adadiff") { _ in GegluOperator() },
  OperatorEntry("MatMulGeglu", domain: "adadiff") { MatMulGegluOperator(format: try $0.elementFormat()) },
  OperatorEntry("MatMulGroup", domain: "adadiff") { MatMulGroupOperator(format: try $0.elementFormat()) },
  OperatorEntry("ResizeNearestNHWC", domain: "adadiff") { try ResizeNearestChannelsLastOperator($0) },
]
