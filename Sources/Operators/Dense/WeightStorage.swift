import KernelTable

/// How constant weights are stored where a model asks for a format.
///
/// Without a fast instruction for pairs of bfloat16, weights are rounded to float16, which is finer, and widened as a
/// product loads them: half the memory too, in the time of float32. With a very fast one, float32 is two bfloat16.
struct WeightStorage {
  /// Of the products.
  let format: ElementFormat
  let roundsToFloat16: Bool
  /// What weights are packed as before `PackedMatrix.stored`.
  var packing: ElementFormat { format == .twoBFloat16 ? .float32 : format }

  /// Shortest sums of `twoBFloat16`.
  private static let leastDepth = 64

  /// `depth`: of the sums, or of the pieces of rows that are packed one by one; nil where they have to be float32's.
  init(_ wanted: ElementFormat, _ kernels: KernelTable, depth: Int? = nil) {
    roundsToFloat16 = wanted == .bfloat16 && !kernels.narrow.multipliesPairs && kernels.half != nil
    if wanted == .float32, kernels.split != nil, let depth, depth >= Self.leastDepth,
      depth.isMultiple(of: SplitKernels.group)
    {
      format = .twoBFloat16
    } else {
      format = roundsToFloat16 ? .float32 : wanted
    }
  }
}
