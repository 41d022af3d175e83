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
  /// so that integers stay exact. `roundsOnly`: see `WeightStorage`.
  init(
    _ weights: UnsafePointer<Float>, _ shape: ConvolutionShape, kernels: KernelTable, allowDepthwise: Bool = true,
    allowTransforms: Bool = false, format: ElementFormat = .float32, roundsOnly: Bool = false
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
    let isTransformed = allowTransforms && WinogradConvolution.applies(to: shape)
    let storage = WeightStorage(
      format, kernels, depth: allowTransforms && !isTransformed ? shape.groupIn : nil, isTransformed: isTransformed,
      roundsOnly: roundsOnly)
    let format = storage.packing
    var matrices: [PackedMatrix] = []
    let channels = shape.groupIn
    let tile = kernels.gemm.tileColumns
    // Narrow formats are packed from a whole panel in float32.
    let wide = format == .float32 ? 0 : shape.depth * tile + PackedMatrix.packingFloatCount(kernels)
    let piece = Self.pieceChannels * taps * tile
    let room = try CheckedSize.sum(wide, piece, of: "packed filters")
    let block = try HeapBlock(byteCount: try CheckedSize.product([room, 4], of: "packed filters"))
    guard let scratch = block.bytes.assumingMemoryBound(to: Float.self).baseAddress else {
      throw Failure(.outOfMemory, "no memory for packed filters")
    }
    for group in 0..<shape.group {
      let matrix = try PackedMatrix(depth: shape.depth, columns: shape.groupOut, kernels: kernels, storage)
      for panel in 0..<matrix.panelCount {
        let width = min(tile, shape.groupOut - panel * tile)
        let source = weights + (group * shape.groupOut + panel * tile) * shape.depth
        let rows = format == .float32 ? matrix.panels + panel * matrix.panelStride : scratch + piece
        Self.pack(
          source, filters: width, channels: channels, taps: taps, to: rows, scratch: scratch, kernels: kernels)
        guard format != .float32 else { continue }
        matrix.pack(panel: panel, scratch: rows + shape.depth * tile) { first, count, target in
          target.update(from: rows + first * tile, count: count * tile)
        }
      }
      matrices.append(try matrix.stored(storage))
    }
    withExtendedLifetime(block) {}
    if isTransformed,
      shape.inChannels % format.elementsPerWord == 0, let matrix = matrices.first,
      WinogradAccuracy.relativeError(weights, filters: shape.outChannels, channels: channels) <= WinogradAccuracy.limit
    {
      self = .winograd(matrix)
      return
    }
    self = .matrices(matrices)
  }

  /// Channels that are transposed at a time: 36 KB for 3×3 windows on AVX-512.
  private static let pieceChannels = 32

  /// Filters (filter, channel, tap) side by side as the rows (tap, channel) of a panel. `scratch`: a piece's rows.
  private static func pack(
    _ source: UnsafePointer<Float>, filters: Int, channels: Int, taps: Int, to panel: UnsafeMutablePointer<Float>,
    scratch: UnsafeMutablePointer<Float>, kernels: KernelTable
  ) {
    let tile = kernels.gemm.tileColumns
    let distance = channels * taps
    if taps == 1 { return kernels.packPanelTransposed(source, distance, channels, filters, panel) }
    for first in stride(from: 0, to: channels, by: pieceChannels) {
      let count = min(pieceChannels, channels - first)
      kernels.packPanelTransposed(source + first * taps, distance, count * taps, filters, scratch)
      for tap in 0..<taps {
        let target = panel + (tap * channels + first) * tile
        for channel in 0..<count {
          (target + channel * tile).update(from: scratch + (channel * taps + tap) * tile, count: tile)
        }
      }
    }
  }
}
