import Graph
import KernelTable
import Kernels
import Support

/// Softmax(scale · Q Kᵀ + mask) V without a score matrix: keys come in blocks, a running maximum and sum per query keep
/// the softmax exact (online softmax). One task is one group of queries of one head; a block of keys and values stays in the
/// second-level cache while the group's queries see it a few at a time, whose scores stay in the first-level cache. Long
/// attention takes Strassen's algorithm (`StrassenAttention`).
struct AttentionCore {
  var batch: Int
  var heads: Int
  /// Heads of keys and values; each serves heads / keyHeads query heads in a row.
  var keyHeads: Int
  var queries: Int
  var keys: Int
  var size: Int
  var valueSize: Int
  var scale: Float
  var q: HeadView
  var k: HeadView
  var v: HeadView
  var y: HeadView
  var mask = AttentionMask()
  var kernels = Kernels.current
  var formats = AttentionFormats()

  /// Scores are in this unit, log2(e), so that the softmax takes powers of 2.
  static let base2: Float = 1.442_695_04

  /// Query rows of one task, 96 with any instruction set: those for which a block of keys and values comes to the second-level cache.
  static func groupRows(_ kernels: KernelTable) -> Int { 96 / kernels.gemm.tileRows * kernels.gemm.tileRows }
  /// Query rows whose scores are there at a time: 26 KB on AVX-512, on AVX2 with int16 (5 % less time than with 13 KB). On tiles all
  /// of a group's, in the second-level cache: 3 to 11 % less time than with 32.
  static func stepRows(_ kernels: KernelTable, _ formats: AttentionFormats) -> Int {
    if formats.scores != .float32, kernels.narrow.shape != nil { return groupRows(kernels) }
    return formats.scores == .int16 ? 24 / kernels.gemm.tileRows * kernels.gemm.tileRows : 2 * kernels.gemm.tileRows
  }

  private static func depthBlocks(_ words: Int, _ kernels: KernelTable) -> Int {
    max(1, (words + kernels.gemm.blockDepth - 1) / kernels.gemm.blockDepth)
  }

  /// Where things lie in a thread's scratch memory.
  struct Slot {
    var queries: UnsafeMutablePointer<Float>
    var scores: UnsafeMutablePointer<Float>
    var results: UnsafeMutablePointer<Float>
    /// `AttentionKernels`'.
    var states: UnsafeMutablePointer<Float>
    /// Of integers: what one of each query stands for.
    var queryScales: UnsafeMutablePointer<Float>
    /// Of integers: a step's products with a panel of values.
    var products: UnsafeMutablePointer<Float>
    /// Scratch of panel kernels, or two register tiles of `StrassenAttention`.
    var tile: UnsafeMutablePointer<Float>
  }

  private static func tileFloatCount(_ kernels: KernelTable) -> Int {
    max(kernels.edgeFloatCount, 2 * kernels.gemm.tileRows * kernels.gemm.tileColumns)
  }

  private static func productFloatCount(_ kernels: KernelTable, _ formats: AttentionFormats) -> Int {
    formats.values == .int16 ? stepRows(kernels, formats) * kernels.gemm.tileColumns : 0
  }

  private func slot(_ scratch: UnsafeMutablePointer<Float>) -> Slot {
    let g = kernels.gemm
    let rows = Self.groupRows(kernels)
    let blocks = Self.depthBlocks(formats.scores.words(size), kernels)
    let scores = scratch + rows * g.rowStride * blocks
    let states = scores + Self.stepRows(kernels, formats) * g.rowStride
    let queryScales = states + rows * g.tileColumns
    let tile = queryScales + rows
    let products = tile + Self.tileFloatCount(kernels)
    return Slot(
      queries: scratch, scores: scores, results: products + Self.productFloatCount(kernels, formats), states: states,
      queryScales: queryScales, products: products, tile: tile)
  }

  private static func slotFloatCount(
    size: Int, valueSize: Int, _ kernels: KernelTable, _ formats: AttentionFormats
  ) -> Int {
    let g = kernels.gemm
    let rows = groupRows(kernels)
    let blocks = depthBlocks(formats.scores.words(size), kernels)
    let floats =
      (rows * blocks + stepRows(kernels, formats)) * g.rowStride + rows * (g.tileColumns + 1 + valueSize)
      + tileFloatCount(kernels) + productFloatCount(kernels, formats)
    // One more says which keys and values are packed.
    return (max(floats, PackedMatrix.packingFloatCount(kernels) + size) + 16) & ~15
  }

