import Graph
import KernelTable
import Support

/// Squares of outputs that Winograd's algorithm computes at a time.
enum WinogradSquares: CaseIterable {
  /// F(4×4, 3×3): 36 products for 16 outputs.
  case four
  /// F(3×3, 3×3): 25 products for 9 outputs.
  case three
  /// 25 products for 16 outputs, where every pixel of the image is there four times.
  case fourEnlarged

  func transforms(_ kernels: KernelTable) -> WinogradKernels {
    switch self {
    case .four: kernels.winograd
    case .three: kernels.smallWinograd
    case .fourEnlarged: kernels.enlargedWinograd
    }
  }

  /// Whether windows lie as the transform takes them: a doubled image's begin with the second of two equal lines.
  func apply(to shape: ConvolutionShape) -> Bool {
    let pad = shape.window.padBegin
    return self != .fourEnlarged || (shape.enlargement == 2 && pad.y % 2 == 1 && pad.x % 2 == 1)
  }

  /// For reports.
  var name: String {
    switch self {
    case .four: "Winograd 4×4"
    case .three: "Winograd 3×3"
    case .fourEnlarged: "Winograd 4×4 of doubled pixels"
    }
  }
}

/// A 3×3 convolution with stride 1 by Winograd's algorithm, on the weights that the direct convolution packs.
///
/// Output squares ("tiles") are taken in blocks. Per block all windows are transformed into V (frequency, tile, channel);
/// then every task takes one panel of output channels: it transforms the panel's weights for a piece of the channels,
/// multiplies once per frequency, and once all channels are summed transforms the products into outputs with bias, residual and
/// activation. Transforming weights on the way costs a few percent and saves a copy four times their size; with few tiles, where it would
/// cost most, transformed weights are never in memory (`fusedKernels`).
///
/// Narrow weights are widened to float32 before they are transformed. Where the machine has dot products of bfloat16 pairs,
/// they and the transformed windows are then rounded to bfloat16: an error of 2^-9 in each becomes about 1.1e-2 of a layer's
/// result and 2.0e-2 of the SD-2.1 UNet's.
///
/// Every output is one chain of sums over channels in fixed pieces: thread count and blocks do not show in the result.
struct WinogradConvolution {
  let shape: ConvolutionShape
  let kernels: KernelTable
  private let squares: WinogradSquares
  let transforms: WinogradKernels
  /// Of the weights.
  let format: ElementFormat
  /// Of the products: float32 or bfloat16.
  private let arithmetic: ElementFormat
  private let tilesDown: Int
  private let tilesAcross: Int
  private let tilesPerBlock: Int
  let depthBlocks: Int
  private let panels: Int

  /// Words of channels whose transformed weights one task keeps: 36 · 64 · 32 floats are 295 KB, which with a panel's
  /// products stay in a 1 MB second-level cache.
  private static let weightDepth = 64
  /// Bytes of V that a block may have: they are read once per panel and should stay in a share of the last-level cache.
  private static let blockByteLimit = 7 << 20
  /// Tiles of a block: 36 · 96 · 32 products are 440 KB, so that they and the weights stay in the second-level cache.
  private static let tileLimit = 96

  /// Nil where the layer is not of the kind, or where the direct convolution is expected to be faster.
  init?(_ shape: ConvolutionShape, kernels: KernelTable, format: ElementFormat = .float32) {
    guard Self.applies(to: shape), shape.rows > 0, shape.inChannels > 0, shape.outChannels > 0 else { return nil }
    self.init(unconditionally: shape, kernels: kernels, format: format)
    for squares in WinogradSquares.allCases where squares.apply(to: shape) {
      let other = Self(unconditionally: shape, kernels: kernels, format: format, squares: squares)
      // Narrow products are worth more than other squares.
      if other.arithmetic == arithmetic, other.cost < cost { self = other }
    }
    guard cost < Self.directCost(shape, kernels, format) else { return nil }
  }

