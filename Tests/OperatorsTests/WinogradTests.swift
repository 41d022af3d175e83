import Graph
import Kernels
import Support
import Testing

@testable import Operators

/// Winograd's algorithm against the definition, whatever the cost model says.
@Suite struct WinogradTests {
  private struct Result {
    var values: [Float]
    var expected: [Double]
  }

  private static func run(
    batch: Int = 1, height: Int, width: Int, channels: Int, filters: Int, pads: [Int] = [1, 1, 1, 1],
    threads: Int = 2, squares: WinogradSquares = .four, edit: (inout [Float]) -> Void = { _ in }
  ) throws -> Result {
    let scale = squares == .fourEnlarged ? 2 : 1
    let c = DenseConvolutionTests.Case(
      description: "", batch: batch, channels: channels, spatial: [scale * height, scale * width], filters: filters,
      kernel: [3, 3], strides: [1, 1], pads: pads, dilations: [1, 1])
    var x = sequence(batch * channels * height * width, seed: 1)
    edit(&x)
    let w = sequence(filters * channels * 9, seed: 2)
    let bias = sequence(filters, seed: 3)
    var large: [Float] = []
    for line in 0..<(batch * channels * height * scale) {
      for column in 0..<(width * scale) { large.append(x[line / scale * width + column / scale]) }
    }
    let (plain, out) = DenseConvolutionTests.reference(c, large, w, bias)
    let residual = sequence(plain.count, seed: 4)
    let expected = zip(DenseConvolutionTests.channelsLast(plain, batch, filters), residual).map {
      max(0, $0 + Double($1))
    }
    let attributes = try WindowAttributes(
      Node(
        name: "n", operatorType: "Conv", version: 11, inputs: [], outputs: [],
        attributes: ["pads": .ints(pads.map { Int64($0) })]))
    let shape = try ConvolutionShape(
      x: [batch, height, width, channels], weights: [filters, channels, 3, 3], group: 1, attributes: attributes,
      channelsLast: true, enlargement: scale)
    #expect(WinogradConvolution.applies(to: shape) && squares.apply(to: shape))
    let kernels = Kernels.current
    guard case .winograd(let matrix) = try FilterBank(w, shape, kernels: kernels, allowTransforms: true) else {
      Issue.record("weights were refused")
      return Result(values: [], expected: [])
    }
    let image = try Tensor(DenseConvolutionTests.channelsLast(x, batch, channels), [x.count])
    let biasTensor = try Tensor(bias)
    let residualTensor = try Tensor(residual, [residual.count])
    let y = try Tensor(type: .float32, shape: [batch] + out + [filters])
    let convolution = Convolution(
      shape: shape, x: image.pointer(), y: y.pointer(), bias: UnsafePointer(biasTensor.pointer(Float.self)),
      residual: UnsafePointer(residualTensor.pointer(Float.self)), activation: .relu)
    let winograd = WinogradConvolution(unconditionally: shape, kernels: kernels, squares: squares)
    let block = try HeapBlock(byteCount: winograd.scratchByteCount(threads: threads))
    var scratch = ScratchMemory(block.bytes)
    try winograd.run(
      convolution, matrix, context: RunContext(pool: ThreadPool(threads: threads)), scratch: &scratch)
    return withExtendedLifetime((image, biasTensor, residualTensor, block)) {
      Result(values: y.values(), expected: expected)
    }
  }

  private static func error(_ result: Result) -> Double {
    let scale = result.expected.reduce(1e-30) { max($0, abs($1)) }
    guard result.values.count == result.expected.count else { return .infinity }
    return zip(result.values, result.expected).reduce(0) { max($0, abs(Double($1.0) - $1.1) / scale) }
  }

  /// The transforms grow rounding errors about fivefold over a direct sum: 1.4e-6 in the mean, here of the largest.
  private static let limit = 1e-5

  @Test(arguments: [1, 3, 7, 15, 17, 31, 33, 63, 65])
  func sizes(_ size: Int) throws {
    #expect(Self.error(try Self.run(height: size, width: 5, channels: 3, filters: 2)) < Self.limit)
    #expect(Self.error(try Self.run(height: 2, width: size, channels: 2, filters: 3)) < Self.limit)
    #expect(Self.error(try Self.run(height: 6, width: 5, channels: size, filters: 4)) < Self.limit)
    #expect(Self.error(try Self.run(batch: 2, height: 5, width: 9, channels: 5, filters: size)) < Self.limit)
  }