  private static func keyFloatCount(
    keys: Int, size: Int, _ kernels: KernelTable, _ formats: AttentionFormats
  ) -> Int { PackedMatrix.floatCount(depth: size, columns: keys, kernels, formats.scores) }

  private static func valueFloatCount(
    keys: Int, valueSize: Int, _ kernels: KernelTable, _ formats: AttentionFormats
  ) -> Int { PackedMatrix.floatCount(depth: keys, columns: valueSize, kernels, formats.values) }

  /// `strassen`: of `run`'s attention, nil without.
  static func scratchByteCount(
    batch: Int, keyHeads: Int, keys: Int, size: Int, valueSize: Int, threads: Int, _ kernels: KernelTable,
    formats: AttentionFormats = AttentionFormats(), strassen: StrassenAttention? = nil
  ) -> Int {
    let packed =
      strassen?.factorFloatCount
      ?? keyFloatCount(keys: keys, size: size, kernels, formats)
      + valueFloatCount(keys: keys, valueSize: valueSize, kernels, formats)
    return ScratchMemory.byteCount(floats: batch * keyHeads * packed)
      + ScratchMemory.byteCount(floats: threads * slotFloatCount(size: size, valueSize: valueSize, kernels, formats))
  }

  func run(context: RunContext, scratch: inout ScratchMemory) throws {
    try run(strassen, context: context, scratch: &scratch)
  }

  /// By Strassen's algorithm, or nil: by plain products.
  func run(_ strassen: StrassenAttention?, context: RunContext, scratch: inout ScratchMemory) throws {
    guard batch > 0, heads > 0, queries > 0, valueSize > 0 else { return }
    let kernels = kernels
    let keyFloats = Self.keyFloatCount(keys: keys, size: size, kernels, formats)
    let valueFloats = Self.valueFloatCount(keys: keys, valueSize: valueSize, kernels, formats)
    func keyMatrix(_ panels: UnsafeMutablePointer<Float>) -> PackedMatrix {
      PackedMatrix(depth: size, columns: keys, kernels: kernels, format: formats.scores, panels: panels)
    }
    func valueMatrix(_ panels: UnsafeMutablePointer<Float>) -> PackedMatrix {
      PackedMatrix(
        depth: keys, columns: valueSize, kernels: kernels, format: formats.values, panels: panels + keyFloats)
    }
    let packedFloats = strassen?.factorFloatCount ?? keyFloats + valueFloats
    let packed = try scratch.takeFloats(batch * keyHeads * packedFloats)
    let slots = context.pool.threads
    let slotFloats = Self.slotFloatCount(size: size, valueSize: valueSize, kernels, formats)
    let own = try scratch.takeFloats(slots * slotFloats)
    func packPair(_ pair: Int, _ target: UnsafeMutablePointer<Float>, _ slot: Int) {
      let (item, head) = pair.quotientAndRemainder(dividingBy: keyHeads)
      let (keys, values) = (k.position(item, head, 0), v.position(item, head, 0))
      if let strassen {
        return strassen.pack(keys: keys, k.positionStride, values: values, v.positionStride, to: target)
      }
      let scratch = own + slot * slotFloats
      pack(keys: keys, to: keyMatrix(target), scratch: scratch)
      valueMatrix(target).packAll(from: values, rowStride: v.positionStride, transposed: false, scratch: scratch)
    }
    let (pairs, sharing) = (batch * keyHeads, heads / keyHeads)
    let partition = AttentionPartition(
      queries: queries, pairs: pairs, sharing: sharing, threads: slots, limit: Self.groupRows(kernels),
      kernels.shape(formats.scores))
    let groups = partition.groups
    /// A group of queries of one of the heads that share a pair's keys and values, which are packed at `matrices`.
    func attendGroup(_ pair: Int, _ index: Int, _ matrices: UnsafeMutablePointer<Float>, _ slot: Int) {
      let (item, keyHead) = pair.quotientAndRemainder(dividingBy: keyHeads)
      let (place, group) = index.quotientAndRemainder(dividingBy: groups)
      let (head, first) = (keyHead * sharing + place, group * partition.rows)
      let (rows, own) = (min(partition.rows, queries - first), self.slot(own + slot * slotFloats))
      if let strassen {
        return attend(item, head, firstQuery: first, rows: rows, strassen, factors: matrices, own)
      }
      attend(
        item, head, firstQuery: first, rows: rows, keyMatrix: keyMatrix(matrices), valueMatrix: valueMatrix(matrices),
        own)
    }
    if partition.packsOwn {
      /// The pair whose keys and values a slot holds, in its last place.
      func held(_ slot: Int) -> UnsafeMutablePointer<Int32> {
        UnsafeMutableRawPointer(own + (slot + 1) * slotFloats - 1).assumingMemoryBound(to: Int32.self)
      }
      for slot in 0..<slots { held(slot).pointee = -1 }
      return try runTasks(pairs * sharing * groups, slots: slots, context: context) { slot, task in
        let (pair, index) = task.quotientAndRemainder(dividingBy: sharing * groups)
        let target = packed + slot * packedFloats
        if held(slot).pointee != Int32(truncatingIfNeeded: pair) {
          packPair(pair, target, slot)
          held(slot).pointee = Int32(truncatingIfNeeded: pair)
        }
        attendGroup(pair, index, target, slot)
      }
    }
    try runTasks(pairs, slots: slots, context: context) { slot, pair in
      packPair(pair, packed + pair * packedFloats, slot)
    }
    let order = SharedWalk(items: pairs, parts: sharing * groups, threads: slots)
    try runTasks(pairs * sharing * groups, slots: slots, context: context) { slot, task in
      let (pair, index) = order[task]
      attendGroup(pair, index, packed + pair * packedFloats, slot)
    }
  }

