import Graph

/// Reductions. The axes moved from an attribute to an input with opset 13 for ReduceSum, 18 for the others.
let reductionOperators: [OperatorEntry] = [
  .reduction("ReduceSum", .sum, axesInputVersion: 13),
  .reduction("ReduceMean", .mean),
  .reduction("ReduceMax", .maximum),
  .reduction("ReduceMin", .minimum),
  .reduction("ReduceProd", .product),
  .reduction("ReduceL1", .l1),
  .reduction("ReduceL2", .l2),
  .reduction("ReduceLogSum", .logSum),
  .reduction("ReduceLogSumExp", .logSumExp),
  .reduction("ReduceSumSquare", .sumSquare),
  OperatorEntry("Det", versions: 11...99) { _ in Determinant() },
  OperatorEntry("ArgMax") { node in try ArgumentReduction(findsMaximum: true, node) },
  OperatorEntry("ArgMin") { node in try ArgumentReduction(findsMaximum: false, node) },
]

extension OperatorEntry {
  fileprivate static func reduction(
    _ name: String, _ reduction: Reduction, axesInputVersion: Int = 18
  ) -> OperatorEntry {
    OperatorEntry(name) { node in try ReductionOperator(reduction, axesInputVersion: axesInputVersion, node) }
  }
}
