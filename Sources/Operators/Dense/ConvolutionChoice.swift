import Graph
import KernelTable
import Kernels

/// How a node's convolution would be computed on this machine, nil for other operators: what `inspect --fusions` prints.
/// Weights that Winograd's transforms would spoil are found only when they are packed.
package func algorithm(of node: Node, inputs: [ValueInfo?]) -> String? {
  guard let shape = convolutionShape(of: node, inputs: inputs) else { return nil }
  let isTransformed = WinogradConvolution.applies(to: shape)
  let format = WeightStorage(
    (try? node.elementFormat()) ?? .float32, Kernels.current, depth: isTransformed ? nil : shape.groupIn,
    isTransformed: isTransformed, roundsOnly: node.roundsWeightsOnly
  ).format
  return shape.algorithmName(nil, format) + (shape.isDepthwise ? "" : format.suffix)
}

/// The sizes of a node's float32 convolution; nil for other nodes.
func convolutionShape(of node: Node, inputs: [ValueInfo?]) -> ConvolutionShape? {
  guard node.operatorType == "Conv" || node.operatorType == "ConvNHWC", let x = inputs.optionalInput(0),
    let weights = inputs.optionalInput(1)?.shape, let attributes = try? WindowAttributes(node)
  else { return nil }
  return try? ConvolutionShape(
    x: x.shape, weights: weights, group: (try? node.int("group", default: 1)) ?? 1, attributes: attributes,
    channelsLast: node.operatorType == "ConvNHWC", enlargement: (try? node.int("enlargement", default: 1)) ?? 1)
}

extension ConvolutionShape {
  /// `filters` nil: not packed yet, any algorithm is open.
  func algorithmName(_ filters: FilterBank?, _ format: ElementFormat = .float32) -> String {
    if isDepthwise { return "depthwise" }
    if window.isPointwise { return "matrix product (1×1)" }
    if case .matrices? = filters { return "direct" }
    let format = filters?.format ?? format
    guard inChannels % format.elementsPerWord == 0,
      let winograd = WinogradConvolution(self, kernels: filters?.kernels ?? Kernels.current, format: format)
    else { return "direct" }
    return winograd.name
  }
}
