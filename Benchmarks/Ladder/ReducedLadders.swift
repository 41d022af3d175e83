import Graph

extension Ladder {
  /// The matrix product with weights in a reduced precision, beside float32. Shares of the peak are of the float32 one.
  static func reducedProduct(_ precision: Precision, small: Bool) throws -> Ladder {
    let (m, n, k) = small ? (13, 35, 300) : (768, 640, 1280)
    let inputs = [try tensor(numbers(m * k, seed: 1), [m, k]), try tensor(numbers(k * n, seed: 2), [k, n])]
    let plain = try EngineOperator("MatMul", domain: "", version: 13, inputs: inputs)
    let ours = try EngineOperator(
      "MatMul", domain: "", version: 13, [ReducedPrecisionPass.attribute: .string(precision.rawValue)],
      inputs: inputs)
    return Ladder(
      name: "matrix product, \(precision.rawValue)", operations: 2 * Double(m * n * k),
      bytes: 4 * Double(m * k + k * n + m * n), outputCount: m * n,
      // Half a unit of 8 bits, or half a step of 1/127, in both factors of 300 terms of random sign; the largest sum is
      // about three times the typical one.
      tolerance: precision == .bfloat16 ? 1e-2 : 2e-2,
      rungs: [
        Rung(name: "float32", sentence: "The packed product in full precision.") { try plain.run(into: &$0) },
        Rung(name: "ours", sentence: "Two or four elements per word, one dot product for each where the CPU has it.") {
          try ours.run(into: &$0)
        },
      ])
  }
}
