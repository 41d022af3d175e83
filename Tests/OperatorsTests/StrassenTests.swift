import Glibc
import Graph
import KernelTable
import Kernels
import Support
import Testing

@testable import Operators

/// Products by Strassen's algorithm against sums in Double.
@Suite struct StrassenTests {
  /// Relative to the largest result. A plain float32 sum has 3e-7 here; Strassen's sums of quarters cost some 2 bits.
  private static let tolerance = 3e-6

  struct Case {
    let rows: Int
    let depth: Int
    let columns: Int
  }

  /// Odd rows, a last group of one row, several rounds, several blocks and chunks of K, a right panel that is partly there.
  private static func cases(_ kernels: KernelTable) -> [Case] {
    let tile = kernels.gemm.tileColumns
    return [
      Case(rows: 257, depth: 34, columns: 2 * tile), Case(rows: 300, depth: 320, columns: 4 * tile - 3),
      Case(rows: 511, depth: 646, columns: 2 * tile - 1), Case(rows: 90, depth: 2600, columns: 2 * tile),
      Case(rows: 1111, depth: 1282, columns: 2 * tile), Case(rows: 1, depth: 2, columns: tile + 1),
    ]
  }

  /// One level, one on register tiles, two.
  enum Way {
    case product, once, twice
  }

