import KernelTable

/// Element formats of an attention's two products; sums and softmax are float32.
struct AttentionFormats: Equatable {
  /// Of queries and keys.
  var scores = ElementFormat.float32
  /// Of probabilities and values: never bytes.
  var values = ElementFormat.float32

  /// Keys from which turning a query into integers costs less than its products gain.
  private static let leastKeysOfIntegers = 256

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
    guard format != .float32 else { return }
    let isLong = keys >= Self.leastKeysOfIntegers
    values =
      kernels.narrow.multipliesPairs ? .bfloat16 : isLong && kernels.multipliesInt16 ? .int16 : .float32
    // On tiles, scores of pairs take as long as those of bytes, which have to become floats.
    let takesBytes =
      format == .int8 && isLong && kernels.narrow.shape == nil
      && (kernels.narrow.multipliesBytes || values != .int16)
    scores = takesBytes ? .int8 : values
  }
}
