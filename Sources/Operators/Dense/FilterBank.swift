import Graph
import KernelTable
import Kernels
import Support

/// The weights of a convolution in the layout of the algorithm that was chosen for the layer.
///
/// What weights allow is decided here, once per layer; what a shape makes worthwhile, when a plan is made
/// (`WinogradConvolution`).
enum FilterBank: @unchecked Sendable {
  /// One matrix (taps · channels, filters) per group.
  case matrices([PackedMatrix])
  /// As one matrix; the weights allow Winograd's algorithm too, which reads the same panels.
  case winograd(PackedMatrix)
  /// One filter per channel: (tap, channel).
  case depthwise(HeapBlock, KernelTable)

  var kernels: KernelTable {
    switch self {
    case .matrices(let matrices): matrices.first?.kernels ?? Kernels.current
    case .winograd(let matrix): matrix.kernels
    case .depthwise(_, let kernels): kernels
    }
  }

  /// What the matrices hold; filters per channel stay float32.
  var format: ElementFormat {
    switch self {
    case .matrices(let matrices): matrices.first?.format ?? .float32
    case .winograd(let matrix): matrix.format
    case .depthwise: .float32
    }
  }

  /// Packs `weights` (outChannels, inChannels / group, kernel…). Without `allowTransforms` sums keep to plain products,
  /// so that integers stay exact.
  init(
    _ weights: UnsafePointer<Float>, _ shape: ConvolutionShape, kernels: KernelTable, allowDepthwise: Bool = true,
    allowTransforms: Bool = false, format: ElementFormat = .float32
  ) throws(Failure) {
    let taps = shape.window.taps
    if shape.isDepthwise && allowDepthwise {
      let block = try HeapBlock(byteCount: 4 * taps * shape.outChannels)
      let target = block.bytes.assumingMemoryBound(to: Float.self)
      for channel in 0..<shape.outChannels {
        for tap in 0..<taps { target[tap * shape.outChannels + channel] = weights[channel * taps + tap] }
      }
      self = .depthwise(block, kernels)
      return
    }
    var matrices: [PackedMatrix] = []
    let channels = shape.groupIn
    let tile = kernels.gemm.tileColumns
    // Narrow formats are packed from a whole panel in float32.
    let room = format == .float32 ? 0 : shape.depth * tile + PackedMatrix.packingFloatCount(kernels)
    let block = try HeapBlock(byteCount: try CheckedSize.product([room, 4], of: "packed filters"))
    let scratch = room == 0 ? nil : block.bytes.assumingMemoryBound(to: Float.self).baseAddress
    for group in 0..<shape.group {
      let matrix = try PackedMatrix(depth: shape.depth, columns: shape.groupOut, kernels: kernels, format: format)
      for panel in 0..<matrix.panelCount {
        // Reads `width` filters side by side, each in order, and writes whole rows of the panel.
        let width = min(tile, shape.groupOut - panel * tile)
        let source = weights + (group * shape.groupOut + panel * tile) * shape.depth
        let rows = scratch ?? matrix.panels + panel * matrix.panelStride
        for channel in 0..<channels {
          for tap in 0..<taps {
            let target = rows + (tap * channels + channel) * tile
            let from = source + channel * taps + tap
            for column in 0..<width { target[column] = from[column * shape.depth] }
            for column in width..<tile { target[column] = 0 }
          }
        }
        guard let scratch else { continue }
        matrix.pack(panel: panel, scratch: scratch + shape.depth * tile) { first, count, target in
          target.update(from: scratch + first * tile, count: count * tile)
        }
      }
      matrices.append(try matrix.halved())
    }
    withExtendedLifetime(block) {}
    if allowTransforms, WinogradConvolution.applies(to: shape),
      shape.inChannels % format.elementsPerWord == 0, let matrix = matrices.first,
      WinogradAccuracy.relativeError(weights, filters: shape.outChannels, channels: channels) <= WinogradAccuracy.limit
    {
      self = .winograd(matrix)
      return
    }
    self = .matrices(matrices)
  }
}
