import Graph
import KernelTable
import Kernels
import Support

/// A tensor seen as (batch, head, position, element); elements of one position are contiguous.
struct HeadView {
  var base: UnsafePointer<Float>
  var batchStride: Int
  var headStride: Int
  var positionStride: Int

  func position(_ batch: Int, _ head: Int, _ position: Int) -> UnsafePointer<Float> {
    base + batch * batchStride + head * headStride + position * positionStride
  }
}

/// What is added to the scores: a float mask, a boolean mask (false: excluded), the causal rule, valid key counts.
struct AttentionMask: @unchecked Sendable {
  var floats: UnsafePointer<Float>?
  var flags: UnsafePointer<UInt8>?
  /// Distances of the mask's (batch, head, query, key) dimensions; 0 where it broadcasts.
  var strides = (0, 0, 0, 0)
  /// Keys that the mask covers; further keys are excluded.
  var keyCount = Int.max
  /// Query i sees keys up to i + offset.
  var causalOffset: Int?
  /// Keys that count, per batch entry.
  var validKeys: UnsafePointer<Int64>?

  var isEmpty: Bool { floats == nil && flags == nil && causalOffset == nil && validKeys == nil }

  /// A mask tensor broadcast to four dimensions; `shape` has been checked.
  mutating func set(_ tensor: Tensor) {
    if tensor.type == .bool {
      flags = UnsafePointer(tensor.pointer(UInt8.self))
    } else {
      floats = UnsafePointer(tensor.floats)
    }
    let shape = [Int](repeating: 1, count: max(0, 4 - tensor.rank)) + tensor.shape
    var distances = [0, 0, 0, 0]
    var distance = 1
    for axis in (0..<4).reversed() {
      distances[axis] = shape[axis] == 1 ? 0 : distance
      distance *= shape[axis]
    }
    strides = (distances[0], distances[1], distances[2], distances[3])
    if shape[3] != 1 { keyCount = shape[3] }
  }

  /// Keys that this query may see at all, as a bound: 0 ..< result.
  func visible(_ batch: Int, _ query: Int, of total: Int) -> Int {
    var bound = min(total, keyCount)
    if let causalOffset { bound = min(bound, query + causalOffset + 1) }
    if let validKeys { bound = min(bound, max(0, Int(clamping: validKeys[batch]))) }
    return max(0, bound)
  }

  /// Adds the mask, times `unit`, to the scores of one query for keys `first ..< first + count`.
  func apply(
    _ scores: UnsafeMutablePointer<Float>, unit: Float = 1, batch: Int, head: Int, query: Int, first: Int, count: Int,
    total: Int
  ) {
    let bound = visible(batch, query, of: total) - first
    if bound < count { for i in max(0, bound)..<count { scores[i] = -.infinity } }
    let open = max(0, min(bound, count))
    let start = batch * strides.0 + head * strides.1 + query * strides.2 + first * strides.3
    if let floats {
      for i in 0..<open {
        let value = floats[start + i * strides.3]
        // Exporters exclude keys with the least finite number: a row that has nothing else stays finite.
        scores[i] += value.isFinite ? max(-Float.greatestFiniteMagnitude, value * unit) : value
      }
    } else if let flags {
      for i in 0..<open where flags[start + i * strides.3] == 0 { scores[i] = -.infinity }
    }
  }
}

