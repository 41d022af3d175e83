/// What runs after a product's last K block while its tile is still in the cache.
package enum Activation: Int32, Sendable {
  case none = 0
  case silu = 1
  case relu = 2
  /// x · Φ(x) by the error function.
  case gelu = 3
  /// x · sigmoid(1.702 x), as CLIP uses it.
  case quickGelu = 4
  /// 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))).
  case geluTanh = 5
}

/// `(x, out, count)`; `out` may be `x`.
package typealias UnaryKernel = @convention(c) (UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int) -> Void
/// `(a, b, out, count)`; `out` may be `a` or `b`.
package typealias BinaryKernel =
  @convention(c) (UnsafePointer<Float>, UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int) -> Void
/// `(x, scalar, out, count)`; `out` may be `x`.
package typealias ScalarKernel = @convention(c) (UnsafePointer<Float>, Float, UnsafeMutablePointer<Float>, Int) -> Void

/// `(rows, columns, depth, a, b, c, cStride, accumulate, tile, next, ahead, aheadStride, aheadLines)`:
/// C (rows × columns) = or += A · B.
///
/// A: rows at distance `GemmShape.rowStride`, allocated up to a multiple of `tileRows` rows. B: one packed panel of
/// depth × tileColumns, zero beyond `columns`; where `columns` is at most half of tileColumns, `gemmPanel` and a `pairPanel` of its shape read
/// only the first half of a row, so that B may begin at a panel's second half. depth ≤ `blockDepth`, columns ≤ tileColumns. `tile`: scratch of
/// `edgeFloatCount` floats. Depths and strides count words of four bytes (`ElementFormat`). `next`: packed
/// rows of A that the next call reads first. `ahead`: the first of as many rows that will be read later, of which `aheadLines`
/// cache lines are brought near. Both are only hints.
package typealias PanelKernel =
  @convention(c) (
    Int, Int, Int, UnsafePointer<Float>, UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int, Bool,
    UnsafeMutablePointer<Float>, UnsafePointer<Float>?, UnsafePointer<Float>?, Int, Int
  ) -> Void

/// Shapes of the packed matrix product of one instruction set.
package struct GemmShape: Sendable {
  /// Rows and columns of the register tile.
  package var tileRows: Int
  package var tileColumns: Int
  /// Rows of the smallest register tile for what is left over.
  package var smallestTileRows: Int
  /// Time that a row of a tile takes per word of depth, in cycles: an estimate.
  package var rowCycles = 1.0
  /// Floats of scratch that a panel kernel takes.
  package var edgeFloatCount: Int
  /// Blocks of K are multiples of so many words.
  package var depthStep = 16
  /// Longest K that one call of `gemmPanel` takes; longer products are split into blocks of this length.
  package var blockDepth: Int
  /// Distance in floats between rows of a packed A block: one cache line more than `blockDepth`, so that the rows of a
  /// tile fall into different cache sets.
  package var rowStride: Int

  package init(tileRows: Int, tileColumns: Int, blockDepth: Int, rowStride: Int) {
    self.tileRows = tileRows
    self.tileColumns = tileColumns
    self.blockDepth = blockDepth
    self.rowStride = rowStride
    smallestTileRows = tileColumns == 32 ? 4 : tileRows
    // A tile, and a panel's rows as they are widened to.
    edgeFloatCount = (tileRows + blockDepth) * tileColumns
  }
}

