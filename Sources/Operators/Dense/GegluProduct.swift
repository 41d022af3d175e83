import Graph
import KernelTable
import Kernels
import Support

/// `adadiff:MatMulGeglu`: A (…, K), W (K, 2N), bias (2N)? → h[…, :N] · gelu(h[…, N:]) with h = A · W + bias, which is never
/// in memory as a whole: both halves of a panel are multiplied into a tile and gated there.
struct MatMulGegluOperator: Operator {
  /// Of a constant W, packed.
  var format = ElementFormat.float32
  /// Both halves of W, where it was constant when the plan was made.
  var packed: (value: PackedMatrix, gate: PackedMatrix)?

  private func sizes(_ inputs: [ValueInfo?]) throws -> (rows: Int, k: Int, n: Int) {
    let a = try inputs.input(0, named: "A")
    let w = try inputs.input(1, named: "W")
    guard let k = a.shape.last, w.shape.count == 2, w.shape[0] == k, w.shape[1] % 2 == 0 else {
      throw Failure(.shapeMismatch, "shapes of A and W", actual: "\(a.shape) and \(w.shape)")
    }
    return (a.shape.dropLast().reduce(1, *), k, w.shape[1] / 2)
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let (_, _, n) = try sizes(inputs)
    let a = try inputs.input(0, named: "A")
    try a.expectType([.float32], named: "A")
    try inputs.input(1, named: "W").expectType([.float32], named: "W")
    if let bias = inputs.optionalInput(2) {
      try bias.expectType([.float32], named: "bias")
      try bias.expectShape([2 * n], named: "bias")
    }
    return [ValueInfo(type: .float32, shape: a.shape.dropLast() + [n])]
  }

  /// A product's slot, and the two products of a panel.
  private static func slotFloatCount(_ kernels: KernelTable) -> Int {
    MatrixProduct.slotFloatCount(kernels) + 2 * tileFloatCount(kernels)
  }

  private static func tileFloatCount(_ kernels: KernelTable) -> Int {
    MatrixProduct.blockRowLimit(kernels) * kernels.gemm.tileColumns
  }

  /// Rows of A that a thread holds packed for all of K, in whole tiles; 0 where K is too long for one.
  private static func heldRows(words: Int, _ kernels: KernelTable, _ format: ElementFormat) -> Int {
    let g = kernels.shape(format)
    return MatrixProduct.heldRows(kernels) / g.equalBlocks(words).count / g.tileRows * g.tileRows
  }

  func scratchByteCount(for inputs: [ValueInfo?], threads: Int) -> Int {
    let kernels = Kernels.current
    guard let (rows, k, n) = try? sizes(inputs) else { return 0 }
    let format = packed?.value.format ?? .float32
    var slots =
      Self.heldRows(words: format.words(k), kernels, format) == 0
      ? MatrixProduct.scratchByteCount(
        rows: rows, depth: k, columns: n, format: format, threads: threads, kernels)
      : ScratchMemory.byteCount(floats: max(1, threads) * Self.slotFloatCount(kernels))
    if format == .float32 {
      slots = StrassenLevels.scratchByteCount(
        rows: rows, depth: k, pairs: PackedMatrix.panelCount(n, kernels), threads: threads, kernels: kernels,
        inOneBlock: true, plain: slots)
    }
    guard packed == nil else { return slots }
    return slots + 2 * ScratchMemory.byteCount(floats: PackedMatrix.floatCount(depth: k, columns: n, kernels))
  }

  func prepared(for inputs: [ValueInfo?], threads: Int) throws -> (any Operator)? {
    guard packed == nil, let constant = inputs.optionalInput(1)?.constant, constant.count > 0 else { return nil }
    let (_, k, n) = try sizes(inputs)
    let value = try PackedMatrix.packed(constant.floats, depth: k, columns: n, rowStride: 2 * n, format: format)
    let gate = try PackedMatrix.packed(constant.floats + n, depth: k, columns: n, rowStride: 2 * n, format: format)
    return MatMulGegluOperator(format: format, packed: (value, gate))
  }

  /// Packing depends on the weights alone.
  func preparationKey(for inputs: [ValueInfo?], threads: Int) -> String? { "" }

