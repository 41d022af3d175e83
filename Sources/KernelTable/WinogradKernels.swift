/// Winograd's F(4×4, 3×3): a 4×4 square of outputs from a 6×6 window of inputs with 36 products instead of 144.
///
/// The interpolation points are 0, ±√½, ±√2 and ∞, whose transforms keep rounding errors about half as large as those of
/// 0, ±1, ±2. A *frequency* is one of the 36 places of a transformed window.
package struct WinogradKernels: Sendable {
  package static let outputSide = 4
  package static let windowSide = 6
  package static let frequencies = 36
  /// Vectors of scratch that the transforms need.
  package static let scratchVectors = 36

  /// `(x, pixelStride, lineStride, yBegin, yEnd, xBegin, xEnd, channels, v, frequencyStride, shift, yPhase, xPhase,
  /// scratch)`: the window whose first pixel is at `x`, transformed: frequency f of channel c at
  /// `v[f * frequencyStride + c]`. Pixels outside the given rows and columns of the window (0…6) count as zero and are not
  /// read. Row i of the window lies `(i + yPhase) >> shift` lines behind the first, columns alike: with shift 1 the window
  /// slides over an image of twice the size.
  package var input:
    @convention(c) (
      UnsafePointer<Float>, Int, Int, Int, Int, Int, Int, Int, UnsafeMutablePointer<Float>, Int, Int, Int, Int,
      UnsafeMutablePointer<Float>
    ) -> Void
  /// `(panel, tapStride, depth, u, frequencyStride)`: transforms `depth` rows of one packed panel of 3×3 weights.
  /// Tap t of row k lies at `panel[t * tapStride + k * tileColumns]`, frequency f at
  /// `u[f * frequencyStride + k * tileColumns]`.
  package var weights: @convention(c) (UnsafePointer<Float>, Int, Int, UnsafeMutablePointer<Float>, Int) -> Void
  /// `(m, frequencyStride, rows, columns, channels, y, pixelStride, lineStride, bias, residual, activation, scratch)`: the
  /// first rows × columns pixels of a square of outputs: activation(transformed + bias + residual). `residual` has the
  /// strides of `y`; nil bias and residual are skipped.
  package var output:
    @convention(c) (
      UnsafePointer<Float>, Int, Int, Int, Int, UnsafeMutablePointer<Float>, Int, Int, UnsafePointer<Float>?,
      UnsafePointer<Float>?, Int32, UnsafeMutablePointer<Float>
    ) -> Void

  package init(
    input:
      @convention(c) (
        UnsafePointer<Float>, Int, Int, Int, Int, Int, Int, Int, UnsafeMutablePointer<Float>, Int, Int, Int, Int,
        UnsafeMutablePointer<Float>
      ) -> Void,
    weights:
      @convention(c) (UnsafePointer<Float>, Int, Int, UnsafeMutablePointer<Float>, Int) -> Void,
    output:
      @convention(c) (
        UnsafePointer<Float>, Int, Int, Int, Int, UnsafeMutablePointer<Float>, Int, Int, UnsafePointer<Float>?,
        UnsafePointer<Float>?, Int32, UnsafeMutablePointer<Float>
      ) -> Void
  ) {
    self.input = input
    self.weights = weights
    self.output = output
  }
}