  /// For tests: whatever it costs.
  init(
    unconditionally shape: ConvolutionShape, kernels: KernelTable, format: ElementFormat = .float32,
    squares: WinogradSquares = .four
  ) {
    self.shape = shape
    self.kernels = kernels
    self.squares = squares
    transforms = squares.transforms(kernels)
    self.format = format
    arithmetic = format != .float32 && transforms.pairs != nil ? .bfloat16 : .float32
    let side = transforms.outputSide
    let w = shape.window
    tilesDown = (w.output.y + side - 1) / side
    tilesAcross = (w.output.x + side - 1) / side
    let g = kernels.gemm
    depthBlocks = (arithmetic.words(shape.inChannels) + g.blockDepth - 1) / g.blockDepth
    panels = PackedMatrix.panelCount(shape.outChannels, kernels)
    let tiles = shape.batch * tilesDown * tilesAcross
    // Processors with tiles have 2 MB second-level caches, and transforming weights is a larger part there: 2 % of such layers.
    let scale = arithmetic != .float32 && kernels.narrow.shape != nil ? 2 : 1
    let fitting =
      scale * Self.blockByteLimit / (4 * transforms.inputFrequencies * max(1, arithmetic.words(shape.inChannels)))
    let limit = max(4 * g.tileRows, min(scale * Self.tileLimit, fitting))
    tilesPerBlock = tiles <= limit ? max(1, tiles) : limit / g.tileRows * g.tileRows
  }

  /// True for 3×3 windows in two dimensions that move pixel by pixel.
  static func applies(to shape: ConvolutionShape) -> Bool {
    let w = shape.window
    return shape.group == 1 && w.kernel == Triple(z: 1, y: 3, x: 3) && w.stride == Triple(1) && w.dilation == Triple(1)
      && w.input.z == 1 && w.output.z == 1 && w.padBegin.z == 0
  }

  var name: String { squares.name }

  // MARK: Cost

  private var tiles: Int { shape.batch * tilesDown * tilesAcross }
  /// Rows of the smallest matrix product.
  private var rowStep: Int { kernels.shape(arithmetic).smallestTileRows }
  private var blocks: Int { (tiles + tilesPerBlock - 1) / tilesPerBlock }

  /// Expected time in vector multiply-adds. The transforms' figures are measured on AVX-512 (cycles per vector, data in
  /// the second- and third-level cache).
  var cost: Double {
    let lanes = kernels.gemm.tileColumns / 2
    let rows = Double((tilesPerBlock + rowStep - 1) / rowStep * rowStep)
    let frequencies = Double(transforms.frequencies)
    let products = frequencies * Double(blocks) * rows * Double(arithmetic.words(shape.inChannels)) * 2 * Double(panels)
    let input =
      7.5 * Double(transforms.inputFrequencies) * Double(tiles) * Double((shape.inChannels + lanes - 1) / lanes)
    // Those that stay in registers take less.
    let weights =
      (fusedKernels(tiles: tilesPerBlock) != nil ? 3.5 : format == .float32 ? 5 : 7.2) * frequencies * Double(blocks)
      * Double(shape.inChannels) * 2 * Double(panels)
    let output = 6.1 * frequencies * Double(tiles) * 2 * Double(panels)
    return products * 1.1 * kernels.shape(arithmetic).rowCycles + input + weights + output
  }

  static func directCost(
    _ shape: ConvolutionShape, _ kernels: KernelTable, _ format: ElementFormat = .float32
  ) -> Double {
    let tile = kernels.gemm.tileRows
    let rows = Double((shape.rows + tile - 1) / tile * tile)
    let steps = Double(format.words(shape.depth)) * kernels.stepCost(format)
    return rows * steps * 2 * Double(PackedMatrix.panelCount(shape.outChannels, kernels)) * 1.05
  }

  // MARK: Memory

  var lanes: Int { kernels.gemm.tileColumns / 2 }
  /// Matrix products read whole register tiles.
  private var paddedTiles: Int {
    (tilesPerBlock + kernels.gemm.tileRows - 1) / kernels.gemm.tileRows * kernels.gemm.tileRows
  }
  /// One cache line more than whole pages, so that the 36 places of a tile fall into different cache sets.
  var inputFrequencyStride: Int { paddedTiles * kernels.gemm.rowStride + 16 }
  var inputBlockStride: Int { transforms.inputFrequencies * inputFrequencyStride }
  var weightFrequencyStride: Int { Self.weightDepth * kernels.gemm.tileColumns + 16 }
  var productFrequencyStride: Int { paddedTiles * kernels.gemm.tileColumns + 16 }
  var slotFloatCount: Int {
    let g = kernels.gemm
    let vectors = WinogradKernels.scratchVectors * lanes + kernels.edgeFloatCount
    return transforms.frequencies * (weightFrequencyStride + productFrequencyStride) + vectors
      + (format != .float32 && arithmetic == .float32 ? 9 * pieceFloatCount : 0)
  }
  /// Channels that are widened at a time: short enough for the second-level cache.
  private static let pieceDepth = 32
  private var pieceFloatCount: Int { Self.pieceDepth * kernels.gemm.tileColumns }

