import Graph
import KernelTable
import Support

/// How a product takes Strassen's algorithm: by two levels, where it is large enough, by one on register tiles, where it has few
/// terms, or by one. The first two need rows that lie in memory.
struct StrassenLevels {
  let product: StrassenPlan?
  let once: StrassenOncePlan?
  let twice: StrassenTwicePlan?

  /// Nil where the plain product is expected to be faster. `inPlace`: A's rows lie in memory. `isHalf`: B is stored as float16.
  /// `inOneBlock`: C cannot be summed over blocks of K.
  init?(
    rows: Int, depth: Int, pairs: Int, threads: Int, kernels: KernelTable, inPlace: Bool, isHalf: Bool,
    inOneBlock: Bool = false
  ) {
    product = StrassenPlan(
      rows: rows, depth: depth, pairs: pairs, threads: threads, kernels: kernels, inOneBlock: inOneBlock)
    twice =
      inPlace && product != nil
      ? StrassenTwicePlan(
        rows: rows, depth: depth, pairs: pairs, threads: threads, kernels: kernels, inOneBlock: inOneBlock) : nil
    once =
      inPlace && !isHalf && twice == nil
      ? StrassenOncePlan(
        rows: rows, depth: depth, pairs: pairs, threads: threads, kernels: kernels, inOneBlock: inOneBlock) : nil
    guard product != nil || once != nil else { return nil }
  }

  /// Scratch memory of a product, whatever is known only when it runs; `plain`: where it takes no level.
  static func scratchByteCount(
    rows: Int, depth: Int, pairs: Int, threads: Int, kernels: KernelTable, inOneBlock: Bool = false, plain: Int
  ) -> Int {
    [(true, false), (true, true), (false, false)].reduce(0) { most, way in
      let levels = StrassenLevels(
        rows: rows, depth: depth, pairs: pairs, threads: threads, kernels: kernels, inPlace: way.0, isHalf: way.1,
        inOneBlock: inOneBlock)
      return max(most, levels?.scratchByteCount ?? plain)
    }
  }

  private var scratchByteCount: Int {
    twice?.scratchByteCount ?? once?.scratchByteCount ?? product?.scratchByteCount ?? 0
  }

  /// The arguments after `results` are those of `StrassenProduct`.
  func run(
    context: RunContext, scratch: inout ScratchMemory, _ source: some RowSource, _ results: some StrassenResults,
    left: PackedMatrix, right: PackedMatrix, step: Int, firstRight: Int
  ) throws {
    if let twice, let (a, stride) = source.place(0) {
      try StrassenTwice(plan: twice, left: left, right: right, step: step, firstRight: firstRight).run(
        context: context, scratch: &scratch, a, stride: stride, results)
    } else if let once, let (a, stride) = source.place(0) {
      try StrassenOnce(plan: once, left: left, right: right, step: step, firstRight: firstRight).run(
        context: context, scratch: &scratch, a, stride: stride, results)
    } else if let product {
      try StrassenProduct(plan: product, left: left, right: right, step: step, firstRight: firstRight).run(
        context: context, scratch: &scratch, source, results)
    }
  }
}
