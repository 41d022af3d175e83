import Graph
import Support

/// Sizes of one convolution: X (batch, inChannels, spatial…) with weights (outChannels, inChannels / group, kernel…).
struct ConvolutionShape: Sendable {
  var batch: Int
  var inChannels: Int
  var outChannels: Int
  var group: Int
  var window: SpatialWindow
  var spatialRank: Int
  /// The window slides over the input with every pixel taken so many times in height and width (1 or 2): a nearest-neighbour
  /// enlargement that is never in memory. `window.input` has the enlarged sizes.
  var enlargement = 1

  var groupIn: Int { inChannels / group }
  var groupOut: Int { outChannels / group }
  /// Rows of the matrix product: output pixels of all images.
  var rows: Int { batch * window.outputCount }
  /// Stored input pixels of all images.
  var storedPixels: Int { batch * storedInputCount }
  /// Its inner dimension per group, ordered (tap, channel).
  var depth: Int { window.taps * groupIn }
  /// One filter per channel.
  var isDepthwise: Bool { group > 1 && groupIn == 1 && groupOut == 1 }

  /// Pixels of one image as it lies in memory.
  var storedInputCount: Int { window.inputCount / (enlargement * enlargement) }

  /// `channelsLast`: X is (batch, spatial…, inChannels).
  init(
    x: [Int], weights: [Int], group: Int, attributes: WindowAttributes, channelsLast: Bool, enlargement: Int = 1
  ) throws(Failure) {
    guard x.count >= 3, weights.count == x.count else {
      throw Failure(.shapeMismatch, "ranks of input and weights", actual: "\(x) and \(weights)")
    }
    spatialRank = x.count - 2
    batch = x[0]
    inChannels = channelsLast ? x[x.count - 1] : x[1]
    outChannels = weights[0]
    self.group = group
    guard group > 0, inChannels == weights[1] * group, outChannels % group == 0 else {
      throw Failure(
        .shapeMismatch, "channels: input has \(inChannels), weights \(weights), group \(group)",
        expected: "input channels = weights[1] · group")
    }
    self.enlargement = enlargement
    guard enlargement == 1 || (enlargement == 2 && spatialRank == 2 && channelsLast) else {
      throw Failure(.unsupported, "enlargement of the input", expected: "1, or 2 in two dimensions, channels last")
    }
    let sizes = Array(channelsLast ? x[1..<(x.count - 1)] : x[2...])
    window = try attributes.window(
      spatial: try sizes.map { size throws(Failure) in try CheckedSize.product([size, enlargement], of: "input") },
      kernel: Array(weights[2...]))
  }

  var outputShape: [Int] { [batch, outChannels] + window.outputShape(rank: spatialRank) }
  var outputShapeChannelsLast: [Int] { [batch] + window.outputShape(rank: spatialRank) + [outChannels] }
}
