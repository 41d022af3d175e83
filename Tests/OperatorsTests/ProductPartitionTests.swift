import Graph
import KernelTable
import Kernels
import Support
import Testing

@testable import Operators

/// How packed products are divided and stored.
@Suite struct ProductPartitionTests {
  private static let sizes = [1, 2, 5, 12, 13, 36, 72, 144, 191, 192, 193, 288, 1000]

  @Test(arguments: [1, 2, 3, 8])
  func everyTileBelongsToOneTask(_ threads: Int) {
    for kernels in Kernels.supported {
      for rows in Self.sizes {
        for (depth, panels) in [(1, 1), (64, 3), (160, 5), (160, 40), (1440, 5), (2880, 4), (5000, 7)] {
          for matrices in [1, 2] {
            let partition = MatrixProduct.Partition(
              rows: rows, depth: depth, panels: panels, matrices: matrices, threads: threads, kernels: kernels)
            var seen = [UInt8](repeating: 0, count: rows * panels)
            for task in 0..<partition.count {
              let place = partition.place(task)
              let (start, first) = (place.rowStart, place.firstPanel)
              for row in start..<min(rows, start + partition.blockRows) {
                for panel in first..<min(panels, first + partition.panelsPerTask) { seen[row * panels + panel] += 1 }
              }
            }
            #expect(seen.allSatisfy { $0 == 1 })
            let held = max(1, partition.heldPieces) * partition.chunk * partition.blockRows
            #expect(held <= MatrixProduct.heldRows(kernels))
          }
        }
      }
    }
  }

  /// The sizes of a small network on two threads: neither has an eighth more than its half, in products of rows and panels. Of 36
  /// rows, kept where they were, one takes 20 and the other 16.
  /// The estimates are for AVX-512.
  @Test(
    .enabled(if: Kernels.current.gemm.tileColumns == 32),
    arguments: [(36, 1440, 5), (36, 640, 5), (72, 160, 5), (72, 640, 5), (72, 160, 20), (144, 128, 4)]
  )
  func twoThreadsShareFewRows(_ rows: Int, _ depth: Int, _ panels: Int) {
    let partition = MatrixProduct.Partition(
      rows: rows, depth: depth, panels: panels, threads: 2, kernels: Kernels.current)
    var work = [0, 0]
    for task in 0..<partition.count {
      let place = partition.place(task)
      let (start, first) = (place.rowStart, place.firstPanel)
      let tiles = min(partition.blockRows, rows - start) * min(partition.panelsPerTask, panels - first)
      work[task < (partition.count + 1) / 2 ? 0 : 1] += tiles
    }
    #expect(8 * work.reduce(0, max) <= 9 * (rows * panels + 1) / 2)
  }

  /// Many rows, whose blocks are whole tiles and the last one short: one thread would have 7 % more than its half. Tasks are small
  /// enough to take that from it, and of the same rows one after the other.
  @Test(.enabled(if: Kernels.current.gemm.tileColumns == 32), arguments: [(640, 40), (320, 20)])
  func unevenBlocksAreSmallTasks(depth: Int, panels: Int) {
    let rows = 2048
    let partition = MatrixProduct.Partition(
      rows: rows, depth: depth, panels: panels, threads: 2, kernels: Kernels.current, mayPackAhead: true)
    let whole = (partition.rowBlocks + 1) / 2 * partition.blockRows
    #expect(100 * whole > 104 * rows / 2)
    #expect(100 * partition.blockRows * partition.panelsPerTask <= 3 * rows * panels)
    #expect(partition.place(1).rowStart == partition.place(0).rowStart)
    #expect(partition.heldPieces > 0 && !partition.packsAhead)
  }

  /// A small B: each of two threads has half of the rows, for all panels, as it has of every product with as many rows.
  @Test(.enabled(if: Kernels.current.gemm.tileColumns == 32), arguments: [4, 12])
  func threadsKeepTheirRows(panels: Int) {
    let partition = MatrixProduct.Partition(
      rows: 144, depth: 128, panels: panels, threads: 2, kernels: Kernels.current, mayPackAhead: true)
    for task in 0..<partition.count {
      let half = task < partition.count / 2 ? 0..<72 : 72..<144
      let start = partition.place(task).rowStart
      #expect(half.contains(start) && start + partition.blockRows <= half.upperBound)
    }
  }

