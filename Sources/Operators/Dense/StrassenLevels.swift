import Graph
import KernelTable
import Support

/// The levels of Strassen's algorithm that a product takes: two, where it is large enough and its rows lie in memory, or one.
struct StrassenLevels {
  let one: StrassenPlan
  let two: StrassenTwicePlan?

  /// Nil where the plain product is expected to be faster. `inOneBlock`: C cannot be summed over blocks of K.
  init?(rows: Int, depth: Int, pairs: Int, threads: Int, kernels: KernelTable, inOneBlock: Bool = false) {
    guard
      let one = StrassenPlan(
        rows: rows, depth: depth, pairs: pairs, threads: threads, kernels: kernels, inOneBlock: inOneBlock)
    else { return nil }
    self.one = one
    two = StrassenTwicePlan(
      rows: rows, depth: depth, pairs: pairs, threads: threads, kernels: kernels, inOneBlock: inOneBlock)
  }

  var scratchByteCount: Int { max(one.scratchByteCount, two?.scratchByteCount ?? 0) }

  /// The arguments after `results` are those of `StrassenProduct`.
  func run(
    context: RunContext, scratch: inout ScratchMemory, _ source: some RowSource, _ results: some StrassenResults,
    left: PackedMatrix, right: PackedMatrix, step: Int, firstRight: Int
  ) throws {
    if let two, let (a, stride) = source.place(0) {
      return try StrassenTwice(plan: two, left: left, right: right, step: step, firstRight: firstRight).run(
        context: context, scratch: &scratch, a, stride: stride, results)
    }
    try StrassenProduct(plan: one, left: left, right: right, step: step, firstRight: firstRight).run(
      context: context, scratch: &scratch, source, results)
  }
}