  private func attend(
    _ item: Int, _ head: Int, firstQuery: Int, rows: Int, keyMatrix: PackedMatrix, valueMatrix: PackedMatrix,
    _ own: Slot
  ) {
    let g = kernels.gemm
    pack(queries: q.position(item, head, firstQuery), rows: rows, own)
    kernels.attention.begin(rows, valueSize, own.states, own.results)
    // Causal: keys beyond the last query's are never looked at.
    var bound = keys
    if mask.causalOffset != nil { bound = min(keys, mask.visible(item, firstQuery + rows - 1, of: keys)) }
    let step = Self.stepRows(kernels, formats)
    for firstKey in stride(from: 0, to: bound, by: g.blockDepth) {
      let count = min(g.blockDepth, bound - firstKey)
      let isLast = firstKey + count == bound
      for firstRow in stride(from: 0, to: rows, by: step) {
        let height = min(step, rows - firstRow)
        score(keyMatrix, rows: firstRow..<firstRow + height, keys: firstKey..<firstKey + count, own)
        if !mask.isEmpty {
          for row in 0..<height {
            mask.apply(
              own.scores + row * g.rowStride, unit: Self.base2, batch: item, head: head,
              query: firstQuery + firstRow + row, first: firstKey, count: count, total: keys)
          }
        }
        let states = own.states + firstRow * g.tileColumns
        let results = own.results + firstRow * valueSize
        if !formats.scores.isInteger || !mask.isEmpty {
          kernels.attention.maxima(height, count, own.scores, g.rowStride, states)
        }
        let softmax =
          switch formats.values {
          case .float32: kernels.attention.softmax
          case .twoBFloat16: kernels.split?.softmax ?? kernels.attention.softmax
          case .bfloat16, .int8: kernels.attention.softmaxPairs
          case .int16: kernels.int16?.softmax ?? kernels.attention.softmax
          }
        softmax(height, count, own.scores, g.rowStride, states, results, valueSize)
        for panel in 0..<valueMatrix.panelCount {
          let column = panel * g.tileColumns
          let width = min(g.tileColumns, valueSize - column)
          // Where the results go at the end, so that storing them does not wait.
          let target = isLast ? y.position(item, head, firstQuery + firstRow) + column : nil
          let isInteger = formats.values.isInteger
          valueMatrix.panelKernel(
            height, width, formats.values.words(count), own.scores,
            valueMatrix.panels + panel * valueMatrix.panelStride + formats.values.words(firstKey) * g.tileColumns,
            isInteger ? own.products : results + column, isInteger ? g.tileColumns : valueSize, !isInteger, own.tile,
            nil, target, y.positionStride, (width + lineFloats - 1) / lineFloats)
          if isInteger {
            kernels.int16?.addScaled(
              height, width, own.products, g.tileColumns, valueMatrix.columnScales + column, results + column, valueSize
            )
          }
        }
      }
    }
    kernels.attention.divide(
      rows, valueSize, own.results, own.states, UnsafeMutablePointer(mutating: y.position(item, head, firstQuery)),
      y.positionStride)
  }

