/// What one level of Strassen's algorithm in Winograd's form adds to seven matrix products of half the size in every
/// direction (Winograd 1971, "On multiplication of 2 × 2 matrices"):
///
///     S1 = A21 + A22   S2 = S1 − A11    S3 = A11 − A21   S4 = A12 − S2
///     T1 = B12 − B11   T2 = B22 − T1    T3 = B22 − B12   T4 = T2 − B21
///     P1 = A11 B11   P2 = A12 B21   P3 = S4 B22   P4 = A22 T4   P5 = S1 T1   P6 = S2 T2   P7 = S3 T3
///     C11 = P1 + P2   C12 = P1 + P6 + P5 + P3   C21 = P1 + P6 + P7 − P4   C22 = P1 + P6 + P7 + P5
package struct StrassenKernels: Sendable {
  /// Products, and factors on either side.
  package static let products = 7
  /// Among the left factors, in the order of the products: A11, A12, S4, A22, S1, S2, S3.
  package static let (a11, a12, a22, a21) = (0, 1, 3, 4)
  /// Right factors that are sums, those of the last products: T4, T1, T2, T3. Those before are B11, B21 and B22 themselves.
  package static let rightSums = 4

  /// Longest K of `product`.
  package var depthLimit: Int
  /// Distance of the rows of A of `product`.
  package var rowStride: Int
  /// `KernelTable.gemmPanel` with longer rows.
  package var product: PanelKernel
  /// `(rows, lowerRows, depth, a11, a12, a21, a22, stride, a, aStride, distance)`: the left factors of rows whose quarters lie at
  /// distance `stride`, with rows at distance `aStride` at `a`, `distance` floats from factor to factor. The lower quarters have
  /// `lowerRows` rows, the others of theirs are zero. Quarters may lie at their own places.
  package var left:
    @convention(c) (
      Int, Int, Int, UnsafePointer<Float>, UnsafePointer<Float>, UnsafePointer<Float>, UnsafePointer<Float>, Int,
      UnsafeMutablePointer<Float>, Int, Int
    ) -> Void
  /// `(count, b11, b21, b22, b12, b, distance)`: the sums among the right factors of `count` floats of packed panels, at `b`,
  /// `distance` floats from sum to sum. B12 may lie where any of them goes.
  package var right:
    @convention(c) (
      Int, UnsafePointer<Float>, UnsafePointer<Float>, UnsafePointer<Float>, UnsafePointer<Float>,
      UnsafeMutablePointer<Float>, Int
    ) -> Void
  /// `(rows, lowerRows, columns, rightColumns, products, distance, c11, c12, c21, c22, cStride, accumulate)`: C = or += the sums of
  /// the products, which are `rows` × tileColumns each. The lower quarters have `lowerRows` rows, those on the right
  /// `rightColumns` columns.
  package var results:
    @convention(c) (
      Int, Int, Int, Int, UnsafePointer<Float>, Int, UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>,
      UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>, Int, Bool
    ) -> Void

  package init(
    depthLimit: Int,
    rowStride: Int,
    product: PanelKernel,
    left:
      @convention(c) (
        Int, Int, Int, UnsafePointer<Float>, UnsafePointer<Float>, UnsafePointer<Float>, UnsafePointer<Float>, Int,
        UnsafeMutablePointer<Float>, Int, Int
      ) -> Void,
    right:
      @convention(c) (
        Int, UnsafePointer<Float>, UnsafePointer<Float>, UnsafePointer<Float>, UnsafePointer<Float>,
        UnsafeMutablePointer<Float>, Int
      ) -> Void,
    results:
      @convention(c) (
        Int, Int, Int, Int, UnsafePointer<Float>, Int, UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>,
        UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>, Int, Bool
      ) -> Void
  ) {
    self.depthLimit = depthLimit
    self.rowStride = rowStride
    self.product = product
    self.left = left
    self.right = right
    self.results = results
  }
}
