import Graph
import Support

/// Multiply-accumulate operations of a node by its definition, whatever algorithm computes it; 0 without products.
/// `output`: shape of the first output.
package func multiplyAccumulates(of node: Node, inputs: [ValueInfo?], output: [Int]) throws(Failure) -> Int {
  guard let a = inputs.optionalInput(0)?.shape, let b = inputs.optionalInput(1)?.shape else { return 0 }
  let factors: [Int]
  switch (node.domain, node.operatorType) {
  case ("", "Conv"), ("", "ConvInteger"), ("adadiff", "ConvNHWC"): factors = output + b.dropFirst()
  case ("", "QLinearConv"): factors = output + (inputs.optionalInput(3)?.shape ?? [0]).dropFirst()
  case ("", "ConvTranspose"): factors = a + b.dropFirst()
  case ("", "MatMul"), ("", "MatMulInteger"), ("", "QLinearMatMul"), ("adadiff", "MatMulBias"):
    factors = output + a.suffix(1)
  case ("adadiff", "MatMulGeglu"): factors = output + a.suffix(1) + [2]
  case ("adadiff", "MatMulGroup"): factors = output + a.suffix(1) + [inputs.count - 1]
  case ("", "Gemm"):
    if case .int(1)? = node.attributes["transA"] {
      factors = output + a.prefix(1)
    } else {
      factors = output + a.suffix(1)
    }
  case ("adadiff", "Attention"):
    // Q (B, Lq, H·D), K (B, Lk, H·D), V (B, Lk, H·Dv): Q · Kᵀ and the product with V.
    guard a.count == 3, b.count == 3, let v = inputs.optionalInput(2)?.shape, v.count == 3 else { return 0 }
    factors = [a[0], a[1], b[1], a[2] + v[2]]
  default: return 0
  }
  return try CheckedSize.product(factors, of: "operations")
}