  var consumedInputs: [Int] { packed == nil ? [] : [1] }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let y = outputs.optionalTensor(0), y.count > 0, let n = y.shape.last else { return }
    let a = try inputs.tensor(0, named: "A")
    let bias = inputs.optionalTensor(2).map { UnsafePointer($0.floats) }
    var scratch = ScratchMemory(context.scratch)
    defer { withExtendedLifetime(scratch) {} }
    let kernels = Kernels.current
    let slots = context.pool.threads
    let value: PackedMatrix
    let gate: PackedMatrix
    if let packed {
      (value, gate) = packed
    } else {
      let w = try inputs.tensor(1, named: "W")
      let count = PackedMatrix.floatCount(depth: w.shape[0], columns: n, kernels)
      value = PackedMatrix(depth: w.shape[0], columns: n, kernels: kernels, panels: try scratch.takeFloats(count))
      gate = PackedMatrix(depth: w.shape[0], columns: n, kernels: kernels, panels: try scratch.takeFloats(count))
      value.packAll(from: w.floats, rowStride: 2 * n, transposed: false)
      gate.packAll(from: w.floats + n, rowStride: 2 * n, transposed: false)
    }
    let rows = y.count / n
    let source = MatrixRows(a: a.floats, stride: value.depth, depth: value.depth, kernels: kernels)
    if value.format == .float32,
      let levels = StrassenLevels(
        rows: rows, depth: value.depth, pairs: value.panelCount, threads: slots, kernels: kernels, inPlace: true,
        isHalf: value.isHalf || gate.isHalf, inOneBlock: true)
    {
      return try levels.run(
        context: context, scratch: &scratch, source,
        GatedResults(y: y.floats, columns: n, bias: bias, kernels: kernels), left: value, right: gate, step: 1,
        firstRight: 0)
    }
    let g = kernels.gemm
    let limit = MatrixProduct.blockRowLimit(kernels)
    var partition = MatrixProduct.Partition(
      rows: rows, depth: value.words, panels: value.panelCount, matrices: 2, threads: slots, kernels: kernels,
      format: value.format)
    // Rows per task so that A is packed for all of K, and never more than the tiles hold.
    let (depthBlocks, blockDepth) = (partition.depthBlocks, partition.blockDepth)
    let held = Self.heldRows(words: value.words, kernels, value.format)
    guard held > 0 else {
      return try runWide(value, gate, a, bias, y, context: context, scratch: &scratch)
    }
    let blocks = try scratch.takeFloats(slots * Self.slotFloatCount(kernels))
    partition.limit(blockRows: min(limit, held), rows: rows)
    let blockRows = partition.blockRows
    let pieceRows = depthBlocks * blockRows
    let places = max(1, min(MatrixProduct.HeldPieces.limit, MatrixProduct.heldRows(kernels) / pieceRows))
    for slot in 0..<slots { MatrixProduct.HeldPieces(blocks + slot * Self.slotFloatCount(kernels), kernels).clear() }
    try runTasks(partition.count, slots: slots, context: context) { slot, task in
      let place = partition.place(task)
      let (rowStart, firstPanel) = (place.rowStart, place.firstPanel)
      let count = min(blockRows, rows - rowStart)
      let own = blocks + slot * Self.slotFloatCount(kernels)
      let pieces = MatrixProduct.HeldPieces(own, kernels)
      let (piece, isPacked) = pieces.take(rowStart / blockRows, places: places)
      let packedA = own + piece * pieceRows * g.rowStride
      let rowScales = own + MatrixProduct.heldRows(kernels) * g.rowStride + piece * blockRows
      let rowFactors = rowScales + MatrixProduct.heldRows(kernels)
      let edge = pieces.tile
      let values = own + MatrixProduct.slotFloatCount(kernels)
      let gates = values + Self.tileFloatCount(kernels)
      if value.format.isInteger, !isPacked {
        source.quantize(rowStart, count, value.format, scales: rowScales, factors: rowFactors)
      }
      for block in 0..<depthBlocks where !isPacked {
        let target = PackedRows(
          words: packedA + block * blockRows * g.rowStride, distance: g.rowStride, format: value.format,
          kernels: kernels, factors: rowFactors)
        source.packBlock(block, of: blockDepth, rowStart: rowStart, rows: count, depth: value.depth, target)
      }
      let panels = firstPanel..<min(value.panelCount, firstPanel + partition.panelsPerTask)
      let next = task + 1 < partition.count ? partition.place(task + 1).rowStart : rowStart
      var ahead =
        next == rowStart || places >= partition.rowBlocks
        ? .none
        : RowsToPack(source.place(next), from: 0, count: value.depth, products: 2 * depthBlocks * panels.count)
      for panel in panels {
        let column = panel * g.tileColumns
        let width = min(g.tileColumns, n - column)
        func multiply(_ matrix: PackedMatrix, _ target: UnsafeMutablePointer<Float>) {
          for block in 0..<depthBlocks {
            let k = block * blockDepth
            matrix.panelKernel(
              count, width, min(blockDepth, value.words - k), packedA + block * blockRows * g.rowStride,
              matrix.panel(panel, from: k), target, g.tileColumns, k > 0, edge,
              packedA + (block + 1) % depthBlocks * blockRows * g.rowStride, ahead.next(), ahead.stride, ahead.lines)
          }
        }
        multiply(value, values)
        multiply(gate, gates)
        let target = y.floats + rowStart * n + column
        let xBias = bias.map { $0 + column }
        let gateBias = bias.map { $0 + n + column }
        if value.format.isInteger {
          kernels.fused.gegluTileIntegers(
            count, width, values, gates, g.tileColumns, rowScales, value.columnScales + column,
            value.columnOffsets + column, gate.columnScales + column, gate.columnOffsets + column, xBias, gateBias,
            target, n)
        } else {
          let tile = value.format.isFloat32 ? kernels.fused.gegluTile : kernels.fused.gegluTileCoarse
          tile(count, width, values, gates, g.tileColumns, xBias, gateBias, target, n)
        }
      }
    }
  }

  /// K too long to be packed at once: two products, then the gate.
  private func runWide(
    _ value: PackedMatrix, _ gate: PackedMatrix, _ a: Tensor, _ bias: UnsafePointer<Float>?, _ y: Tensor,
    context: RunContext, scratch: inout ScratchMemory
  ) throws {
    let n = value.columns
    let rows = y.count / max(1, n)
    let gates = try Tensor(type: .float32, shape: [rows, n])
    for (matrix, c, bias) in [(value, y.floats, bias), (gate, gates.floats, bias.map { $0 + n })] {
      try scratch.lend {
        try MatrixProduct(rows: rows, b: matrix, c: c, cStride: n, bias: bias).run(
          context: context, scratch: &$0, rowsOf: a.floats, stride: matrix.depth)
      }
    }
    withExtendedLifetime(gates) {
      value.kernels.geglu(y.floats, gates.floats, y.floats, rows * n)
    }
  }
}

