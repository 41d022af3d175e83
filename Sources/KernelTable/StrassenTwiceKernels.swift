/// Two levels of Strassen's algorithm (`StrassenKernels`): each of the seven *outer* products by seven *inner* ones, whose sums
/// are made as in `StrassenTileKernels`.
///
/// *Left factors* lie in tiles of tileRows or `lastRows` rows, each tile *line by line*: a cache line of its first row, of its second,
/// …, the next line of its first row, …. They come from the last-level cache, which streams of memory as it lies reach fastest.
package struct StrassenTwiceKernels: Sendable {
  /// Longest K of an inner product, a quarter of that of the whole.
  package var depthLimit: Int
  /// Rows of `multiplyLast`.
  package var lastRows: Int
  /// `(rows, depth, x, stride, half, halfRows, factors, distance)`: the 49 left factors of a tile of `rows` rows at distance `stride`,
  /// the first of the upper quarter of the upper half. Quarters of A, of quarters of `depth` columns (whole vectors), lie `half` columns
  /// and `halfRows` rows apart. Inner factor i of outer factor o lies at (7 o + i) · `distance`.
  package var left:
    @convention(c) (Int, Int, UnsafePointer<Float>, Int, Int, Int, UnsafeMutablePointer<Float>, Int) -> Void
  /// tileRows rows of each quarter.
  package var multiply: StrassenTwiceKernel
  /// `lastRows` rows of each quarter.
  package var multiplyLast: StrassenTwiceKernel

  package init(
    depthLimit: Int, lastRows: Int,
    left: @convention(c) (Int, Int, UnsafePointer<Float>, Int, Int, Int, UnsafeMutablePointer<Float>, Int) -> Void,
    multiply: StrassenTwiceKernel, multiplyLast: StrassenTwiceKernel
  ) {
    self.depthLimit = depthLimit
    self.lastRows = lastRows
    self.left = left
    self.multiply = multiply
    self.multiplyLast = multiplyLast
  }
}

/// `(outer, depth, a, aDistance, b11, b21, b22, sums, results, distance, scratch, next, ahead, aheadLines)`: some rows of outer
/// product `outer`, from 0, added to the sums that it belongs to.
///
/// `a`: the rows in the first inner left factor, the others `aDistance` floats from one another. Inner right factors, panels of
/// `depth` rows, are those of `StrassenKernels.right`. `results`: five quarters of C of four parts each, all `distance` floats
/// from one another, rows at tileColumns: P1 and what goes on from it, then C11, C12, C21, C22. Outer products come in the order 0,
/// 1, 2, 4, 5, 3, 6; none needs zeros before. `scratch`: three register tiles. `next`: as in `PanelKernel`, the first left factor of the tile
/// that follows. `ahead`: memory of which
/// so many cache lines are brought near; nil for none.
package typealias StrassenTwiceKernel =
  @convention(c) (
    Int, Int, UnsafePointer<Float>, Int, UnsafePointer<Float>, UnsafePointer<Float>, UnsafePointer<Float>,
    UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int, UnsafeMutablePointer<Float>, UnsafePointer<Float>,
    UnsafePointer<Float>?, Int
  ) -> Void