  func scratchByteCount(threads: Int) -> Int {
    ScratchMemory.byteCount(floats: depthBlocks * inputBlockStride)
      + ScratchMemory.byteCount(floats: max(1, threads) * slotFloatCount)
  }

  // MARK: Running

  func run(_ convolution: Convolution, _ weights: PackedMatrix, context: RunContext, scratch: inout ScratchMemory)
    throws
  {
    let slots = context.pool.threads
    let v = try scratch.takeFloats(depthBlocks * inputBlockStride)
    let own = try scratch.takeFloats(slots * slotFloatCount)
    var first = 0
    while first < tiles {
      let count = min(tilesPerBlock, tiles - first)
      try runTasks(count * depthBlocks, slots: slots, context: context) { slot, task in
        let (block, tile) = task.quotientAndRemainder(dividingBy: count)
        transformInput(
          convolution.x, tile: first + tile, depthBlock: block,
          v + block * inputBlockStride + tile * kernels.gemm.rowStride, own + slot * slotFloatCount)
      }
      if let fused = fusedKernels(tiles: count) {
        try multiply(fused, convolution, weights, v, first..<first + count, own, context: context)
        first += count
        continue
      }
      let plan = Division(
        panels: panels, tiles: count, slots: slots, step: rowStep,
        mayHalve: hasVectorTiles && count <= 2 * kernels.gemm.tileRows)
      try runTasks(plan.count, slots: slots, context: context) { slot, task in
        let place = plan.place(task)
        multiply(
          convolution, weights, place, v + place.firstTile * kernels.gemm.rowStride, firstTile: first + place.firstTile,
          own + slot * slotFloatCount)
      }
      first += count
    }
  }

  /// Panel kernels that compute one vector of a panel's two alone, and a last panel with filters in both.
  private var hasVectorTiles: Bool {
    let last = shape.outChannels % kernels.gemm.tileColumns
    return (arithmetic == .float32 || kernels.narrow.shape == nil) && (last == 0 || last > lanes)
  }

  /// Image, row and column of a tile's first output.
  private func place(_ tile: Int) -> (image: Int, y: Int, x: Int) {
    let (image, rest) = tile.quotientAndRemainder(dividingBy: tilesDown * tilesAcross)
    let (down, across) = rest.quotientAndRemainder(dividingBy: tilesAcross)
    return (image, down * transforms.outputSide, across * transforms.outputSide)
  }

  private func transformInput(
    _ x: UnsafePointer<Float>, tile: Int, depthBlock: Int, _ target: UnsafeMutablePointer<Float>,
    _ scratch: UnsafeMutablePointer<Float>
  ) {
    let w = shape.window
    let channels = shape.inChannels
    let at = place(tile)
    let (top, left) = (at.y - w.padBegin.y, at.x - w.padBegin.x)
    let g = kernels.gemm
    let channelsPerBlock = g.blockDepth * arithmetic.elementsPerWord
    let firstChannel = depthBlock * channelsPerBlock
    let endChannel = min(channels, firstChannel + channelsPerBlock)
    let side = transforms.windowSide
    func bounds(_ start: Int, _ size: Int) -> (Int, Int) {
      let begin = min(side, max(0, -start))
      return (begin, max(begin, min(side, size - start)))
    }
    let (yBegin, yEnd) = bounds(top, w.input.y)
    let (xBegin, xEnd) = bounds(left, w.input.x)
    // Enlarged pixel i lies at i >> shift.
    let shift = shape.enlargement - 1
    let line = (w.input.x >> shift) * channels
    let first = x + at.image * shape.storedInputCount * channels + (top >> shift) * line + (left >> shift) * channels
    let transform = arithmetic == .float32 ? transforms.input : transforms.pairs?.input ?? transforms.input
    transform(
      first + firstChannel, channels, line, yBegin, yEnd, xBegin, xEnd, endChannel - firstChannel, target,
      inputFrequencyStride, shift, top & shift, left & shift, scratch)
  }

