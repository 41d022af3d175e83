import KernelTable

/// Element formats of an attention's two products; sums and softmax are float32.
struct AttentionFormats: Equatable {
  /// Of queries and keys.
  var scores = ElementFormat.float32
  /// Of probabilities and values: float32 or bfloat16.
  var values = ElementFormat.float32

  /// Keys from which quantising a query costs less than its products gain.
  private static let leastKeysOfBytes = 256

  init() {}

  /// What an attention with so many keys of that size takes where a model asks for `format`: bfloat16 only where it is
  /// multiplied faster.
  init(_ format: ElementFormat, keys: Int, size: Int, isMasked: Bool, _ kernels: KernelTable) {
    if format == .float32, kernels.split != nil, keys.isMultiple(of: SplitKernels.group),
      size.isMultiple(of: SplitKernels.group), !isMasked
    {
      (scores, values) = (.twoBFloat16, .twoBFloat16)
      return
    }
    let format = format == .bfloat16 && !kernels.narrow.multipliesPairs ? .float32 : format
    values = format == .int8 ? (kernels.narrow.multipliesPairs ? .bfloat16 : .float32) : format
    // On tiles, scores of pairs take as long as those of bytes, which have to become floats.
    scores = keys < Self.leastKeysOfBytes || kernels.narrow.shape != nil ? values : format
  }
}
