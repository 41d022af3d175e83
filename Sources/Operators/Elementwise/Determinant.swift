import Graph
import Support

/// Det: the determinant of each matrix in the last two axes, by elimination with row exchanges, in Double.
struct Determinant: Operator {
  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x: ValueInfo = try inputs.operand(0)
    try x.requireType(x.type.isFloatingPoint && ComputeKind(x.type) != nil, "a floating-point type")
    let shape = x.shape
    guard shape.count >= 2, shape[shape.count - 1] == shape[shape.count - 2] else {
      throw Failure(.shapeMismatch, "square matrices are required", actual: "\(shape)")
    }
    return [ValueInfo(type: x.type, shape: Array(shape.dropLast(2)))]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let result = outputs.optionalOperand(0) else { return }
    let x: Tensor = try inputs.operand(0)
    let size = x.shape.last ?? 0
    let elements = try x.numbers()
    try result.store(
      (0..<result.count).map { matrix in
        determinant(Array(elements[(matrix * size * size)..<((matrix + 1) * size * size)]), size)
      })
  }

  /// Of a row-major size × size matrix; 1 for the empty one.
  private func determinant(_ matrix: [Double], _ size: Int) -> Double {
    var rows = matrix
    var product = 1.0
    for column in 0..<size {
      var pivot = column
      for row in column..<size where rows[row * size + column].magnitude > rows[pivot * size + column].magnitude {
        pivot = row
      }
      if pivot != column {
        for k in 0..<size { rows.swapAt(pivot * size + k, column * size + k) }
        product = -product
      }
      let diagonal = rows[column * size + column]
      product *= diagonal
      if diagonal == 0 { return product }
      for row in (column + 1)..<max(size, column + 1) {
        let factor = rows[row * size + column] / diagonal
        for k in column..<size { rows[row * size + k] -= factor * rows[column * size + k] }
      }
    }
    return product
  }
}
