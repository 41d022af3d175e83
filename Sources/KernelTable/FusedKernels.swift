/// Kernels that do in one pass over a block what would be several.
package struct FusedKernels: Sendable {
  /// `(rows, keys, scores, stride, maxima, sums, results, valueSize)`: one block of online softmax in base 2. Per row the
  /// running maximum is updated, scores become 2^(score − maximum), their sum is added to `sums`, and where the maximum grew, the
  /// earlier sum and the row of `results` (rows × valueSize) shrink with it. NaN in a score reaches sum and scores.
  package var attentionRows:
    @convention(c) (
      Int, Int, UnsafeMutablePointer<Float>, Int, UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>,
      UnsafeMutablePointer<Float>, Int
    ) -> Void
  /// `(rows, columns, x, gate, stride, xBias, gateBias, out, outStride)`: out = (x + xBias) · gelu(gate + gateBias); biases
  /// are absent or of `columns` elements.
  package var gegluTile:
    @convention(c) (
      Int, Int, UnsafePointer<Float>, UnsafePointer<Float>, Int, UnsafePointer<Float>?, UnsafePointer<Float>?,
      UnsafeMutablePointer<Float>, Int
    ) -> Void

  package init(
    attentionRows:
      @convention(c) (
        Int, Int, UnsafeMutablePointer<Float>, Int, UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>,
        UnsafeMutablePointer<Float>, Int
      ) -> Void,
    gegluTile:
      @convention(c) (
        Int, Int, UnsafePointer<Float>, UnsafePointer<Float>, Int, UnsafePointer<Float>?, UnsafePointer<Float>?,
        UnsafeMutablePointer<Float>, Int
      ) -> Void
  ) {
    self.attentionRows = attentionRows
    self.gegluTile = gegluTile
  }
}
