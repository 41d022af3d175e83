/// One level of Strassen's algorithm (`StrassenKernels` has the sums) on four register tiles of results at a time: sums of
/// products are made in registers, while a tile is multiplied further.
///
/// *Left factors* are those of 2 · tileRows rows, the upper and the lower tileRows, with 2 · depth columns: rows at distance
/// `GemmShape.rowStride`, in pieces of `depth` rounded up to whole vectors of tileColumns / 2. The upper rows hold A11, A12,
/// S2, S3, the lower ones S1, −A22, S4. *Right factors* are in the order of the products, each depth × tileColumns.
package struct StrassenTileKernels: Sendable {
  /// `(rows, depth, x, stride, scale, factors)`: the left factors of at most 2 · tileRows rows of 2 · depth floats at
  /// distance `stride`, times a factor. Rows that are not there are zero.
  package var left: @convention(c) (Int, Int, UnsafePointer<Float>, Int, Float, UnsafeMutablePointer<Float>) -> Void
  /// `(keys, scores, states, results, valueSize)`: a `SoftmaxKernel` for 2 · tileRows rows of scores at distance
  /// `rowStride` and at most `blockDepth` / 2 keys. The exponentials, zeros from `keys` on, become left factors of depth
  /// `blockDepth` / 4, which replace the scores.
  package var softmax:
    @convention(c) (
      Int, UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>, Int
    ) -> Void
  /// C = the product.
  package var multiply: StrassenTileKernel
  /// C += the product.
  package var accumulate: StrassenTileKernel

  package init(
    left: @convention(c) (Int, Int, UnsafePointer<Float>, Int, Float, UnsafeMutablePointer<Float>) -> Void,
    softmax:
      @convention(c) (
        Int, UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>, Int
      ) -> Void,
    multiply: StrassenTileKernel,
    accumulate: StrassenTileKernel
  ) {
    self.left = left
    self.softmax = softmax
    self.multiply = multiply
    self.accumulate = accumulate
  }
}

/// `(depth, a, b, c, cStride, scratch, next)`: the product of left factors `a` and right factors `b`, for C of 2 · tileRows ×
/// 2 · tileColumns. `scratch`: two register tiles. `next`: what is wanted next, depth × tileColumns of it are brought near;
/// only a hint.
package typealias StrassenTileKernel =
  @convention(c) (
    Int, UnsafePointer<Float>, UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int, UnsafeMutablePointer<Float>,
    UnsafePointer<Float>
  ) -> Void
