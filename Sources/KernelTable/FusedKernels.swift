/// Kernels that do in one pass over a block what would be several.
package struct FusedKernels: Sendable {
  /// `(rows, columns, x, gate, stride, xBias, gateBias, out, outStride)`: out = (x + xBias) · gelu(gate + gateBias); biases
  /// are absent or of `columns` elements.
  package var gegluTile:
    @convention(c) (
      Int, Int, UnsafePointer<Float>, UnsafePointer<Float>, Int, UnsafePointer<Float>?, UnsafePointer<Float>?,
      UnsafeMutablePointer<Float>, Int
    ) -> Void

  package init(
    gegluTile:
      @convention(c) (
        Int, Int, UnsafePointer<Float>, UnsafePointer<Float>, Int, UnsafePointer<Float>?, UnsafePointer<Float>?,
        UnsafeMutablePointer<Float>, Int
      ) -> Void
  ) {
    self.gegluTile = gegluTile
  }
}