  private func multiply(
    _ convolution: Convolution, _ weights: PackedMatrix, _ task: Division.Place, _ v: UnsafeMutablePointer<Float>,
    firstTile: Int, _ own: UnsafeMutablePointer<Float>
  ) {
    let g = kernels.gemm
    let count = task.tiles
    let firstColumn = task.panel * g.tileColumns + task.vectors.lowerBound * lanes
    let columns = min(task.vectors.count * lanes, shape.outChannels - firstColumn)
    let vectors = columns > lanes ? task.vectors : task.vectors.prefix(1)
    let u = own
    let m = u + transforms.frequencies * weightFrequencyStride
    let between = m + transforms.frequencies * productFrequencyStride
    let edge = between + WinogradKernels.scratchVectors * lanes
    let after = edge + kernels.edgeFloatCount
    let kernel = arithmetic == .float32 ? kernels.gemmPanel : kernels.narrow.pairPanel
    let words = arithmetic.words(shape.inChannels)
    var k = 0
    while k < words {
      let (block, within) = k.quotientAndRemainder(dividingBy: g.blockDepth)
      let depth = min(Self.weightDepth, g.blockDepth - within, words - k)
      let channel = k * arithmetic.elementsPerWord
      transformWeights(
        weights, panel: task.panel, vectors, channel: channel,
        count: min(depth * arithmetic.elementsPerWord, shape.inChannels - channel), u, after)
      let windows = v + block * inputBlockStride + within
      func rows(_ frequency: Int) -> UnsafeMutablePointer<Float> {
        windows + transforms.inputPlace(ofFrequency: frequency) * inputFrequencyStride
      }
      for frequency in 0..<transforms.frequencies {
        kernel(
          count, columns, depth, rows(frequency), u + frequency * weightFrequencyStride + vectors.lowerBound * lanes,
          m + frequency * productFrequencyStride, g.tileColumns, k > 0, edge,
          rows((frequency + 1) % transforms.frequencies), nil, 0, 0)
      }
      k += depth
    }
    transformOutputs(convolution, m, firstTile..<firstTile + count, firstColumn..<firstColumn + columns, between)
  }

  /// Products of some tiles and columns into outputs, with what follows them.
  func transformOutputs(
    _ convolution: Convolution, _ m: UnsafePointer<Float>, _ tiles: Range<Int>, _ columns: Range<Int>,
    _ scratch: UnsafeMutablePointer<Float>
  ) {
    let w = shape.window
    let filters = shape.outChannels
    let line = w.output.x * filters
    let side = transforms.outputSide
    let firstColumn = columns.lowerBound
    for (index, tile) in tiles.enumerated() {
      let at = place(tile)
      let offset = (at.image * w.outputCount + at.y * w.output.x + at.x) * filters + firstColumn
      transforms.output(
        m + index * kernels.gemm.tileColumns, productFrequencyStride, min(side, w.output.y - at.y),
        min(side, w.output.x - at.x), columns.count, convolution.y + offset, filters, line,
        convolution.bias.map { $0 + firstColumn },
        convolution.residual.map { $0 + offset }, convolution.activation.rawValue, scratch)
    }
  }

  /// The transformed weights of some channels of one panel's vectors. `piece`: room for widened weights.
  private func transformWeights(
    _ weights: PackedMatrix, panel: Int, _ vectors: Range<Int>, channel: Int, count: Int,
    _ u: UnsafeMutablePointer<Float>, _ piece: UnsafeMutablePointer<Float>
  ) {
    let (first, end) = (vectors.lowerBound, vectors.upperBound)
    let tile = kernels.gemm.tileColumns
    if format == .float32 {
      let kernel = weights.isHalf ? transforms.halfWeights ?? transforms.weights : transforms.weights
      kernel(
        weights.panel(panel, from: channel), shape.inChannels * weights.rowStride, count, first, end, u,
        weightFrequencyStride)
      return
    }
    if arithmetic != .float32, let pairs = transforms.pairs {
      let words = format.words(count)
      let place = weights.panel(panel, from: format.words(channel))
      let tapStride = format.words(shape.inChannels) * tile
      if format == .int8 {
        pairs.byteWeights(
          place, tapStride, words, first, end, weights.columnScales + panel * tile, u, weightFrequencyStride)
      } else {
        pairs.pairWeights(place, tapStride, words, first, end, u, weightFrequencyStride)
      }
      return
    }
    for row in stride(from: 0, to: count, by: Self.pieceDepth) {
      let rows = min(Self.pieceDepth, count - row)
      for tap in 0..<9 {
        weights.unpack(
          panel: panel, first: tap * shape.inChannels + channel + row, count: rows, to: piece + tap * pieceFloatCount)
      }
      transforms.weights(piece, pieceFloatCount, rows, first, end, u + row * tile, weightFrequencyStride)
    }
  }
}
