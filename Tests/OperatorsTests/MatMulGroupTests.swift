import Graph
import Kernels
import Support
import Testing

@testable import Operators

/// Several products of the same rows against one at a time.
@Suite struct MatMulGroupTests {
  private func group(
    _ a: Tensor, _ matrices: [[Float]], _ columns: Int, threads: Int = 2
  ) throws -> [Tensor] {
    let depth = try #require(a.shape.last)
    let weights = try matrices.map { try Tensor($0, [depth, columns]) as Tensor? }
    return try DenseRunner(
      type: "MatMulGroup", outputCount: matrices.count, constants: Set(1...matrices.count), threads: threads
    ).run([a] + weights)
  }

  /// Few rows take the plain products, one level on register tiles too: the same bits as alone. Two levels sum once for all.
  @Test(arguments: [(3, 40, 64), (36, 160, 160), (300, 70, 32), (512, 320, 320), (512, 1024, 512)], [2, 3])
  func equalsSeparateProducts(_ size: (rows: Int, depth: Int, columns: Int), count: Int) throws {
    let a = try Tensor(sequence(size.rows * size.depth, seed: 1), [1, size.rows, size.depth])
    let matrices = (0..<count).map { sequence(size.depth * size.columns, seed: UInt64($0) + 2, range: 0.1) }
    let results = try group(a, matrices, size.columns)
    #expect(results.count == count)
    let panels = PackedMatrix.panelCount(count * size.columns, Kernels.current)
    let isTwice =
      StrassenTests.levels(size.rows, size.depth, panels * Kernels.current.gemm.tileColumns, inPlace: true)?.twice
      != nil
    #expect(isTwice == (Kernels.current.strassenTwice != nil && size.depth == 1024))
    for (matrix, result) in zip(matrices, results) {
      let alone: [Float] = try DenseRunner(type: "MatMul", domain: "", version: 13, constants: [1]).run([
        a, Tensor(matrix, [size.depth, size.columns]),
      ])[0].values()
      #expect(result.shape == [1, size.rows, size.columns])
      if isTwice {
        // Two levels are held to 6e-6, one, which a product alone takes, to 3e-6.
        #expect(difference(result, alone.map(Double.init)) < 9e-6)
      } else {
        #expect(result.values() == alone)
      }
    }
    for (one, two) in zip(try group(a, matrices, size.columns, threads: 1), results) {
      #expect(one.values(Float.self) == two.values(Float.self))
    }
  }

  /// Float16 weights are widened to the same numbers.
  @Test func halves() throws {
    let (rows, depth, columns) = (512, 1024, 512)
    let a = try Tensor(sequence(rows * depth, seed: 1), [1, rows, depth])
    let matrices = (0..<3).map { seed in
      sequence(depth * columns, seed: UInt64(seed) + 2).map { Float(Int32($0 * 1024)) / 1024 }
    }
    // One element that is no float16.
    var full = matrices
    full[2][full[2].count - 1] += 1e-6
    let (half, whole) = (try group(a, matrices, columns), try group(a, full, columns))
    for index in 0..<2 { #expect(half[index].values(Float.self) == whole[index].values(Float.self)) }
  }

  /// Narrow formats are one product whatever its size: the same bits as alone.
  @Test(arguments: [ReducedPrecisionTests.Format.bfloat16, .int8], [(3, 128, 64), (36, 192, 160), (300, 640, 320)])
  func narrowFormats(_ precision: ReducedPrecisionTests.Format, _ size: (rows: Int, depth: Int, columns: Int)) throws {
    let attributes = ReducedPrecisionTests.attributes(precision)
    let a = try Tensor(sequence(size.rows * size.depth, seed: 1), [1, size.rows, size.depth])
    let matrices = try (0..<3).map {
      try Tensor(
        sequence(size.depth * size.columns, seed: UInt64($0) + 2, range: 0.1), [size.depth, size.columns])
    }
    let results = try DenseRunner(
      type: "MatMulGroup", attributes: attributes, outputCount: 3, constants: [1, 2, 3], threads: 2
    ).run([a] + matrices)
    for (matrix, result) in zip(matrices, results) {
      let alone = try DenseRunner(
        type: "MatMul", domain: "", version: 13, attributes: attributes, constants: [1]
      ).run([a, matrix])[0]
      #expect(result.values(Float.self) == alone.values(Float.self))
    }
  }

  @Test func shapesThatDoNotFit() throws {
    let a = try Tensor(sequence(8), [1, 2, 4])
    let w = try Tensor(sequence(256), [4, 64])
    for matrices: [Tensor?] in [[w], [w, w, w, w], [w, nil], [w, try Tensor(sequence(128), [4, 32])]] {
      #expect(throws: Failure.self) {
        try DenseRunner(type: "MatMulGroup", outputCount: matrices.count, constants: Set(1...matrices.count)).run(
          [a] + matrices)
      }
    }
    // Matrices that are not constant.
    #expect(throws: Failure.self) {
      try DenseRunner(type: "MatMulGroup", outputCount: 2).run([a, w, w])
    }
  }
}
