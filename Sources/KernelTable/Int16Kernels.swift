/// Kernels of products of 16-bit integers (`ElementFormat.int16`), two per word, with 32-bit sums: faster than float32 where an
/// instruction multiplies and adds pairs.
///
/// Sums cannot overflow: by the Cauchy–Schwarz inequality one is at most the product of the Euclidean norms of its row and
/// its column, and the factors to integers keep these to `rowNorm` and `columnNorm`. What rounding adds, at most √depth / 2
/// with `depthLimit` terms, has room: (32,700 + 128) · (65,000 + 128) < 2³¹.
package struct Int16Kernels: Sendable {
  /// Largest norm of a row of A in integers: no element is beyond 16 bits.
  package static let rowNorm: Float = 32_700
  /// Of a column of B, whose elements are at most 32,767 besides.
  package static let columnNorm: Float = 65_000
  package static let depthLimit = 65_536

  /// `(rows, depth, factors or scales, out)`.
  package typealias ColumnKernel =
    @convention(c) (UnsafePointer<Float>, Int, UnsafePointer<Float>, UnsafeMutablePointer<Float>) -> Void

  /// Time of one word's step of a product in float32 multiply-adds.
  package var stepCost: Double
  package var panel: PanelKernel
  /// The same where the panel holds bytes, half the memory, widened on the way.
  package var bytePanel: PanelKernel
  /// `(rows, depth, squares)`: adds each column's squares.
  package var columnSquares: @convention(c) (UnsafePointer<Float>, Int, UnsafeMutablePointer<Float>) -> Void
  /// `(rows, depth, factors, panel)`: the nearest integers to element · factor of its column.
  package var pack: ColumnKernel
  /// The same as bytes, at most 127 in magnitude.
  package var packBytes: ColumnKernel
  /// `(panel, depth, scales, rows)`: integer · scale of its column.
  package var unpack: ColumnKernel
  package var unpackBytes: ColumnKernel
  /// `(x, factor, out, count)`: the nearest integers to x · factor.
  package var quantizeRow: @convention(c) (UnsafePointer<Float>, Float, UnsafeMutablePointer<Int16>, Int) -> Void
  /// A `SoftmaxKernel` whose exponentials are integers, 2,047 for 1, as sums and results are: the norm of a block of 256 is at most
  /// 16 · 2,048. What rounding takes from one is given to one that follows it, so that many small ones keep their sum.
  package var softmax: SoftmaxKernel
  /// `(rows, columns, integers, stride, scales, out, outStride)`: out += integer · scale of its column.
  package var addScaled:
    @convention(c) (Int, Int, UnsafePointer<Float>, Int, UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int) -> Void

  package init(
    stepCost: Double, panel: PanelKernel, bytePanel: PanelKernel,
    columnSquares: @convention(c) (UnsafePointer<Float>, Int, UnsafeMutablePointer<Float>) -> Void,
    pack: ColumnKernel, packBytes: ColumnKernel, unpack: ColumnKernel, unpackBytes: ColumnKernel,
    quantizeRow: @convention(c) (UnsafePointer<Float>, Float, UnsafeMutablePointer<Int16>, Int) -> Void,
    softmax: SoftmaxKernel,
    addScaled:
      @convention(c) (
        Int, Int, UnsafePointer<Float>, Int, UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int
      ) -> Void
  ) {
    self.stepCost = stepCost
    self.panel = panel
    self.bytePanel = bytePanel
    self.columnSquares = columnSquares
    self.pack = pack
    self.packBytes = packBytes
    self.unpack = unpack
    self.unpackBytes = unpackBytes
    self.quantizeRow = quantizeRow
    self.softmax = softmax
    self.addScaled = addScaled
  }
}
