import KernelTable

/// How constant weights are stored where a model asks for a format.
///
/// Without a fast instruction for pairs of bfloat16, products are of 16-bit integers, where those are faster than float32. Else weights
/// are rounded to float16, which is finer, and widened as a product loads them: half the memory too, in the time of float32.
/// Bytes without an instruction for them are widened to 16-bit integers. With a very fast instruction for pairs, float32 is two bfloat16.
struct WeightStorage: Equatable {
  /// Of the products.
  let format: ElementFormat
  let roundsToFloat16: Bool
  /// int16 stored as bytes.
  let isBytes: Bool
  /// What weights are packed as before `PackedMatrix.stored`.
  var packing: ElementFormat { format == .twoBFloat16 ? .float32 : format }

  /// Shortest sums of `twoBFloat16`.
  private static let leastDepth = 64

  /// `depth`: of the sums, or of the pieces of rows that are packed one by one; nil where they have to be float32's.
  /// `isTransformed`: weights are multiplied as float32 or pairs after a transform. `roundsOnly`: products should be
  /// float32, which they are where pairs take at least half of its time.
  init(
    _ wanted: ElementFormat, _ kernels: KernelTable, depth: Int? = nil, isTransformed: Bool = false,
    roundsOnly: Bool = false
  ) {
    if roundsOnly, wanted == .bfloat16, kernels.half != nil, kernels.narrow.shape == nil {
      (format, roundsToFloat16, isBytes) = (.float32, true, false)
      return
    }
    let isPairs = wanted == .bfloat16 && !kernels.narrow.multipliesPairs
    isBytes = wanted == .int8 && !kernels.narrow.multipliesBytes && kernels.int16 != nil
    let isInt16 = isPairs && !isTransformed && kernels.multipliesInt16
    roundsToFloat16 = isPairs && !isInt16 && kernels.half != nil
    if wanted == .float32, kernels.split != nil, let depth, depth >= Self.leastDepth,
      depth.isMultiple(of: SplitKernels.group)
    {
      format = .twoBFloat16
    } else {
      format = isInt16 || isBytes ? .int16 : roundsToFloat16 ? .float32 : wanted
    }
  }
}
