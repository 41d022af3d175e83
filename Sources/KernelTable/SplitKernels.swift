/// Kernels of float32 products in which every number is the sum of two bfloat16 (`ElementFormat.twoBFloat16`): high · high +
/// high · low + low · high in float32 sums. An element keeps 16 bits, so that a sum's relative error is about 2e-6, that
/// of Winograd's algorithm in float32. What is not finite stays so, but infinity may become NaN.
///
/// Elements come in groups of `group` along K: in A, 16 words of pairs of high parts, then 16 of low parts; in a panel as many
/// rows. A group takes the memory of its elements in float32.
package struct SplitKernels: Sendable {
  /// Elements that are stored together; depths are multiples.
  package static let group = 32
  package var shape: GemmShape
  /// Depth counts elements.
  package var panel: PanelKernel
  /// The same where the panel is float16 (`HalfKernels`), split on the way.
  package var halfPanel: PanelKernel
  /// `(x, out, count)`: whole groups of a row.
  package var splitRow: UnaryKernel
  /// `(rows, depth, panel)`: of rows as `KernelTable.packPanel` leaves them.
  package var pack: @convention(c) (UnsafePointer<Float>, Int, UnsafeMutablePointer<Float>) -> Void
  /// A `SoftmaxKernel` whose exponentials are split.
  package var softmax: SoftmaxKernel
  /// `(panel, depth, rows)`.
  package var unpack: @convention(c) (UnsafePointer<Float>, Int, UnsafeMutablePointer<Float>) -> Void

  package init(
    shape: GemmShape, panel: PanelKernel, halfPanel: PanelKernel, splitRow: UnaryKernel,
    pack: @convention(c) (UnsafePointer<Float>, Int, UnsafeMutablePointer<Float>) -> Void,
    unpack: @convention(c) (UnsafePointer<Float>, Int, UnsafeMutablePointer<Float>) -> Void,
    softmax: SoftmaxKernel
  ) {
    self.shape = shape
    self.panel = panel
    self.halfPanel = halfPanel
    self.splitRow = splitRow
    self.pack = pack
    self.unpack = unpack
    self.softmax = softmax
  }
}
