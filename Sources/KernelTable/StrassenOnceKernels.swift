/// One level of Strassen's algorithm (`StrassenKernels`) on four register tiles of results at a time, as `StrassenTileKernels`, for
/// longer sums and left factors at their own places.
package struct StrassenOnceKernels: Sendable {
  /// Longest K of a product, half of that of the whole.
  package var depthLimit: Int
  /// Distance of the rows of a left factor.
  package var rowStride: Int
  /// Rows of `multiplyLast`.
  package var lastRows: Int
  /// tileRows rows of each half.
  package var multiply: StrassenOnceKernel
  /// `lastRows` rows of each half.
  package var multiplyLast: StrassenOnceKernel

  package init(
    depthLimit: Int, rowStride: Int, lastRows: Int, multiply: StrassenOnceKernel, multiplyLast: StrassenOnceKernel
  ) {
    self.depthLimit = depthLimit
    self.rowStride = rowStride
    self.lastRows = lastRows
    self.multiply = multiply
    self.multiplyLast = multiplyLast
  }
}

/// `(depth, a, aDistance, b11, b21, b22, sums, results, distance, scratch, next, first, firstStride, firstLines, second,
/// secondStride, secondLines)`: the four quarters of C, rows at tileColumns, `distance` floats from one another.
///
/// `a`: the first left factor, the others `aDistance` floats from one another. Right factors, panels of `depth` rows, are those of
/// `StrassenKernels.right`. `scratch`: two register tiles. `next`: as in `PanelKernel`. `first`, `second`: twice as many rows at
/// a distance as a half has, of which so many cache lines are brought near; nil for none.
package typealias StrassenOnceKernel =
  @convention(c) (
    Int, UnsafePointer<Float>, Int, UnsafePointer<Float>, UnsafePointer<Float>, UnsafePointer<Float>,
    UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int, UnsafeMutablePointer<Float>, UnsafePointer<Float>,
    UnsafePointer<Float>?, Int, Int, UnsafePointer<Float>?, Int, Int
  ) -> Void
