/// `(x, pixelStride, lineStride, yBegin, yEnd, xBegin, xEnd, channels, v, frequencyStride, shift, yPhase, xPhase,
/// scratch)`: the window whose first pixel is at `x`, transformed: frequency f of channel c at
/// `v[f * frequencyStride + c]`. Pixels outside the given rows and columns of the window (0…windowSide) count as zero and are not
/// read. Row i of the window lies `(i + yPhase) >> shift` lines behind the first, columns alike: with shift 1 the window
/// slides over an image of twice the size.
package typealias WinogradInputKernel =
  @convention(c) (
    UnsafePointer<Float>, Int, Int, Int, Int, Int, Int, Int, UnsafeMutablePointer<Float>, Int, Int, Int, Int,
    UnsafeMutablePointer<Float>
  ) -> Void

/// `(panel, tapStride, depth, first, end, u, frequencyStride)`: transforms `depth` rows of one packed panel of 3×3 weights, of
/// each the vectors first ..< end (of two).
/// Tap t of row k lies at `panel[t * tapStride + k * tileColumns]`, frequency f at
/// `u[f * frequencyStride + k * tileColumns]`.
package typealias WinogradWeightsKernel =
  @convention(c) (UnsafePointer<Float>, Int, Int, Int, Int, UnsafeMutablePointer<Float>, Int) -> Void

/// Winograd's F(m×m, 3×3): a square of m×m outputs from a window of (m + 2)×(m + 2) inputs: with m = 4, 36 products instead
/// of 144, with m = 3, 25 instead of 81.
///
/// The interpolation points, 0, ±√½, ±√2, ∞ and ±½, ±1½, ∞, keep rounding errors about half as large as those of the usual
/// integers. A *frequency* is one of the places of a transformed window.
package struct WinogradKernels: Sendable {
  package let outputSide: Int
  package var windowSide: Int { outputSide + 2 }
  /// Values of a transformed line of a window, and products that they take part in: as many, or one more, where the third
  /// value serves two. No array: the kernels' modules may not share the standard library's generic code.
  private let lineValues: Int
  private let lineProducts: Int
  package var inputFrequencies: Int { lineValues * lineValues }
  package var frequencies: Int { lineProducts * lineProducts }

  /// Which value of a transformed window a frequency multiplies.
  package func inputPlace(ofFrequency frequency: Int) -> Int {
    func value(_ product: Int) -> Int { lineValues < lineProducts && product > 2 ? product - 1 : product }
    let (row, column) = frequency.quotientAndRemainder(dividingBy: lineProducts)
    return value(row) * lineValues + value(column)
  }
  /// Vectors of scratch that the transforms need.
  package static let scratchVectors = 72

  /// Frequencies in float32.
  package var input: WinogradInputKernel
  package var weights: WinogradWeightsKernel
  /// `(m, frequencyStride, rows, columns, channels, y, pixelStride, lineStride, bias, residual, activation, scratch)`: the
  /// first rows × columns pixels of a square of outputs: activation(transformed + bias + residual). `residual` has the
  /// strides of `y`; nil bias and residual are skipped.
  package var output:
    @convention(c) (
      UnsafePointer<Float>, Int, Int, Int, Int, UnsafeMutablePointer<Float>, Int, Int, UnsafePointer<Float>?,
      UnsafePointer<Float>?, Int32, UnsafeMutablePointer<Float>
    ) -> Void

  /// `weights` on panels of float16 (`HalfKernels`), whose tap stride counts floats of memory.
  package var halfWeights: WinogradWeightsKernel? = nil

  /// For few tiles; nil where there are no such kernels.
  package var fused: WinogradFusedKernels? = nil

  /// For products of bfloat16 pairs; nil where the machine does not have them, or there is no such transform.
  package var pairs: WinogradPairKernels? = nil

  package init(
    outputSide: Int,
    lineValues: Int,
    lineProducts: Int,
    input: WinogradInputKernel,
    weights: WinogradWeightsKernel,
    output:
      @convention(c) (
        UnsafePointer<Float>, Int, Int, Int, Int, UnsafeMutablePointer<Float>, Int, Int, UnsafePointer<Float>?,
        UnsafePointer<Float>?, Int32, UnsafeMutablePointer<Float>
      ) -> Void
  ) {
    self.outputSide = outputSide
    self.lineValues = lineValues
    self.lineProducts = lineProducts
    self.input = input
    self.weights = weights
    self.output = output
  }
}

/// `(panel, tapStride, depth, vector, v, frequencyStride, m, productStride, accumulate, scratch)`: transforms one vector of
/// `depth` rows of a panel, as `WinogradWeightsKernel` does, and multiplies with `tiles` transformed windows at once: the
/// product of frequency f and tile t at `m[f * productStride + t * tileColumns]`, added to what is there if `accumulate`.
/// Channel k of a window lies at `v[f * frequencyStride + t * GemmShape.rowStride + k]`.
package typealias WinogradProductKernel =
  @convention(c) (
    UnsafePointer<Float>, Int, Int, Int, UnsafePointer<Float>, Int, UnsafeMutablePointer<Float>, Int, Bool,
    UnsafeMutablePointer<Float>
  ) -> Void

/// Transform of weights and products in one, the same bits as one after the other.
package struct WinogradFusedKernels: Sendable {
  /// Windows of a call.
  package static let tiles = 4
  /// Floats of scratch: the nine taps of 16 channels, of one vector.
  package static let scratchFloatCount = 16 * 9 * 16
  package var products: WinogradProductKernel
  /// `products` on panels of float16, whose tap stride counts floats of memory.
  package var halfProducts: WinogradProductKernel

  package init(products: WinogradProductKernel, halfProducts: WinogradProductKernel) {
    self.products = products
    self.halfProducts = halfProducts
  }
}

/// `WinogradWeightsKernel` for bytes, with a scale for every filter of the panel before the last two arguments.
package typealias WinogradByteWeightsKernel =
  @convention(c) (
    UnsafePointer<Float>, Int, Int, Int, Int, UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int
  ) -> Void

/// Winograd's transforms with results rounded to bfloat16, two channels to a word.
package struct WinogradPairKernels: Sendable {
  /// `WinogradInputKernel` whose `frequencyStride` counts words. Whole vectors of words are stored.
  package var input: WinogradInputKernel
  /// From a panel of bfloat16; all counts are words.
  package var pairWeights: WinogradWeightsKernel
  /// `(panel, tapStride, words, first, end, scales, u, frequencyStride)`: from a panel of int8, twice as many words.
  package var byteWeights: WinogradByteWeightsKernel

  package init(
    input: WinogradInputKernel,
    pairWeights: WinogradWeightsKernel,
    byteWeights: WinogradByteWeightsKernel
  ) {
    self.input = input
    self.pairWeights = pairWeights
    self.byteWeights = byteWeights
  }
}