  /// Scores of some of a group's queries and keys, in base 2.
  private func score(_ keyMatrix: PackedMatrix, rows: Range<Int>, keys: Range<Int>, _ own: Slot) {
    let g = kernels.gemm
    let words = keyMatrix.words
    for panel in keys.lowerBound / g.tileColumns..<(keys.upperBound + g.tileColumns - 1) / g.tileColumns {
      let column = panel * g.tileColumns - keys.lowerBound
      for block in 0..<Self.depthBlocks(words, kernels) {
        let first = block * g.blockDepth
        keyMatrix.panelKernel(
          rows.count, min(g.tileColumns, keys.count - column), min(g.blockDepth, words - first),
          own.queries + (block * Self.groupRows(kernels) + rows.lowerBound) * g.rowStride,
          keyMatrix.panels + panel * keyMatrix.panelStride + first * g.tileColumns, own.scores + column, g.rowStride,
          block > 0, own.tile, nil, nil, 0, 0)
      }
    }
    guard formats.scores.isInteger else { return }
    kernels.attention.integerScores(
      rows.count, keys.count, own.scores, g.rowStride, own.queryScales + rows.lowerBound,
      keyMatrix.columnScales + keys.lowerBound, keyMatrix.columnOffsets + keys.lowerBound,
      own.states + rows.lowerBound * g.tileColumns)
  }

  /// A group's queries times the scale and log2(e), in blocks of `groupRows`.
  private func pack(queries: UnsafePointer<Float>, rows: Int, _ own: Slot) {
    let g = kernels.gemm
    kernels.attention.prefetchRows(rows, size, queries, q.positionStride)
    guard formats.scores == .float32 else {
      for row in 0..<rows { pack(query: queries + row * q.positionStride, row: row, own) }
      return
    }
    for (block, first) in stride(from: 0, to: size, by: g.blockDepth).enumerated() {
      kernels.attention.scaleRows(
        rows, min(g.blockDepth, size - first), queries + first, q.positionStride, scale * Self.base2,
        own.queries + block * Self.groupRows(kernels) * g.rowStride, g.rowStride)
    }
  }

  /// One query in a narrow format; with integers the factor is in the query's scale.
  private func pack(query: UnsafePointer<Float>, row: Int, _ own: Slot) {
    let g = kernels.gemm
    let format = formats.scores
    let unit = scale * Self.base2
    var factor: Float = 0
    if format.isInteger {
      let (scale, toInteger) = PackedMatrix.quantization(row: query, count: size, format, kernels)
      own.queryScales[row] = scale * unit
      factor = toInteger
    }
    for (block, first) in stride(from: 0, to: size, by: g.blockDepth * format.elementsPerWord).enumerated() {
      let count = min(g.blockDepth * format.elementsPerWord, size - first)
      let words = own.queries + (block * Self.groupRows(kernels) + row) * g.rowStride
      withUnsafePointer(to: factor) { factor in
        let target = PackedRows(
          words: words, distance: g.rowStride, format: format, kernels: kernels, factors: factor)
        if format.isInteger {
          target.write(query + first, count: count, row: 0, at: 0)
        } else {
          for start in stride(from: 0, to: count, by: g.blockDepth) {
            let piece = min(g.blockDepth, count - start)
            kernels.multiplyScalar(query + first + start, unit, own.scores, piece)
            target.write(own.scores, count: piece, row: 0, at: start)
          }
        }
        target.pad(rows: 1, depth: count)
      }
    }
  }

  /// Packs the keys of one head. In narrow formats their mean is taken off first: what all keys share adds the same to every
  /// score of a query, which the softmax does not see, and would take most of the integers' range, or of the bits. `scratch`:
  /// `packingFloatCount` + size.
  private func pack(
    keys source: UnsafePointer<Float>, to matrix: PackedMatrix, scratch: UnsafeMutablePointer<Float>
  ) {
    guard !matrix.format.isFloat32 else {
      return matrix.packAll(from: source, rowStride: k.positionStride, transposed: true, scratch: scratch)
    }
    let tile = kernels.gemm.tileColumns
    let mean = scratch + PackedMatrix.packingFloatCount(kernels)
    mean.update(repeating: 0, count: size)
    for key in 0..<keys { kernels.accumulate(source + key * k.positionStride, 1 / Float(keys), mean, size) }
    for panel in 0..<matrix.panelCount {
      let column = panel * tile
      let width = min(tile, keys - column)
      matrix.pack(panel: panel, scratch: scratch) { first, count, target in
        kernels.packPanelTransposed(source + column * k.positionStride + first, k.positionStride, count, width, target)
        for row in 0..<count {
          kernels.subtractScalar(target + row * tile, mean[first + row], target + row * tile, tile)
        }
      }
    }
  }
}
