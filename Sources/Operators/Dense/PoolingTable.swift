import Graph
import Support

/// Pooling.
let poolingOperators: [OperatorEntry] = [
  .widened("MaxPool") { try MaxPoolOperator($0) },
  .widened("MaxUnpool") { try MaxUnpoolOperator($0) },
  .widened("AveragePool") { try PoolOperator($0, average: true) },
  .widened("LpPool", versions: 2...99) { try PoolOperator($0, average: false) },
  .widened("GlobalAveragePool") { _ in GlobalPoolOperator(kind: .average) },
  .widened("GlobalMaxPool") { _ in GlobalPoolOperator(kind: .maximum) },
  .widened("GlobalLpPool", versions: 2...99) { node in
    GlobalPoolOperator(kind: .lp(max(1, try node.int("p", default: 2))))
  },
]