  /// Every tile of every panel belongs to one task, whatever the numbers, and no round leaves a thread without one.
  @Test func tasksCoverAllPanels() {
    for (panels, tiles, slots, step) in [(5, 8, 2, 4), (4, 96, 2, 4), (1, 96, 8, 12), (3, 1, 2, 4), (7, 50, 4, 6)] {
      for mayHalve in [false, true] {
        let division = WinogradConvolution.Division(
          panels: panels, tiles: tiles, slots: slots, step: step, mayHalve: mayHalve)
        var computed = [Int](repeating: 0, count: panels * 2 * tiles)
        for task in 0..<division.count {
          let place = division.place(task)
          for vector in place.vectors {
            for tile in place.firstTile..<(place.firstTile + place.tiles) {
              computed[(2 * place.panel + vector) * tiles + tile] += 1
            }
          }
        }
        #expect(computed.allSatisfy { $0 == 1 })
        let rest = division.count - panels / slots * slots
        #expect(rest == 0 || rest >= min(slots, panels % slots * max(1, tiles / step) * (mayHalve ? 2 : 1)))
      }
    }
  }

  /// Five panels on two threads: two whole ones and half of the fifth for each.
  @Test func sharesHaveEquallyManyPanels() {
    for mayHalve in [false, true] {
      let division = WinogradConvolution.Division(panels: 5, tiles: 8, slots: 2, step: 4, mayHalve: mayHalve)
      let places = (0..<division.count).map(division.place)
      #expect(places.map(\.panel) == [0, 1, 4, 2, 3, 4])
      #expect(places.map(\.tiles) == (mayHalve ? [8, 8, 8, 8, 8, 8] : [8, 8, 4, 8, 8, 4]))
      #expect(places.map(\.vectors.count) == (mayHalve ? [2, 2, 1, 2, 2, 1] : [2, 2, 2, 2, 2, 2]))
    }
  }

  /// Squares of 3×3 outputs, whole and cut off, any number of threads.
  @Test func smallSquares() throws {
    for (height, width, channels, filters) in [
      (6, 6, 160, 70), (6, 6, 70, 160), (5, 7, 3, 33), (1, 1, 1, 1), (12, 2, 65, 40), (3, 3, 5, 30), (6, 4, 270, 17),
    ] {
      // Up to four tiles are transformed and multiplied in one.
      for batch in [1, 2] {
        let one = try Self.run(
          batch: batch, height: height, width: width, channels: channels, filters: filters, threads: 1, squares: .three)
        #expect(Self.error(one) < Self.limit)
        for threads in [2, 3, 7] {
          let other = try Self.run(
            batch: batch, height: height, width: width, channels: channels, filters: filters, threads: threads,
            squares: .three)
          #expect(other.values == one.values)
        }
      }
    }
    #expect(Self.error(try Self.run(height: 61, width: 50, channels: 4, filters: 5, squares: .three)) < Self.limit)
    #expect(
      Self.error(try Self.run(height: 9, width: 8, channels: 6, filters: 5, pads: [2, 1, 0, 3], squares: .three))
        < Self.limit)
  }

  /// Images of doubled pixels, whole and cut off, more channels and tiles than a block holds, any number of threads.
  @Test func doubledPixels() throws {
    for (height, width, channels, filters) in [
      (8, 8, 160, 70), (4, 4, 70, 96), (5, 7, 3, 33), (1, 1, 1, 1), (2, 3, 300, 40), (31, 25, 4, 5),
    ] {
      let one = try Self.run(
        batch: 2, height: height, width: width, channels: channels, filters: filters, threads: 1, squares: .fourEnlarged
      )
      #expect(Self.error(one) < Self.limit)
      for threads in [2, 3, 7] {
        let other = try Self.run(
          batch: 2, height: height, width: width, channels: channels, filters: filters, threads: threads,
          squares: .fourEnlarged)
        #expect(other.values == one.values)
      }
    }
    for pads in [[1, 1, 0, 0], [3, 1, 2, 3], [1, 3, 1, 1]] {
      let result = try Self.run(height: 9, width: 8, channels: 6, filters: 5, pads: pads, squares: .fourEnlarged)
      #expect(Self.error(result) < Self.limit)
    }
  }

  @Test func blocksOfChannelsAndTiles() throws {
    #expect(Self.error(try Self.run(height: 7, width: 6, channels: 300, filters: 70)) < Self.limit)
    // More tiles than one block holds.
    #expect(Self.error(try Self.run(batch: 2, height: 61, width: 50, channels: 4, filters: 5)) < Self.limit)
    // Other paddings than the usual one.
    for pads in [[0, 0, 0, 0], [2, 1, 0, 3], [0, 2, 2, 0]] {
      #expect(Self.error(try Self.run(height: 9, width: 8, channels: 6, filters: 5, pads: pads)) < Self.limit)
    }
  }

  @Test func threadsDoNotShow() throws {
    let one = try Self.run(batch: 2, height: 30, width: 31, channels: 40, filters: 33, threads: 1).values
    for threads in [2, 3, 7] {
      let other = try Self.run(batch: 2, height: 30, width: 31, channels: 40, filters: 33, threads: threads).values
      #expect(one == other)
    }
  }

  /// NaN reaches every output whose window holds it, and none beyond its tiles; infinity is not lost either.
  @Test func notANumber() throws {
    let (height, width) = (16, 16)
    let clean = try Self.run(height: height, width: width, channels: 3, filters: 2).values
    for bad in [Float.nan, .infinity] {
      let values = try Self.run(height: height, width: width, channels: 3, filters: 2) { $0[9 * width + 9] = bad }
        .values
      for y in 0..<height {
        for x in 0..<width {
          let index = (y * width + x) * 2
          if abs(y - 9) <= 1, abs(x - 9) <= 1 {
            // ReLU may turn −∞ into 0, but NaN stays.
            if bad.isNaN { #expect(values[index].isNaN) }
          } else if y / 4 < 1 || x / 4 < 1 || y / 4 > 3 {
            #expect(values[index] == clean[index])
          }
        }
      }
      #expect(values.contains { !$0.isFinite })
    }
  }

  @Test func denormals() throws {
    let result = try Self.run(height: 5, width: 5, channels: 3, filters: 2) { x in
      for i in x.indices { x[i] *= 1e-40 }
    }
    #expect(Self.error(result) < Self.limit)
  }

  /// Weights that the transforms would spoil keep to the direct sum.
  @Test func accuracyDecides() throws {
    let good = sequence(4 * 3 * 9, seed: 5)
    #expect(WinogradAccuracy.relativeError(good, filters: 4, channels: 3) < 1e-5)
    let zeros = [Float](repeating: 0, count: 9)
    #expect(WinogradAccuracy.relativeError(zeros, filters: 1, channels: 1) == 0)
    let bad = [Float](repeating: .nan, count: 9)
    #expect(!(WinogradAccuracy.relativeError(bad, filters: 1, channels: 1) <= WinogradAccuracy.limit))
    let huge = [Float](repeating: 3e38, count: 9)
    #expect(!(WinogradAccuracy.relativeError(huge, filters: 1, channels: 1) <= WinogradAccuracy.limit))
  }

  @Test func costModel() throws {
    let attributes = try WindowAttributes(
      Node(
        name: "n", operatorType: "Conv", version: 11, inputs: [], outputs: [],
        attributes: ["pads": .ints([1, 1, 1, 1])]))
    func winograd(_ size: Int, _ channels: Int, _ filters: Int) throws -> Bool {
      let shape = try ConvolutionShape(
        x: [2, size, size, channels], weights: [filters, channels, 3, 3], group: 1, attributes: attributes,
        channelsLast: true)
      return WinogradConvolution(shape, kernels: Kernels.current) != nil
    }
    // The layers of Stable Diffusion's UNet and decoder.
    for (size, channels) in [(64, 320), (32, 640), (16, 1280), (512, 128)] {
      #expect(try winograd(size, channels, channels))
    }
    // Images of 6×6 are four squares of 3×3, or of 4×4 that are half empty.
    func name(_ size: Int, _ channels: Int, enlargement: Int = 1) throws -> String? {
      let shape = try ConvolutionShape(
        x: [2, size, size, channels], weights: [channels, channels, 3, 3], group: 1, attributes: attributes,
        channelsLast: true, enlargement: enlargement)
      return WinogradConvolution(shape, kernels: Kernels.current)?.name
    }
    #expect(try name(6, 160) == "Winograd 3×3")
    #expect(try name(64, 320) == "Winograd 4×4")
    #expect(try name(32, 640, enlargement: 2) == "Winograd 4×4 of doubled pixels")
    // A single tile is not worth the transforms of the weights.
    #expect(try !winograd(1, 64, 64))
  }
}

