/// What attention does with a block of scores between its two products, and around them.
///
/// *States* are tileColumns floats per row of scores, what is known of a query's softmax so far: partial sums in the first
/// half, which together are the sum; then the maximum; then the maximum with the block at hand. The rest is not used.
package struct AttentionKernels: Sendable {
  /// `(rows, size, source, stride)`: asks for rows of `size` floats at distance `stride`, which are wanted soon and lie too far
  /// apart to be foreseen.
  package var prefetchRows: @convention(c) (Int, Int, UnsafePointer<Float>, Int) -> Void
  /// `(rows, size, source, stride, scale, target, targetStride)`: rows times a factor.
  package var scaleRows:
    @convention(c) (Int, Int, UnsafePointer<Float>, Int, Float, UnsafeMutablePointer<Float>, Int) -> Void
  /// `(rows, valueSize, states, results)`: states before the first block, and zeros for results.
  package var begin: @convention(c) (Int, Int, UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>) -> Void
  /// `(rows, keys, scores, stride, states)`: the maximum with this block, from that without. NaN is passed over.
  package var maxima: @convention(c) (Int, Int, UnsafePointer<Float>, Int, UnsafeMutablePointer<Float>) -> Void
  /// `(rows, keys, scores, stride, rowScales, keyScales, keyOffsets, states)`: sums of integers (int8, int16) to floats
  /// in place, (score − offset) · rowScale · keyScale, and `maxima` of them.
  package var integerScores:
    @convention(c) (
      Int, Int, UnsafeMutablePointer<Float>, Int, UnsafePointer<Float>, UnsafePointer<Float>, UnsafePointer<Int32>,
      UnsafeMutablePointer<Float>
    ) -> Void
  /// The exponentials replace the scores.
  package var softmax: SoftmaxKernel
  /// The exponentials, rounded to bfloat16, replace the scores: the words of a row begin where its scores did.
  package var softmaxPairs: SoftmaxKernel
  /// `(rows, valueSize, results, states, target, stride)`: rows of results, divided by their sums, to rows at distance `stride`.
  package var divide:
    @convention(c) (
      Int, Int, UnsafePointer<Float>, UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int
    ) -> Void

  package init(
    prefetchRows: @convention(c) (Int, Int, UnsafePointer<Float>, Int) -> Void,
    scaleRows:
      @convention(c) (Int, Int, UnsafePointer<Float>, Int, Float, UnsafeMutablePointer<Float>, Int) -> Void,
    begin: @convention(c) (Int, Int, UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>) -> Void,
    maxima: @convention(c) (Int, Int, UnsafePointer<Float>, Int, UnsafeMutablePointer<Float>) -> Void,
    integerScores:
      @convention(c) (
        Int, Int, UnsafeMutablePointer<Float>, Int, UnsafePointer<Float>, UnsafePointer<Float>, UnsafePointer<Int32>,
        UnsafeMutablePointer<Float>
      ) -> Void,
    softmax: SoftmaxKernel,
    softmaxPairs: SoftmaxKernel,
    divide:
      @convention(c) (
        Int, Int, UnsafePointer<Float>, UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int
      ) -> Void
  ) {
    self.prefetchRows = prefetchRows
    self.scaleRows = scaleRows
    self.begin = begin
    self.maxima = maxima
    self.integerScores = integerScores
    self.softmax = softmax
    self.softmaxPairs = softmaxPairs
    self.divide = divide
  }
}

/// `(rows, keys, scores, stride, states, results, valueSize)`: one block of online softmax in base 2, after its `maxima`. Per
/// row, scores become 2^(score − maximum), their sum is added to the partial sums, and where the maximum grew, the earlier
/// sums and the row of `results` (rows × valueSize) shrink with it. NaN in a score reaches sum and exponentials.
///
/// Rows of scores have room for `keys` rounded up to tileColumns and end in zeros.
package typealias SoftmaxKernel =
  @convention(c) (
    Int, Int, UnsafeMutablePointer<Float>, Int, UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>, Int
  ) -> Void
