/// How the elements of a packed matrix are stored along K. A *word* is four bytes: the unit in which packed products
/// count, so that every format has the same strides.
package enum ElementFormat: Sendable {
  case float32
  case bfloat16
  /// float32 as the sum of two bfloat16 (`SplitKernels`), where that is multiplied faster.
  case twoBFloat16
  /// B: signed, symmetric, one scale per column. A: value / scale + 128, unsigned, one scale per row.
  case int8
  /// Signed in A and B, symmetric, a scale per row and column (`Int16Kernels`).
  case int16

  package var elementsPerWord: Int {
    switch self {
    case .float32, .twoBFloat16: 1
    case .bfloat16, .int16: 2
    case .int8: 4
    }
  }

  /// Whether products are those of float32, or nearly.
  package var isFloat32: Bool { self == .float32 || self == .twoBFloat16 }

  /// Whether sums are integers, to be scaled.
  package var isInteger: Bool { self == .int8 || self == .int16 }

  /// Words that hold `depth` elements.
  package func words(_ depth: Int) -> Int { (depth + elementsPerWord - 1) / elementsPerWord }
}

/// Kernels of matrix products with elements smaller than float32; those of 16-bit integers are `Int16Kernels`.
///
/// *Rows* are depth × tileColumns floats, as `KernelTable.packPanel` leaves them; in a panel, the elements of a word follow
/// each other along K, zero beyond the depth.
package struct NarrowKernels: Sendable {
  /// Whether one instruction multiplies pairs of bfloat16, and does so faster than two multiply-adds.
  package var multipliesPairs = false
  /// Whether one instruction multiplies bytes.
  package var multipliesBytes = false
  /// Shapes of the products, where they are not those of float32; rows and panels are stored alike.
  package var shape: GemmShape? = nil
  /// Two bfloat16 per word, sums in float32.
  package var pairPanel: PanelKernel
  /// Unsigned bytes of A times signed bytes of B; C holds 32-bit integers.
  package var bytePanel: PanelKernel
  /// `(x, out, count)`: rounds to nearest even; NaN stays NaN; subnormals may become zero.
  package var roundRow: @convention(c) (UnsafePointer<Float>, UnsafeMutablePointer<UInt16>, Int) -> Void
  /// `(rows, depth, panel)`: rounds to nearest even; NaN stays NaN; subnormals may become zero.
  package var packPairs: @convention(c) (UnsafePointer<Float>, Int, UnsafeMutablePointer<Float>) -> Void
  /// `(panel, depth, rows)`.
  package var unpackPairs: @convention(c) (UnsafePointer<Float>, Int, UnsafeMutablePointer<Float>) -> Void
  /// `(rows, depth, magnitudes)`: raises each column's largest magnitude; NaN where there is one.
  package var columnMagnitudes: @convention(c) (UnsafePointer<Float>, Int, UnsafeMutablePointer<Float>) -> Void
  /// `(rows, depth, factors, panel, sums)`: the nearest integers to element · factor of its column, at most 127 in
  /// magnitude; adds each column's integers to `sums`.
  package var packBytes:
    @convention(c) (
      UnsafePointer<Float>, Int, UnsafePointer<Float>, UnsafeMutablePointer<Float>, UnsafeMutablePointer<Int32>
    ) -> Void
  /// `(panel, depth, scales, rows)`: integer · scale of its column.
  package var unpackBytes:
    @convention(c) (UnsafePointer<Float>, Int, UnsafePointer<Float>, UnsafeMutablePointer<Float>) -> Void
  /// Largest magnitude, 0 for none; NaN if there is one.
  package var magnitude: @convention(c) (UnsafePointer<Float>, Int) -> Float
  /// `(x, factor, out, count)`: 128 + the nearest integer to x · factor, which is at most 127 in magnitude.
  package var quantizeRow: @convention(c) (UnsafePointer<Float>, Float, UnsafeMutablePointer<UInt8>, Int) -> Void
  /// `(rows, columns, c, cStride, rowScales, columnScales, columnOffsets, bias, residual, residualStride, activation)`:
  /// sums of integers (int8, int16) to floats in place: activation((C − offset) · rowScale · columnScale + bias + residual).
  package var rescale:
    @convention(c) (
      Int, Int, UnsafeMutablePointer<Float>, Int, UnsafePointer<Float>, UnsafePointer<Float>, UnsafePointer<Int32>,
      UnsafePointer<Float>?, UnsafePointer<Float>?, Int, Int32
    ) -> Void

  /// The formats that have an instruction of their own.
  package var dotProducts: [ElementFormat] {
    (multipliesPairs ? [.bfloat16] : []) + (multipliesBytes ? [.int8] : [])
  }

  package init(
    pairPanel: PanelKernel, bytePanel: PanelKernel,
    roundRow: @convention(c) (UnsafePointer<Float>, UnsafeMutablePointer<UInt16>, Int) -> Void,
    packPairs: @convention(c) (UnsafePointer<Float>, Int, UnsafeMutablePointer<Float>) -> Void,
    unpackPairs: @convention(c) (UnsafePointer<Float>, Int, UnsafeMutablePointer<Float>) -> Void,
    columnMagnitudes: @convention(c) (UnsafePointer<Float>, Int, UnsafeMutablePointer<Float>) -> Void,
    packBytes:
      @convention(c) (
        UnsafePointer<Float>, Int, UnsafePointer<Float>, UnsafeMutablePointer<Float>, UnsafeMutablePointer<Int32>
      ) -> Void,
    unpackBytes:
      @convention(c) (UnsafePointer<Float>, Int, UnsafePointer<Float>, UnsafeMutablePointer<Float>) -> Void,
    magnitude: @convention(c) (UnsafePointer<Float>, Int) -> Float,
    quantizeRow: @convention(c) (UnsafePointer<Float>, Float, UnsafeMutablePointer<UInt8>, Int) -> Void,
    rescale:
      @convention(c) (
        Int, Int, UnsafeMutablePointer<Float>, Int, UnsafePointer<Float>, UnsafePointer<Float>, UnsafePointer<Int32>,
        UnsafePointer<Float>?, UnsafePointer<Float>?, Int, Int32
      ) -> Void
  ) {
    self.pairPanel = pairPanel
    self.bytePanel = bytePanel
    self.roundRow = roundRow
    self.packPairs = packPairs
    self.unpackPairs = unpackPairs
    self.columnMagnitudes = columnMagnitudes
    self.packBytes = packBytes
    self.unpackBytes = unpackBytes
    self.magnitude = magnitude
    self.quantizeRow = quantizeRow
    self.rescale = rescale
  }
}
