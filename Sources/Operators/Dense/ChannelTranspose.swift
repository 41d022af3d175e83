import Support

/// Transposes `count` matrices (rows × columns) of 4-byte elements; parallel over blocks of 32 rows.
func transposeMatrices(
  _ source: UnsafePointer<Float>, _ target: UnsafeMutablePointer<Float>, count: Int, rows: Int, columns: Int,
  context: RunContext
) throws {
  guard count * rows * columns > 0 else { return }
  let side = 32
  let blocks = (rows + side - 1) / side
  try runTasks(count * blocks, slots: context.pool.threads, context: context) { _, task in
    let (matrix, block) = task.quotientAndRemainder(dividingBy: blocks)
    let from = source + matrix * rows * columns
    let to = target + matrix * rows * columns
    let firstRow = block * side
    let lastRow = min(rows, firstRow + side)
    var firstColumn = 0
    while firstColumn < columns {
      let lastColumn = min(columns, firstColumn + side)
      for column in firstColumn..<lastColumn {
        let line = to + column * rows
        for row in firstRow..<lastRow { line[row] = from[row * columns + column] }
      }
      firstColumn = lastColumn
    }
  }
}
