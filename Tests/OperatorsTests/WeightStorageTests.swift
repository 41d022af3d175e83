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

  @Test(arguments: [1e5, 1e-8, 1e38] as [Float])
  func weightsThatFloat16CannotHoldStayFloat32(size: Float) throws {
    for kernels in Kernels.supported {
      let matrix = try Self.packed(size: size, kernels)
      #expect(try !matrix.halved(rounding: true).isHalf)
    }
  }

  @Test func theFormatFollowsWhatTheMachineMultipliesFast() {
    for kernels in Kernels.supported {
      let storage = WeightStorage(.bfloat16, kernels)
      let pairs = kernels.narrow.multipliesPairs || kernels.half == nil
      #expect(storage.format == (pairs ? .bfloat16 : .float32) && storage.roundsToFloat16 == !pairs)
      for format in [ElementFormat.float32, .int8] {
        let storage = WeightStorage(format, kernels)
        #expect(storage.format == format && !storage.roundsToFloat16)
      }
      let formats = AttentionFormats(.bfloat16, keys: 1000, kernels)
      let bytes = AttentionFormats(.int8, keys: 1000, kernels)
      #expect(formats.scores == formats.values && bytes.scores == .int8 && bytes.values == formats.values)
      #expect((formats.values == .bfloat16) == kernels.narrow.multipliesPairs)
    }
  }
}
