import KernelTable

/// How constant weights are stored where a model asks for a format.
///
/// Without a fast instruction for pairs of bfloat16, weights are rounded to float16, which is finer, and widened as a
/// product loads them: half the memory too, in the time of float32.
struct WeightStorage {
  /// Of the packed matrix.
  let format: ElementFormat
  let roundsToFloat16: Bool

  init(_ wanted: ElementFormat, _ kernels: KernelTable) {
    roundsToFloat16 = wanted == .bfloat16 && !kernels.narrow.multipliesPairs && kernels.half != nil
    format = roundsToFloat16 ? .float32 : wanted
  }
}
