import Graph
import KernelTable
import Kernels
import Support

/// The weights of a float32 convolution in the layout of the algorithm that was chosen for the layer.
///
/// The choice falls here, once per layer; further algorithms (Winograd for 3×3 with stride 1) are further cases.
enum FilterBank: @unchecked Sendable {
  /// One matrix (taps · channels, filters) per group.
  case matrices([PackedMatrix])
  /// One filter per channel: (tap, channel).
  case depthwise(HeapBlock, KernelTable)

  var kernels: KernelTable {
    switch self {
    case .matrices(let matrices): matrices.first?.kernels ?? Kernels.current
    case .depthwise(_, let kernels): kernels
    }
  }

  /// Packs `weights` (outChannels, inChannels / group, kernel…).
  init(_ weights: UnsafePointer<Float>, _ shape: ConvolutionShape, kernels: KernelTable, allowDepthwise: Bool = true)
    throws(Failure)
  {
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
    for group in 0..<shape.group {
      let matrix = try PackedMatrix(depth: shape.depth, columns: shape.groupOut, kernels: kernels)
      for column in 0..<matrix.panelCount * tile {
        let target = matrix.panels + column / tile * matrix.panelStride + column % tile
        guard column < shape.groupOut else {
          for k in 0..<shape.depth { target[k * tile] = 0 }
          continue
        }
        let source = weights + (group * shape.groupOut + column) * shape.depth
        for channel in 0..<channels {
          for tap in 0..<taps { target[(tap * channels + channel) * tile] = source[channel * taps + tap] }
        }
      }
      matrices.append(matrix)
    }
    self = .matrices(matrices)
  }
}