  @Test func longTasksAreCut() {
    let partition = MatrixProduct.Partition(
      rows: 192, depth: 768, panels: 1600, threads: 1, kernels: Kernels.current)
    // 20 ms at 100 GFLOP/s.
    #expect(partition.blockRows * partition.panelsPerTask * 768 * Kernels.current.gemm.tileColumns < 1_000_000_000)
  }

  /// However many rows: no copy of A of more than 64 MB.
  @Test func aheadIsLimited() {
    let partition = MatrixProduct.Partition(
      rows: 1 << 16, depth: 11520, panels: 40, threads: 2, kernels: Kernels.current, mayPackAhead: true)
    #expect(!partition.packsAhead)
  }

  /// Every line of the rows is asked for once, beside the last products.
  @Test(arguments: [(320, 40), (1280, 200), (1280, 7), (100, 1), (16, 9)])
  func rowsToPackAreAskedForOnce(_ count: Int, _ products: Int) {
    let row = [Float](repeating: 0, count: count)
    row.withUnsafeBufferPointer { row in
      guard let first = row.baseAddress else { return }
      var ahead = RowsToPack((first, count), from: 0, count: count, products: products)
      let starts = (0..<products).map { _ in ahead.next().map { $0 - first } }
      let asked = starts.compactMap { $0 }
      #expect(asked == Array(stride(from: 0, to: count, by: 16 * ahead.lines)))
      #expect(starts.last == .some(asked.last))
    }
  }

  /// The groups of a convolution share the scratch memory that one of them was planned with.
  @Test func groupsShareScratch() throws {
    let kernels = Kernels.current
    let attributes = try WindowAttributes(
      Node(name: "n", operatorType: "Conv", version: 11, inputs: [], outputs: [], attributes: [:]))
    let shape = try ConvolutionShape(
      x: [1, 9, 9, 12], weights: [18, 4, 3, 3], group: 3, attributes: attributes, channelsLast: true)
    let weights = try Tensor(sequence(18 * 4 * 9, seed: 2))
    let bank = try FilterBank(UnsafePointer(weights.pointer(Float.self)), shape, kernels: kernels)
    let x = try Tensor(sequence(9 * 9 * 12, seed: 1))
    let y = try Tensor(type: .float32, shape: [shape.rows, 18])
    let block = try HeapBlock(byteCount: Convolution.scratchByteCount(shape, bank, threads: 2, kernels))
    var scratch = ScratchMemory(block.bytes)
    try Convolution(shape: shape, x: UnsafePointer(x.pointer(Float.self)), y: y.pointer()).run(
      bank, context: RunContext(pool: ThreadPool(threads: 2)), scratch: &scratch)
    #expect(!scratch.tookHeap)
    withExtendedLifetime((weights, x, y, block)) {}
  }

  @Test func piecesAreRemembered() throws {
    let kernels = Kernels.current
    let block = try HeapBlock(byteCount: 4 * MatrixProduct.slotFloatCount(kernels))
    let scratch = try #require(block.bytes.baseAddress).assumingMemoryBound(to: Float.self)
    let pieces = MatrixProduct.HeldPieces(scratch, kernels)
    pieces.clear()
    #expect(pieces.take(5, places: 3) == (2, false))
    #expect(pieces.take(5, places: 3) == (2, true))
    #expect(pieces.take(2, places: 3) == (2, false))
    #expect(pieces.take(5, places: 3) == (2, false))
    #expect(pieces.take(0, places: 0) == (0, false))
    #expect(pieces.take(0, places: 0) == (0, false))
    withExtendedLifetime(block) {}
  }