  static func product(
    _ a: [Float], _ size: Case, _ matrix: PackedMatrix, bias: [Float]?, residual: [Float]?, threads: Int,
    by way: Way = .product
  ) throws -> [Float] {
    let (pairs, kernels) = (matrix.panelCount / 2, matrix.kernels)
    let plan = StrassenPlan(
      unconditionally: size.rows, depth: size.depth, pairs: pairs, threads: threads, kernels: kernels)
    let oncePlan = StrassenOncePlan(
      unconditionally: size.rows, depth: size.depth, pairs: pairs, threads: threads, kernels: kernels)
    let twicePlan = StrassenTwicePlan(
      unconditionally: size.rows, depth: size.depth, pairs: pairs, threads: threads, kernels: kernels)
    let byteCount =
      switch way {
      case .product: plan.scratchByteCount
      case .once: try #require(oncePlan).scratchByteCount
      case .twice: try #require(twicePlan).scratchByteCount
      }
    let block = try HeapBlock(byteCount: byteCount)
    // What was never written is never used.
    block.bytes.bindMemory(to: Float.self).update(repeating: .nan)
    var scratch = ScratchMemory(block.bytes)
    var c = [Float](repeating: 7, count: size.rows * size.columns)
    try c.withUnsafeMutableBufferPointer { c in
      try a.withUnsafeBufferPointer { a in
        try (bias ?? []).withUnsafeBufferPointer { biases in
          try (residual ?? []).withUnsafeBufferPointer { residuals in
            let product = MatrixProduct(
              rows: size.rows, b: matrix, c: try #require(c.baseAddress), cStride: size.columns,
              bias: bias == nil ? nil : biases.baseAddress, residual: residual == nil ? nil : residuals.baseAddress,
              residualStride: size.columns, activation: bias == nil ? .none : .relu)
            let context = RunContext(pool: ThreadPool(threads: threads))
            let source = MatrixRows(
              a: try #require(a.baseAddress), stride: size.depth, depth: size.depth, kernels: matrix.kernels)
            switch way {
            case .twice:
              try StrassenTwice(
                plan: #require(twicePlan), left: matrix, right: matrix, step: 2, firstRight: 1
              ).run(context: context, scratch: &scratch, source.a, stride: source.stride, product)
            case .once:
              try StrassenOnce(
                plan: #require(oncePlan), left: matrix, right: matrix, step: 2, firstRight: 1
              ).run(context: context, scratch: &scratch, source.a, stride: source.stride, product)
            case .product:
              try StrassenProduct(plan: plan, left: matrix, right: matrix, step: 2, firstRight: 1).run(
                context: context, scratch: &scratch, source, product)
            }
          }
        }
      }
    }
    #expect(!scratch.tookHeap)
    withExtendedLifetime(block) {}
    return c
  }

  static func expected(
    _ a: [Float], _ b: [Float], _ size: Case, bias: [Float]?, residual: [Float]?
  ) -> [Double] {
    var c = [Double](repeating: 0, count: size.rows * size.columns)
    for row in 0..<size.rows {
      for k in 0..<size.depth {
        let x = Double(a[row * size.depth + k])
        for column in 0..<size.columns { c[row * size.columns + column] += x * Double(b[k * size.columns + column]) }
      }
      for column in 0..<size.columns {
        let place = row * size.columns + column
        c[place] += Double(residual?[place] ?? 0)
        if let bias { c[place] = max(0, c[place] + Double(bias[column])) }
      }
    }
    return c
  }

  static func error(_ c: [Float], _ expected: [Double]) -> Double {
    let scale = expected.reduce(1e-30) { max($0, abs($1)) }
    return zip(c, expected).reduce(0) { $1.0.isNaN ? .infinity : max($0, abs(Double($1.0) - $1.1) / scale) }
  }

  static func expectSums(_ kernels: KernelTable, _ cases: [Case], by way: Way, tolerance: Double) throws {
    for size in cases {
      let a = sequence(size.rows * size.depth, seed: 1)
      let b = sequence(size.depth * size.columns, seed: 2)
      let bias = sequence(size.columns, seed: 3)
      let residual = sequence(size.rows * size.columns, seed: 4)
      let matrix = try PackedMatrix(depth: size.depth, columns: size.columns, kernels: kernels)
      matrix.packAll(from: b, rowStride: size.columns, transposed: false)
      for (bias, residual) in [(nil, nil), (bias, nil), (nil, residual), (bias, residual)] {
        let c = try product(a, size, matrix, bias: bias, residual: residual, threads: 2, by: way)
        let error = error(c, expected(a, b, size, bias: bias, residual: residual))
        #expect(error < tolerance, "\(kernels.name) \(size)")
      }
    }
  }

  static func expectSameForAnyThreads(_ kernels: KernelTable, _ cases: [Case], by way: Way) throws {
    for size in cases {
      let a = sequence(size.rows * size.depth, seed: 5)
      let matrix = try PackedMatrix(depth: size.depth, columns: size.columns, kernels: kernels)
      matrix.packAll(from: sequence(size.depth * size.columns, seed: 6), rowStride: size.columns, transposed: false)
      let alone = try product(a, size, matrix, bias: nil, residual: nil, threads: 1, by: way)
      for threads in [2, 3, 5] {
        #expect(try product(a, size, matrix, bias: nil, residual: nil, threads: threads, by: way) == alone)
      }
    }
  }

  @Test func equalsSumsInDouble() throws {
    for kernels in Kernels.supported {
      try Self.expectSums(kernels, Self.cases(kernels), by: .product, tolerance: Self.tolerance)
    }
  }

  /// Rounds and tasks depend on the threads, what is summed with what does not.
  @Test func isTheSameForAnyNumberOfThreads() throws {
    try Self.expectSameForAnyThreads(Kernels.current, Self.cases(Kernels.current), by: .product)
  }

  /// Float16 weights are widened to the same factors.
  @Test func halvesLoseNothing() throws {
    let (rows, depth, columns) = (260, 300, 4 * Kernels.current.gemm.tileColumns)
    let size = Case(rows: rows, depth: depth, columns: columns)
    let b = sequence(depth * columns, seed: 2).map { Float(Int32($0 * 1024)) / 1024 }
    let stored = try PackedMatrix.packed(b, depth: depth, columns: columns, rowStride: columns, format: .float32)
    #expect(stored.isHalf == (Kernels.current.half != nil))
    let plain = try PackedMatrix(depth: depth, columns: columns, kernels: Kernels.current)
    plain.packAll(from: b, rowStride: columns, transposed: false)
    let a = sequence(rows * depth, seed: 3)
    #expect(
      try Self.product(a, size, stored, bias: nil, residual: nil, threads: 2)
        == Self.product(a, size, plain, bias: nil, residual: nil, threads: 2))
  }

  static func levels(_ rows: Int, _ depth: Int, _ columns: Int, inPlace: Bool, isHalf: Bool = false) -> StrassenLevels?
  {
    StrassenLevels(
      rows: rows, depth: depth, pairs: PackedMatrix.panelCount(columns, Kernels.current) / 2, threads: 2,
      kernels: Kernels.current, inPlace: inPlace, isHalf: isHalf)
  }

