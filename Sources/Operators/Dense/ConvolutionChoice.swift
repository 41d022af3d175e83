import Graph
import Kernels

/// How a node's convolution would be computed on this machine, nil for other operators: what `inspect --fusions` prints.
/// Weights that Winograd's transforms would spoil are found only when they are packed.
package func algorithm(of node: Node, inputs: [ValueInfo?]) -> String? {
  guard node.operatorType == "Conv" || node.operatorType == "ConvNHWC", let x = inputs.optionalInput(0),
    let weights = inputs.optionalInput(1)?.shape, let attributes = try? WindowAttributes(node),
    let shape = try? ConvolutionShape(
      x: x.shape, weights: weights, group: (try? node.int("group", default: 1)) ?? 1, attributes: attributes,
      channelsLast: node.operatorType == "ConvNHWC")
  else { return nil }
  if shape.isDepthwise { return "depthwise" }
  let format = (try? node.elementFormat()) ?? .float32
  let suffix = format == .float32 ? "" : ", \(format)"
  if shape.inChannels % format.elementsPerWord == 0,
    WinogradConvolution(shape, kernels: Kernels.current, format: format) != nil
  {
    return "Winograd 4×4" + (format == .float32 ? "" : ", \(format) weights")
  }
  return (shape.window.isPointwise ? "matrix product (1×1)" : "direct") + suffix
}