/// Gates the quarters of C: values on the left, gates on the right.
private struct GatedResults: StrassenResults {
  /// (rows, columns).
  let y: UnsafeMutablePointer<Float>
  let columns: Int
  /// Of the values, then of the gates.
  let bias: UnsafePointer<Float>?
  let kernels: KernelTable

  func take(
    _ place: StrassenPlace, _ products: UnsafePointer<Float>, distance: Int, scratch: UnsafeMutablePointer<Float>
  ) {
    let tile = kernels.gemm.tileColumns
    let column = place.pair * tile
    let width = min(tile, columns - column)
    let (gates, lowerValues, lowerGates) = (scratch + distance, scratch + 2 * distance, scratch + 3 * distance)
    kernels.strassen.results(
      place.upper, place.lower, width, width, products, distance, scratch, gates, lowerValues, lowerGates, tile, false)
    take(place, quarters: scratch, distance: distance)
  }

  func take(_ place: StrassenPlace, quarters: UnsafeMutablePointer<Float>, distance: Int) {
    let tile = kernels.gemm.tileColumns
    let column = place.pair * tile
    func gate(_ row: Int, _ count: Int, _ values: UnsafeMutablePointer<Float>) {
      kernels.fused.gegluTile(
        count, min(tile, columns - column), values, values + distance, tile, bias.map { $0 + column },
        bias.map { $0 + columns + column }, y + row * columns + column, columns)
    }
    gate(place.start, place.upper, quarters)
    gate(place.lowerStart, place.lower, quarters + 2 * distance)
  }

  func ahead(_ place: StrassenPlace, _ index: Int) -> RowsToPack {
    guard index >= 2 else { return .none }
    let column = place.pair * kernels.gemm.tileColumns
    let first = UnsafePointer(y) + (index % 2 == 0 ? place.start : place.lowerStart) * columns + column
    return RowsToPack(
      (first, columns), from: 0, count: min(kernels.gemm.tileColumns, columns - column), products: 1)
  }
}