  /// A value that is not finite spoils the rows that are summed with it, which are of the same 256.
  @Test func groupsAreNotMixed() throws {
    let tile = Kernels.current.gemm.tileColumns
    // Halves of an odd number of terms, which one level on register tiles does not take.
    let size = Case(rows: 1024, depth: 514, columns: 8 * tile)
    var a = sequence(size.rows * size.depth, seed: 7)
    a[300 * size.depth + 5] = .nan
    let w = try Tensor(sequence(size.depth * size.columns, seed: 8), [size.depth, size.columns])
    let y: [Float] = try DenseRunner(type: "MatMulBias").run([Tensor(a, [1, size.rows, size.depth]), w, nil])[0]
      .values()
    for row in 0..<size.rows where !(256..<512).contains(row) {
      #expect(!y[row * size.columns].isNaN)
    }
    #expect(y[300 * size.columns].isNaN)
    // Its partner, by which one sees that the operator takes the algorithm at all.
    #expect(y[428 * size.columns].isNaN)
  }

  /// Large products and gates of operators; a gate's partner row shows that it takes the algorithm too.
  @Test func operatorsUseIt() throws {
    let tile = Kernels.current.gemm.tileColumns
    let (rows, depth, columns) = (600, 512, 32 * tile)
    #expect(Self.levels(rows, depth, columns, inPlace: true)?.product != nil)
    let a = sequence(rows * depth, seed: 1)
    let b = sequence(depth * columns, seed: 2, range: 0.05)
    let x = try Tensor(a, [1, rows, depth])
    let w = try Tensor(b, [depth, columns])
    let product: [Float] = try DenseRunner(type: "MatMulBias").run([x, w, nil])[0].values()
    let size = Case(rows: rows, depth: depth, columns: columns)
    #expect(Self.error(product, Self.expected(a, b, size, bias: nil, residual: nil)) < Self.tolerance)
    let gated: [Float] = try DenseRunner(type: "MatMulGeglu").run([x, w, nil])[0].values()
    let n = columns / 2
    let expected = (0..<rows * n).map { i -> Double in
      let (row, column) = i.quotientAndRemainder(dividingBy: n)
      let gate = Double(product[row * columns + n + column])
      return Double(product[row * columns + column]) * gate * 0.5 * Glibc.erfc(-gate / 2.0.squareRoot())
    }
    #expect(Self.error(gated, expected) < Self.tolerance)
    var spoiled = a
    spoiled[3 * depth] = .nan
    let y: [Float] = try DenseRunner(type: "MatMulGeglu").run([Tensor(spoiled, [1, rows, depth]), w, nil])[0].values()
    #expect(y[(3 + StrassenPlan.groupRows) * n].isNaN && !y[300 * n].isNaN)
    // The memory that the operator asks for: the algorithm's, and W packed.
    let plan = try #require(
      StrassenPlan(
        rows: rows, depth: depth, pairs: PackedMatrix.panelCount(n, Kernels.current), threads: 2,
        kernels: Kernels.current, inOneBlock: true))
    let packed = ScratchMemory.byteCount(floats: PackedMatrix.floatCount(depth: depth, columns: n, Kernels.current))
    let infos = [x, w].map { ValueInfo(type: $0.type, shape: $0.shape) }
    #expect(MatMulGegluOperator().scratchByteCount(for: infos, threads: 2) == plan.scratchByteCount + 2 * packed)
  }

  /// Windows are gathered: a 3×3 convolution with stride 2.
  @Test func multipliesWindows() throws {
    let (size, channels) = (41, 64)
    let filters = 8 * Kernels.current.gemm.tileColumns
    let c = DenseConvolutionTests.Case(
      description: "", batch: 1, channels: channels, spatial: [size, size], filters: filters, kernel: [3, 3],
      strides: [2, 2], pads: [1, 1, 1, 1], dilations: [1, 1])
    #expect(Self.levels(21 * 21, 9 * channels, filters, inPlace: false)?.product != nil)
    let x = sequence(channels * size * size, seed: 1)
    let weights = sequence(filters * channels * 9, seed: 2, range: 0.1)
    let (expected, _) = DenseConvolutionTests.reference(c, x, weights, [Float](repeating: 0, count: filters))
    let y = try DenseRunner(
      type: "ConvNHWC", attributes: ["pads": .ints([1, 1, 1, 1]), "strides": .ints([2, 2])]
    ).run([
      Tensor(DenseConvolutionTests.channelsLast(x, 1, channels), [1, size, size, channels]),
      Tensor(weights, [filters, channels, 3, 3]),
    ])[0]
    #expect(
      Self.error(y.values() as [Float], DenseConvolutionTests.channelsLast(expected, 1, filters))
        // Sums of two bfloat16, which go before Strassen's algorithm, keep 16 bits of every number.
        < (Kernels.current.split == nil ? Self.tolerance : 6e-6))
  }
}
