import Graph
import KernelTable
import Kernels
import Testing

@testable import Operators

/// Weights of precision bfloat16 on machines that do not multiply pairs faster than float32.
@Suite struct WeightStorageTests {
  private static let (depth, columns) = (70, 45)

  /// Normal-like weights of about that size, packed.
  private static func packed(size: Float, _ kernels: KernelTable) throws -> PackedMatrix {
    let matrix = try PackedMatrix(depth: depth, columns: columns, kernels: kernels)
    let weights = (0..<depth * columns).map { size * (Float(($0 * 7919) % 2003) / 1001 - 1) }
    matrix.packAll(from: weights, rowStride: columns, transposed: false)
    return matrix
  }

  @Test func weightsAreRoundedToFloat16() throws {
    for kernels in Kernels.supported where kernels.half != nil {
      let exact = try Self.packed(size: 0.03, kernels)
      #expect(try !exact.halved().isHalf)
      let half = try exact.halved(rounding: true)
      #expect(half.isHalf && half.rowStride * 2 == exact.rowStride)
      let (tile, depth) = (kernels.gemm.tileColumns, Self.depth)
      var (wanted, got) = ([Float](repeating: 0, count: depth * tile), [Float](repeating: 0, count: depth * tile))
      for panel in 0..<exact.panelCount {
        exact.unpack(panel: panel, first: 0, count: depth, to: &wanted)
        half.unpack(panel: panel, first: 0, count: depth, to: &got)
        // Half a unit in the last of 11 bits; below 2⁻¹⁴ half of 2⁻²⁴.
        #expect(zip(wanted, got).allSatisfy { abs($0 - $1) <= max(abs($0) / 2048, 0x1p-25) })
        #expect(wanted != got)
      }
    }
  }

  /// Of 1e-30 not even the squares are float32.
  @Test(arguments: [1e5, 1e-8, 1e-30, 1e38] as [Float])
  func weightsThatFloat16CannotHoldStayFloat32(size: Float) throws {
    for kernels in Kernels.supported {
      let matrix = try Self.packed(size: size, kernels)
      #expect(try !matrix.halved(rounding: true).isHalf)
    }
  }

  @Test func theFormatFollowsWhatTheMachineMultipliesFast() {
    for kernels in Kernels.supported {
      let pairs = kernels.narrow.multipliesPairs || kernels.half == nil
      for isTransformed in [false, true] {
        let isInt16 = !isTransformed && !pairs && kernels.multipliesInt16
        let storage = WeightStorage(.bfloat16, kernels, isTransformed: isTransformed)
        #expect(storage.format == (pairs ? .bfloat16 : isInt16 ? .int16 : .float32))
        #expect(storage.roundsToFloat16 == (!pairs && !isInt16) && !storage.isBytes)
        let rounded = WeightStorage(.bfloat16, kernels, isTransformed: isTransformed, roundsOnly: true)
        #expect(rounded == storage || (rounded.format == .float32 && rounded.roundsToFloat16))
        #expect((rounded.format == .float32) == (kernels.half != nil && kernels.narrow.shape == nil))
        let bytes = WeightStorage(.int8, kernels, isTransformed: isTransformed)
        #expect(bytes.isBytes == (!kernels.narrow.multipliesBytes && kernels.int16 != nil))
        #expect(bytes.format == (bytes.isBytes ? .int16 : .int8) && !bytes.roundsToFloat16)
      }
      // Only sums of whole groups.
      for depth in [32, 64, 72, 320] {
        let isSplit = kernels.split != nil && (depth == 64 || depth == 320)
        #expect(WeightStorage(.float32, kernels, depth: depth).format == (isSplit ? .twoBFloat16 : .float32))
      }
      let formats = AttentionFormats(.bfloat16, keys: 1000, size: 64, isMasked: false, kernels)
      let bytes = AttentionFormats(.int8, keys: 1000, size: 64, isMasked: false, kernels)
      // On tiles, scores of pairs take as long as those of bytes; what has bytes only as 16-bit integers takes those as they are.
      let scores =
        kernels.narrow.shape != nil
        ? ElementFormat.bfloat16 : kernels.multipliesInt16 && !kernels.narrow.multipliesBytes ? .int16 : .int8
      #expect(formats.scores == formats.values && bytes.scores == scores && bytes.values == formats.values)
      let few = AttentionFormats(.bfloat16, keys: 255, size: 64, isMasked: false, kernels)
      #expect(few.scores == (kernels.narrow.multipliesPairs ? .bfloat16 : .float32) && few.values == few.scores)
      for (keys, size, isMasked) in [(1024, 64, false), (77, 64, false), (1024, 40, false), (1024, 64, true)] {
        let formats = AttentionFormats(.float32, keys: keys, size: size, isMasked: isMasked, kernels)
        let isSplit = kernels.split != nil && keys == 1024 && size == 64 && !isMasked
        #expect(formats.scores == (isSplit ? .twoBFloat16 : .float32) && formats.values == formats.scores)
      }
      #expect((formats.values == .bfloat16) == kernels.narrow.multipliesPairs)
      #expect((formats.values == .int16) == (kernels.multipliesInt16 && !kernels.narrow.multipliesPairs))
    }
  }
}

