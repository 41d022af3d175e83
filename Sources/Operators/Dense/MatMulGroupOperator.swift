import Graph
import KernelTable
import Kernels
import Support

/// `adadiff:MatMulGroup`: A (…, K) times two or three constant matrices (K, N), N whole panels; an output for each.
///
/// The matrices are packed side by side, so that they are one product where they take no level of Strassen's algorithm, whose
/// tasks are divided and rows packed once, or two levels, whose left factors are made once. With one level they are multiplied
/// one after the other: on register tiles one product was 4 % slower.
struct MatMulGroupOperator: Operator {
  /// Of the matrices, packed.
  var format = ElementFormat.float32
  /// The matrices side by side, and how many they are, where they were constants when the plan was made.
  var packed: (matrix: PackedMatrix, count: Int)?

  private static let counts = 2...3

  private func sizes(_ inputs: [ValueInfo?]) throws -> (k: Int, n: Int, count: Int) {
    let a = try inputs.input(0, named: "A")
    let w = try inputs.input(1, named: "W")
    guard let k = a.shape.last, w.shape.count == 2, w.shape[0] == k, Self.counts.contains(inputs.count - 1) else {
      throw Failure(.shapeMismatch, "shapes of A and W", actual: "\(a.shape) and \(w.shape)")
    }
    return (k, w.shape[1], inputs.count - 1)
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let (_, n, count) = try sizes(inputs)
    let a = try inputs.input(0, named: "A")
    try a.expectType([.float32], named: "A")
    for index in 1...count {
      let w = try inputs.input(index, named: "W")
      try w.expectType([.float32], named: "W")
      try w.expectShape([a.shape.last ?? 0, n], named: "W")
    }
    return Array(repeating: ValueInfo(type: .float32, shape: a.shape.dropLast() + [n]), count: count)
  }

  func scratchByteCount(for inputs: [ValueInfo?], threads: Int) -> Int {
    guard let (k, n, count) = try? sizes(inputs), k > 0, let a = inputs.optionalInput(0) else { return 0 }
    let kernels = Kernels.current
    let rows = a.shape.reduce(1, *) / k
    let format = packed?.matrix.format ?? WeightStorage(format, kernels, depth: k).format
    let plain = [n, count * n].map {
      MatrixProduct.scratchByteCount(rows: rows, depth: k, columns: $0, format: format, threads: threads, kernels)
    }.reduce(0, max)
    guard format == .float32 else { return plain }
    return StrassenLevels.scratchByteCount(
      rows: rows, depth: k, pairs: count * PackedMatrix.panelCount(n, kernels) / 2, threads: threads, kernels: kernels,
      plain: plain)
  }

  func prepared(for inputs: [ValueInfo?], threads: Int) throws -> (any Operator)? {
    guard packed == nil else { return nil }
    let (k, n, count) = try sizes(inputs)
    let kernels = Kernels.current
    let storage = WeightStorage(format, kernels, depth: k)
    let matrix = try PackedMatrix(depth: k, columns: count * n, kernels: kernels, storage)
    let tile = kernels.gemm.tileColumns
    let panels = matrix.panelCount / count
    guard panels * count * tile == count * n else {
      throw Failure(.unsupported, "columns that are not whole panels", actual: "\(n)")
    }
    let block = try HeapBlock(byteCount: 4 * PackedMatrix.packingFloatCount(kernels))
    let scratch = block.bytes.baseAddress?.assumingMemoryBound(to: Float.self)
    for index in 0..<count {
      guard let constant = inputs.optionalInput(index + 1)?.constant else {
        throw Failure(.unsupported, "matrices that are not constant")
      }
      for panel in 0..<panels {
        matrix.pack(panel: index * panels + panel, scratch: scratch) { first, rows, target in
          kernels.packPanel(constant.floats + first * n + panel * tile, n, rows, tile, target)
        }
      }
    }
    withExtendedLifetime(block) {}
    var copy = self
    copy.packed = (try matrix.stored(storage), count)
    return copy
  }

  /// Packing depends on the weights alone.
  func preparationKey(for inputs: [ValueInfo?], threads: Int) -> String? { "" }

  var consumedInputs: [Int] { packed.map { Array(1...$0.count) } ?? [] }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let (packed, count) = packed else { throw Failure(.unsupported, "matrices that are not constant") }
    let a = try inputs.tensor(0, named: "A")
    let (rows, columns) = (a.count / max(1, packed.depth), packed.columns / count)
    guard rows > 0 else { return }
    var scratch = ScratchMemory(context.scratch)
    defer { withExtendedLifetime(scratch) {} }
    let panels = packed.panelCount / count
    func product(_ index: Int) -> MatrixProduct? {
      outputs.optionalTensor(index).map { y in
        let matrix = PackedMatrix(
          depth: packed.depth, columns: columns, kernels: packed.kernels, format: packed.format,
          panels: packed.panels + index * panels * packed.panelStride, isHalf: packed.isHalf)
        return MatrixProduct(rows: rows, b: matrix, c: y.floats, cStride: columns)
      }
    }
    let levels =
      packed.format == .float32 && panels.isMultiple(of: 2)
      ? StrassenLevels(
        rows: rows, depth: packed.depth, pairs: packed.panelCount / 2, threads: context.pool.threads,
        kernels: packed.kernels, inPlace: true, isHalf: packed.isHalf) : nil
    if levels == nil || levels?.twice != nil, let first = product(0), let second = product(1),
      let last = product(count - 1)
    {
      let source = MatrixRows(a: a.floats, stride: packed.depth, depth: packed.depth, kernels: packed.kernels)
      if let levels {
        try levels.run(
          context: context, scratch: &scratch, source,
          GroupedResults(products: (first, second, last), pairs: panels / 2), left: packed, right: packed, step: 2,
          firstRight: 1)
      } else {
        var all = first
        all.b = packed
        all.group = MatrixProduct.Group(panels: panels, second: second.c, third: last.c)
        try all.run(context: context, scratch: &scratch, source)
      }
    } else {
      for index in 0..<count {
        guard let product = product(index) else { continue }
        try scratch.lend { try product.run(context: context, scratch: &$0, rowsOf: a.floats, stride: packed.depth) }
      }
    }
    withExtendedLifetime(packed) {}
  }
}

/// Hands the results of each matrix's pairs to its product.
private struct GroupedResults: StrassenResults {
  let products: (MatrixProduct, MatrixProduct, MatrixProduct)
  /// Pairs of a matrix.
  let pairs: Int

  private func product(_ place: StrassenPlace) -> (MatrixProduct, StrassenPlace) {
    let (index, pair) = place.pair.quotientAndRemainder(dividingBy: pairs)
    var own = place
    own.pair = pair
    return (index == 0 ? products.0 : index == 1 ? products.1 : products.2, own)
  }

  func take(
    _ place: StrassenPlace, _ products: UnsafePointer<Float>, distance: Int, scratch: UnsafeMutablePointer<Float>
  ) {
    let (product, own) = product(place)
    product.take(own, products, distance: distance, scratch: scratch)
  }

  func take(_ place: StrassenPlace, quarters: UnsafeMutablePointer<Float>, distance: Int) {
    let (product, own) = product(place)
    product.take(own, quarters: quarters, distance: distance)
  }

  func ahead(_ place: StrassenPlace, _ index: Int) -> RowsToPack {
    let (product, own) = product(place)
    return product.ahead(own, index)
  }
}