/// The hot loops compiled for one instruction set: float32 on raw memory, no allocation, no errors.
///
/// Counts may be zero; pointers need no alignment; overlap only where a kernel says so. NaN and infinity propagate.
/// Kernels of one instruction set are deterministic; between sets results differ in the last bits (`split`: of 16).
package struct KernelTable: Sendable {
  /// `avx512_amx`, `avx512_bf16`, `avx512_vnni`, `avx512`, `avx2` or `portable`.
  package var name: StaticString
  /// Of float32 products.
  package var gemm: GemmShape

  /// Of products in that format.
  package func shape(_ format: ElementFormat) -> GemmShape {
    switch format {
    case .float32, .int16: gemm
    case .twoBFloat16: split?.shape ?? gemm
    case .bfloat16, .int8: narrow.shape ?? gemm
    }
  }
  /// Time of one word's step of a product in float32 multiply-adds: 1 with dot instructions, less with tiles; the others
  /// count instructions.
  package func stepCost(_ format: ElementFormat) -> Double {
    switch format {
    case .float32, .twoBFloat16: 1
    case .bfloat16: narrow.multipliesPairs ? narrow.shape?.rowCycles ?? 1 : 2.2
    case .int8: narrow.multipliesBytes ? narrow.shape?.rowCycles ?? 1 : 3
    case .int16: int16?.stepCost ?? 3
    }
  }

  /// Whether products of 16-bit integers take less time than those of float32.
  package var multipliesInt16: Bool { stepCost(.int16) < 2 }

  /// Floats of scratch that panel kernels of any format take.
  package var edgeFloatCount: Int {
    max(gemm.edgeFloatCount, max(narrow.shape?.edgeFloatCount ?? 0, split?.shape.edgeFloatCount ?? 0))
  }

  // Elementwise.
  package var add: BinaryKernel
  package var subtract: BinaryKernel
  package var multiply: BinaryKernel
  package var divide: BinaryKernel
  package var minimum: BinaryKernel
  package var maximum: BinaryKernel
  package var addScalar: ScalarKernel
  package var multiplyScalar: ScalarKernel
  /// x − s, s − x, x / s, s / x.
  package var subtractScalar: ScalarKernel
  package var scalarSubtract: ScalarKernel
  package var divideScalar: ScalarKernel
  package var scalarDivide: ScalarKernel
  package var negate: UnaryKernel
  package var absolute: UnaryKernel
  package var squareRoot: UnaryKernel
  package var reciprocal: UnaryKernel
  package var relu: UnaryKernel
  package var exp: UnaryKernel
  package var sigmoid: UnaryKernel
  package var tanh: UnaryKernel
  package var erf: UnaryKernel
  package var silu: UnaryKernel
  package var gelu: UnaryKernel
  package var geluTanh: UnaryKernel
  package var quickGelu: UnaryKernel
  /// `(x, gate, out, count)`: x · gelu(gate).
  package var geglu: BinaryKernel

  // Conversion; the counts are elements.
  package var fromFloat16: @convention(c) (UnsafePointer<UInt16>, UnsafeMutablePointer<Float>, Int) -> Void
  package var toFloat16: @convention(c) (UnsafePointer<Float>, UnsafeMutablePointer<UInt16>, Int) -> Void
  package var fromBFloat16: @convention(c) (UnsafePointer<UInt16>, UnsafeMutablePointer<Float>, Int) -> Void
  package var toBFloat16: @convention(c) (UnsafePointer<Float>, UnsafeMutablePointer<UInt16>, Int) -> Void

  // Rows.
  /// Sum in Double over blocks of float32 lanes.
  package var sum: @convention(c) (UnsafePointer<Float>, Int) -> Double
  /// Σ (x − mean)².
  package var squaredDeviations: @convention(c) (UnsafePointer<Float>, Float, Int) -> Double
  /// Largest element, −∞ for none; NaN if there is one.
  package var rowMaximum: @convention(c) (UnsafePointer<Float>, Int) -> Float
  /// out = exp(x − shift); returns the sum. `out` may be `x`.
  package var expAndSum: @convention(c) (UnsafePointer<Float>, Float, UnsafeMutablePointer<Float>, Int) -> Float
  /// Softmax of one row; `out` may be `x`.
  package var softmaxRow: UnaryKernel
  /// `(x, mean, inverseDeviation, scale, bias, out, count)`: (x − mean) · inverseDeviation · scale[i] + bias[i]; nil
  /// scale means 1, nil bias 0.
  package var normalizeRow:
    @convention(c) (
      UnsafePointer<Float>, Float, Float, UnsafePointer<Float>?, UnsafePointer<Float>?, UnsafeMutablePointer<Float>, Int
    ) -> Void
  /// `(x, mean, scale, bias, out, count, activation)`: activation((x − mean) · scale + bias) with scalars.
  package var scaleShift:
    @convention(c) (UnsafePointer<Float>, Float, Float, Float, UnsafeMutablePointer<Float>, Int, Int32) -> Void
  /// `(x, rows, channels, stride, sums, squares)`: for a rows × channels block whose rows are `stride` apart, per channel
  /// the sum and Σ (x − block mean)².
  package var channelMoments:
    @convention(c) (UnsafePointer<Float>, Int, Int, Int, UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>) ->
      Void
  /// `(x, rows, channels, stride, mean, scale, bias, out, activation)`: activation((x − mean[c]) · scale[c] + bias[c]),
  /// rows of `x` and `out` being `stride` apart; `out` may be `x`.
  package var scaleShiftChannels:
    @convention(c) (
      UnsafePointer<Float>, Int, Int, Int, UnsafePointer<Float>, UnsafePointer<Float>, UnsafePointer<Float>,
      UnsafeMutablePointer<Float>, Int32
    ) -> Void
  /// `(x, scale, y, count)`: y += scale · x.
  package var accumulate: @convention(c) (UnsafePointer<Float>, Float, UnsafeMutablePointer<Float>, Int) -> Void
  /// `(a, b, out, count)`: out += a · b elementwise.
  package var multiplyAdd: BinaryKernel

  /// Transforms of 3×3 convolutions.
  package var winograd: WinogradKernels
  /// With squares of 3×3 outputs.
  package var smallWinograd: WinogradKernels
  /// Of images of twice the size: `input` takes windows with shift 1 and phases 1 only.
  package var enlargedWinograd: WinogradKernels
  /// Sums around the products of Strassen's algorithm.
  package var strassen: StrassenKernels
  /// Strassen's algorithm in attention.
  package var strassenTiles: StrassenTileKernels
  /// Gated activations.
  package var fused: FusedKernels
  /// Between the products of attention.
  package var attention: AttentionKernels

  /// bfloat16 and 8-bit matrix products.
  package var narrow: NarrowKernels

  /// Products of 16-bit integers; nil for plain SIMD.
  package var int16: Int16Kernels? = nil

  /// Large float32 products; nil where they are not faster.
  package var split: SplitKernels? = nil

  /// Matrices stored as float16; nil where the machine does not convert them in one instruction.
  package var half: HalfKernels? = nil

  /// nil where register tiles of 12 and 8 rows are not to be had, as the next.
  package var strassenOnce: StrassenOnceKernels? = nil
  package var strassenTwice: StrassenTwiceKernels? = nil

  // Matrix product.
  package var gemmPanel: PanelKernel
  /// `(rows, columns, c, cStride, bias, residual, residualStride, activation)`: in place: C = activation(C + bias + residual); bias has `columns` elements; nil bias and residual are skipped.
  package var epilogue:
    @convention(c) (
      Int, Int, UnsafeMutablePointer<Float>, Int, UnsafePointer<Float>?, UnsafePointer<Float>?, Int, Int32
    ) -> Void
  /// `(b, rowStride, depth, columns, panel)`: packs a depth × columns piece (columns ≤ tileColumns) of a row-major
  /// matrix into one panel.
  package var packPanel: @convention(c) (UnsafePointer<Float>, Int, Int, Int, UnsafeMutablePointer<Float>) -> Void
  /// `(x, xStride, rows, count, out, outStride)`: copies `count` floats of every row.
  package var copyRows: @convention(c) (UnsafePointer<Float>, Int, Int, Int, UnsafeMutablePointer<Float>, Int) -> Void
  /// `packPanel` for a matrix stored transposed: element (k, n) at `b[n * rowStride + k]`.
  package var packPanelTransposed:
    @convention(c) (UnsafePointer<Float>, Int, Int, Int, UnsafeMutablePointer<Float>) -> Void
}