/// Weights that are sums of two bfloat16.
@Suite struct SplitWeightTests {
  private func packed(_ weights: [Float], _ depth: Int, _ columns: Int) throws -> PackedMatrix {
    try PackedMatrix.packed(weights, depth: depth, columns: columns, rowStride: columns, format: .float32)
  }

  /// The memory of float32, or of float16 where the weights are such; they come back to 16 bits.
  @Test func weightsAreSplitInPlace() throws {
    guard Kernels.current.split != nil else { return }
    let (depth, columns) = (320, 70)
    let weights = sequence(depth * columns, seed: 3)
    let halves = weights.map { Float(Int32($0 * 256)) / 256 }
    let tile = Kernels.current.gemm.tileColumns
    for (weights, isHalf) in [(weights, false), (halves, true)] {
      let matrix = try packed(weights, depth, columns)
      #expect(matrix.format == .twoBFloat16 && matrix.isHalf == isHalf)
      #expect(matrix.panelStride == depth * tile / (isHalf ? 2 : 1))
      for panel in 0..<matrix.panelCount {
        var rows = [Float](repeating: 9, count: depth * tile)
        matrix.unpack(panel: panel, first: 0, count: depth, to: &rows)
        for k in 0..<depth {
          for j in 0..<min(tile, columns - panel * tile) {
            let weight = weights[k * columns + panel * tile + j]
            #expect(abs(rows[k * tile + j] - weight) <= (isHalf ? 0 : 0x1p-17 * abs(weight)))
          }
        }
      }
    }
  }

  /// A large product against float64: the error of 16 bits per number, and the same bits for any number of threads.
  @Test(arguments: [(300, 320, 70), (17, 64, 33), (40, 1280, 64)], [false, true])
  func products(_ size: (rows: Int, depth: Int, columns: Int), halves: Bool) throws {
    let a = sequence(size.rows * size.depth, seed: 1)
    var w = sequence(size.depth * size.columns, seed: 2)
    if halves { w = w.map { Float(Int32($0 * 256)) / 256 } }
    var expected = [Double](repeating: 0, count: size.rows * size.columns)
    for i in 0..<size.rows {
      for k in 0..<size.depth {
        let left = Double(a[i * size.depth + k])
        for j in 0..<size.columns { expected[i * size.columns + j] += left * Double(w[k * size.columns + j]) }
      }
    }
    var results: [[Float]] = []
    for threads in [1, 2, 3] {
      let y = try DenseRunner(type: "MatMul", domain: "", version: 13, constants: [1], threads: threads).run([
        try Tensor(a, [1, size.rows, size.depth]), try Tensor(w, [size.depth, size.columns]),
      ])[0].values(Float.self)
      results.append(y)
    }
    #expect(results[0] == results[1] && results[0] == results[2])
    let error = zip(results[0], expected).reduce(0.0) { $0 + (Double($1.0) - $1.1) * (Double($1.0) - $1.1) }
    #expect((error / expected.reduce(0.0) { $0 + $1 * $1 }).squareRoot() < 5e-6)
  }
}
