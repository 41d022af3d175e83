/// `(rows, columns, x, gate, stride, xBias, gateBias, out, outStride)`: out = (x + xBias) · gelu(gate + gateBias); biases are
/// absent or of `columns` elements.
package typealias GegluTileKernel =
  @convention(c) (
    Int, Int, UnsafePointer<Float>, UnsafePointer<Float>, Int, UnsafePointer<Float>?, UnsafePointer<Float>?,
    UnsafeMutablePointer<Float>, Int
  ) -> Void

/// Kernels that do in one pass over a block what would be several.
package struct FusedKernels: Sendable {
  package var gegluTile: GegluTileKernel
  /// With an error of 1e-4 of the result, or absolutely: for what narrow products read next.
  package var gegluTileCoarse: GegluTileKernel
  /// `(rows, columns, x, gate, stride, rowScales, xScales, xOffsets, gateScales, gateOffsets, xBias, gateBias, out, outStride)`:
  /// the coarse one of sums of integers (int8, int16), each (integer − offset) · rowScale · scale.
  package var gegluTileIntegers:
    @convention(c) (
      Int, Int, UnsafePointer<Float>, UnsafePointer<Float>, Int, UnsafePointer<Float>, UnsafePointer<Float>,
      UnsafePointer<Int32>, UnsafePointer<Float>, UnsafePointer<Int32>, UnsafePointer<Float>?, UnsafePointer<Float>?,
      UnsafeMutablePointer<Float>, Int
    ) -> Void

  package init(
    gegluTile: GegluTileKernel, gegluTileCoarse: GegluTileKernel,
    gegluTileIntegers:
      @convention(c) (
        Int, Int, UnsafePointer<Float>, UnsafePointer<Float>, Int, UnsafePointer<Float>, UnsafePointer<Float>,
        UnsafePointer<Int32>, UnsafePointer<Float>, UnsafePointer<Int32>, UnsafePointer<Float>?,
        UnsafePointer<Float>?, UnsafeMutablePointer<Float>, Int
      ) -> Void
  ) {
    self.gegluTile = gegluTile
    self.gegluTileCoarse = gegluTileCoarse
    self.gegluTileIntegers = gegluTileIntegers
  }
}