  /// Weights that are float16 are stored so, others are not; a product is the same bits either way and for any threads.
  @Test func halvesLoseNothing() throws {
    let kernels = Kernels.current
    let (rows, depth, columns) = (37, 300, 70)
    let halves = sequence(depth * columns, seed: 2).map { Float(Int32($0 * 1024)) / 1024 }
    let floats = sequence(depth * columns, seed: 2)
    let inexact = try PackedMatrix.packed(floats, depth: depth, columns: columns, rowStride: columns, format: .float32)
    #expect(!inexact.isHalf)
    let stored = try PackedMatrix.packed(halves, depth: depth, columns: columns, rowStride: columns, format: .float32)
    #expect(stored.isHalf == (kernels.half != nil))
    let plain = try PackedMatrix(depth: depth, columns: columns, kernels: kernels)
    plain.packAll(from: halves, rowStride: columns, transposed: false)
    var back = [Float](repeating: 0, count: depth * kernels.gemm.tileColumns)
    stored.unpack(panel: 1, first: 0, count: depth, to: &back)
    #expect(back.elementsEqual(UnsafeBufferPointer(start: plain.panel(1), count: back.count)))
    let a = sequence(rows * depth, seed: 3)
    let expected = try Self.product(a, rows: rows, plain, threads: 1)
    for threads in [1, 2, 3, 5] {
      #expect(try Self.product(a, rows: rows, stored, threads: threads) == expected)
    }
  }

  /// A · `matrix`. Fails where the scratch memory that was asked for is not enough.
  private static func product(_ a: [Float], rows: Int, _ matrix: PackedMatrix, threads: Int) throws -> [Float] {
    let block = try HeapBlock(
      byteCount: MatrixProduct.scratchByteCount(
        rows: rows, depth: matrix.depth, columns: matrix.columns, format: matrix.format, threads: threads,
        matrix.kernels))
    var scratch = ScratchMemory(block.bytes)
    var c = [Float](repeating: 0, count: rows * matrix.columns)
    try c.withUnsafeMutableBufferPointer { c in
      try a.withUnsafeBufferPointer { a in
        try MatrixProduct(rows: rows, b: matrix, c: try #require(c.baseAddress), cStride: matrix.columns).run(
          context: RunContext(pool: ThreadPool(threads: threads)), scratch: &scratch,
          rowsOf: try #require(a.baseAddress), stride: matrix.depth)
      }
    }
    #expect(scratch.tookHeap == false)
    withExtendedLifetime(block) {}
    return c
  }

  /// Long K: several tasks need the same rows and none keeps them, so A is packed first. Every element is near the sum in
  /// Double, within what the format's rounding allows (relative to the sum's magnitudes: 2^-24, 2^-8 and 1/127 per factor),
  /// and the same bits for any number of threads.
  @Test(arguments: [(ElementFormat.float32, 1e-6), (.bfloat16, 8e-3), (.int8, 1.6e-2)])
  func longRowsArePackedFirst(_ format: ElementFormat, _ tolerance: Double) throws {
    let kernels = Kernels.current
    let tile = kernels.gemm.tileColumns
    let (rows, columns) = (77, 3 * tile + 5)
    let depth = format.elementsPerWord * kernels.gemm.blockDepth * 24 + 3
    let partition = MatrixProduct.Partition(
      rows: rows, depth: format.words(depth), panels: 4, threads: 2, kernels: kernels, mayPackAhead: true)
    #expect(partition.packsAhead)
    let a = sequence(rows * depth, seed: 4)
    let b = sequence(depth * columns, seed: 5)
    let matrix = try PackedMatrix.packed(b, depth: depth, columns: columns, rowStride: columns, format: format)
    let result = try Self.product(a, rows: rows, matrix, threads: 1)
    for threads in [2, 3, 8] { #expect(try Self.product(a, rows: rows, matrix, threads: threads) == result) }
    for (row, column) in [(0, 0), (11, tile - 1), (12, tile), (40, 2 * tile - 4), (rows - 1, columns - 1)] {
      let terms = (0..<depth).map { Double(a[row * depth + $0]) * Double(b[$0 * columns + column]) }
      let sum = terms.reduce(0, +)
      let bound = tolerance * terms.reduce(0) { $0 + abs($1) }
      #expect(abs(Double(result[row * columns + column]) - sum) <= bound)
    }
  }
}
