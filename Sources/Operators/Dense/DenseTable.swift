import Graph
import Support

/// Matrix products.
let denseOperators: [OperatorEntry] = [
  .widened("MatMul") { MatMulOperator(format: try $0.elementFormat()) },
  .widened("Gemm") { try GemmOperator($0) },
  OperatorEntry("MatMulInteger") { _ in QuantizedMatMul(linear: false) },
  OperatorEntry("QLinearMatMul") { _ in QuantizedMatMul(linear: true) },
]