/// `adadiff:MatMulGeglu` against its parts.
@Suite struct GegluProductTests {
  @Test(arguments: [(1, 1, 1), (3, 7, 15), (13, 33, 17), (250, 65, 300), (5, 31, 1500), (4, 2, 11000)])
  func equalsItsParts(rows: Int, n: Int, k: Int) throws {
    let a = try Tensor(sequence(rows * k, seed: 1), [1, rows, k])
    let w = try Tensor(sequence(k * 2 * n, seed: 2, range: 1 / Float(k).squareRoot()), [k, 2 * n])
    let bias = try Tensor(sequence(2 * n, seed: 3))
    for bias in [bias, nil] {
      let product = try DenseRunner(type: "MatMulBias").run([a, w, bias])[0]
      let expected = try DenseRunner(type: "Geglu").run([product])[0].values(Float.self)
      for constants in [nil, Set([1])] {
        for threads in [1, 3] {
          let y = try DenseRunner(type: "MatMulGeglu", constants: constants, threads: threads).run([a, w, bias])[0]
          #expect(y.shape == [1, rows, n])
          // The same sums in the same order; only where the bias is added differs in nothing.
          #expect(difference(y, expected.map { Double($0) }) < 1e-6)
        }
      }
    }
  }

  @Test func wrongShapesAreRefused() throws {
    let a = try Tensor(sequence(6), [2, 3])
    #expect(throws: Failure.self) {
      try DenseRunner(type: "MatMulGeglu").run([a, try Tensor(sequence(9), [3, 3])])
    }
    #expect(throws: Failure.self) {
      try DenseRunner(type: "MatMulGeglu").run([a, try Tensor(sequence(12), [3, 4]), try Tensor(sequence(2))])
    }
  }
}