/// Softmax(scale · Q Kᵀ + mask) V without a score matrix: keys come in blocks, a running maximum and sum per query keep
/// the softmax exact (online softmax). One task is one block of queries of one head.
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
  /// Of queries, keys, probabilities and values in the products: float32 or bfloat16. Scores, softmax and sums are float32.
  var format = ElementFormat.float32

  /// Scores are in this unit, log2(e), so that the softmax takes powers of 2.
  private static let base2: Float = 1.442_695_04

  /// Query rows of one task.
  private static func blockRows(_ kernels: KernelTable) -> Int { 8 * kernels.gemm.tileRows }

  private static func depthBlocks(_ words: Int, _ kernels: KernelTable) -> Int {
    max(1, (words + kernels.gemm.blockDepth - 1) / kernels.gemm.blockDepth)
  }

  /// Queries, scores, probabilities where they are not the scores' memory, results, maxima and sums, one register tile;
  /// or what packing needs.
  private static func slotFloatCount(
    size: Int, valueSize: Int, _ kernels: KernelTable, _ format: ElementFormat
  ) -> Int {
    let g = kernels.gemm
    let rows = blockRows(kernels)
    let blocks = depthBlocks(format.words(size), kernels) + (format == .float32 ? 1 : 2)
    let floats = rows * g.rowStride * blocks + rows * (valueSize + 2) + g.tileRows * g.tileColumns
    return (max(floats, PackedMatrix.packingFloatCount(kernels)) + 15) & ~15
  }

  static func scratchByteCount(
    batch: Int, keyHeads: Int, keys: Int, size: Int, valueSize: Int, threads: Int, _ kernels: KernelTable,
    format: ElementFormat = .float32
  ) -> Int {
    let packed =
      PackedMatrix.floatCount(depth: size, columns: keys, kernels, format)
      + PackedMatrix.floatCount(depth: keys, columns: valueSize, kernels, format)
    return ScratchMemory.byteCount(floats: batch * keyHeads * packed)
      + ScratchMemory.byteCount(floats: threads * slotFloatCount(size: size, valueSize: valueSize, kernels, format))
  }

  func run(context: RunContext, scratch: inout ScratchMemory) throws {
    guard batch > 0, heads > 0, queries > 0, valueSize > 0 else { return }
    let kernels = kernels
    let format = format
    let keyFloats = PackedMatrix.floatCount(depth: size, columns: keys, kernels, format)
    let valueFloats = PackedMatrix.floatCount(depth: keys, columns: valueSize, kernels, format)
    func keyMatrix(_ panels: UnsafeMutablePointer<Float>) -> PackedMatrix {
      PackedMatrix(depth: size, columns: keys, kernels: kernels, format: format, panels: panels)
    }
    func valueMatrix(_ panels: UnsafeMutablePointer<Float>) -> PackedMatrix {
      PackedMatrix(depth: keys, columns: valueSize, kernels: kernels, format: format, panels: panels + keyFloats)
    }
    let packed = try scratch.takeFloats(batch * keyHeads * (keyFloats + valueFloats))
    let slots = context.pool.threads
    let slotFloats = Self.slotFloatCount(size: size, valueSize: valueSize, kernels, format)
    let blocks = try scratch.takeFloats(slots * slotFloats)
    try runTasks(batch * keyHeads, slots: slots, context: context) { slot, task in
      let (item, head) = task.quotientAndRemainder(dividingBy: keyHeads)
      let target = packed + task * (keyFloats + valueFloats)
      let own = blocks + slot * slotFloats
      keyMatrix(target).packAll(
        from: k.position(item, head, 0), rowStride: k.positionStride, transposed: true, scratch: own)
      valueMatrix(target).packAll(
        from: v.position(item, head, 0), rowStride: v.positionStride, transposed: false, scratch: own)
    }
    let limit = Self.blockRows(kernels)
    let queryBlocks = (queries + limit - 1) / limit
    try runTasks(batch * heads * queryBlocks, slots: slots, context: context) { slot, task in
      let (pair, block) = task.quotientAndRemainder(dividingBy: queryBlocks)
      let (item, head) = pair.quotientAndRemainder(dividingBy: heads)
      let matrices = packed + (item * keyHeads + head / (heads / keyHeads)) * (keyFloats + valueFloats)
      attend(
        item, head, firstQuery: block * limit, rows: min(limit, queries - block * limit),
        keyMatrix: keyMatrix(matrices), valueMatrix: valueMatrix(matrices), scratch: blocks + slot * slotFloats)
    }
  }

  private func attend(
    _ item: Int, _ head: Int, firstQuery: Int, rows: Int, keyMatrix: PackedMatrix, valueMatrix: PackedMatrix,
    scratch: UnsafeMutablePointer<Float>
  ) {
    let g = kernels.gemm
    let limit = Self.blockRows(kernels)
    let words = keyMatrix.words
    let depthBlocks = Self.depthBlocks(words, kernels)
    let packedQueries = scratch
    let scores = packedQueries + depthBlocks * limit * g.rowStride
    let probabilities = format == .float32 ? scores : scores + limit * g.rowStride
    let results = probabilities + limit * g.rowStride
    let maxima = results + limit * valueSize
    let sums = maxima + limit
    let tile = sums + limit
    for row in 0..<rows {
      pack(query: q.position(item, head, firstQuery + row), row: row, of: limit, to: packedQueries, scratch: scores)
      maxima[row] = -.infinity
      sums[row] = 0
    }
    results.update(repeating: 0, count: rows * valueSize)
    // Causal: keys beyond the last query's are never looked at.
    var bound = keys
    if mask.causalOffset != nil { bound = min(keys, mask.visible(item, firstQuery + rows - 1, of: keys)) }
    var firstKey = 0
    while firstKey < bound {
      let count = min(g.blockDepth, bound - firstKey)
      for panel in firstKey / g.tileColumns..<(firstKey + count + g.tileColumns - 1) / g.tileColumns {
        let column = panel * g.tileColumns - firstKey
        for block in 0..<depthBlocks {
          let first = block * g.blockDepth
          keyMatrix.panelKernel(
            rows, min(g.tileColumns, count - column), min(g.blockDepth, words - first),
            packedQueries + block * limit * g.rowStride,
            keyMatrix.panels + panel * keyMatrix.panelStride + first * g.tileColumns, scores + column, g.rowStride,
            block > 0, tile)
        }
      }
      if !mask.isEmpty {
        for row in 0..<rows {
          mask.apply(
            scores + row * g.rowStride, unit: Self.base2, batch: item, head: head, query: firstQuery + row,
            first: firstKey, count: count, total: keys)
        }
      }
      if format == .float32 {
        kernels.fused.attentionRows(rows, count, scores, g.rowStride, maxima, sums, results, valueSize)
      } else {
        kernels.narrow.attentionPairs(
          rows, count, scores, g.rowStride, maxima, sums, results, valueSize, probabilities)
      }
      for panel in 0..<valueMatrix.panelCount {
        let column = panel * g.tileColumns
        valueMatrix.panelKernel(
          rows, min(g.tileColumns, valueSize - column), format.words(count), probabilities,
          valueMatrix.panels + panel * valueMatrix.panelStride + format.words(firstKey) * g.tileColumns,
          results + column, valueSize, true, tile)
      }
      firstKey += count
    }
    for row in 0..<rows {
      let target = UnsafeMutablePointer(mutating: y.position(item, head, firstQuery + row))
      // No visible key at all: 0 / 0 is NaN, as the definition has it.
      kernels.divideScalar(results + row * valueSize, sums[row], target, valueSize)
    }
  }

  /// One query times the scale and log2(e), in blocks of `limit` rows. `scratch`: a block of floats.
  private func pack(
    query: UnsafePointer<Float>, row: Int, of limit: Int, to target: UnsafeMutablePointer<Float>,
    scratch: UnsafeMutablePointer<Float>
  ) {
    let g = kernels.gemm
    for (block, first) in stride(from: 0, to: size, by: g.blockDepth * format.elementsPerWord).enumerated() {
      let count = min(g.blockDepth * format.elementsPerWord, size - first)
      let rows = PackedRows(
        words: target + (block * limit + row) * g.rowStride, distance: g.rowStride, format: format, kernels: kernels)
      if format == .float32 {
        kernels.multiplyScalar(query + first, scale * Self.base2, rows.words, count)
        continue
      }
      for start in stride(from: 0, to: count, by: g.blockDepth) {
        let piece = min(g.blockDepth, count - start)
        kernels.multiplyScalar(query + first + start, scale * Self.base2, scratch, piece)
        rows.write(scratch, count: piece, row: 0, at: start)
      }
      rows.pad(rows: 1, depth: count)
    }
  }
}
