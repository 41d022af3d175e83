import Graph
import KernelTable
import Kernels
import Support

/// Several float32 products C[i] = A[aIndex[i]] · B[bIndex[i]] with B packed at run time.
struct BatchedProduct {
  var m: Int
  var n: Int
  var k: Int
  var a: UnsafePointer<Float>
  var aIndex: [Int]
  var b: UnsafePointer<Float>
  var bIndex: [Int]
  var bCount: Int
  /// Stored (n × k) instead of (k × n).
  var bTransposed = false
  var c: UnsafeMutablePointer<Float>
  var kernels = Kernels.current

  static func scratchByteCount(n: Int, k: Int, bCount: Int, threads: Int, _ kernels: KernelTable) -> Int {
    ScratchMemory.byteCount(floats: bCount * PackedMatrix.floatCount(depth: k, columns: n, kernels))
      + ScratchMemory.byteCount(floats: max(1, threads) * MatrixProduct.slotFloatCount(kernels))
  }

  func run(context: RunContext, scratch: inout ScratchMemory) throws {
    let slots = context.pool.threads
    let packedCount = PackedMatrix.floatCount(depth: k, columns: n, kernels)
    let packed = try scratch.takeFloats(bCount * packedCount)
    let blocks = try scratch.takeFloats(slots * MatrixProduct.slotFloatCount(kernels))
    let panels = PackedMatrix.panelCount(n, kernels)
    try runTasks(bCount * panels, slots: slots, context: context) { _, task in
      let (matrix, panel) = task.quotientAndRemainder(dividingBy: panels)
      PackedMatrix(depth: k, columns: n, kernels: kernels, panels: packed + matrix * packedCount).pack(
        panel: panel, from: b + matrix * k * n, rowStride: bTransposed ? k : n, transposed: bTransposed)
    }
    let partition = MatrixProduct.Partition(
      rows: m, depth: k, panels: panels, threads: max(1, slots / max(1, aIndex.count)), kernels: kernels)
    try runTasks(aIndex.count * partition.count, slots: slots, context: context) { slot, task in
      let (item, part) = task.quotientAndRemainder(dividingBy: partition.count)
      let matrix = PackedMatrix(depth: k, columns: n, kernels: kernels, panels: packed + bIndex[item] * packedCount)
      let product = MatrixProduct(rows: m, b: matrix, c: c + item * m * n, cStride: n)
      product.block(
        task: part, partition, scratch: blocks + slot * MatrixProduct.slotFloatCount(kernels),
        MatrixRows(a: a + aIndex[item] * m * k, stride: k, depth: k, kernels: kernels))
    }
  }
}

/// Integer and float64 products without packing: float64 through BLAS, integers with wrapping arithmetic.
enum PlainProduct {
  static func integers<T: FixedWidthInteger>(
    _ shape: MatMulShape, _ a: UnsafePointer<T>, _ b: UnsafePointer<T>, _ c: UnsafeMutablePointer<T>,
    context: RunContext
  ) throws {
    let aIndex = shape.operandIndices(shape.aBatch)
    let bIndex = shape.operandIndices(shape.bBatch)
    let (m, n, k) = (shape.m, shape.n, shape.k)
    try runTasks(aIndex.count * m, slots: context.pool.threads, context: context) { _, task in
      let (item, row) = task.quotientAndRemainder(dividingBy: m)
      let target = c + (item * m + row) * n
      target.update(repeating: 0, count: n)
      for j in 0..<k {
        let factor = a[(aIndex[item] * m + row) * k + j]
        let source = b + (bIndex[item] * k + j) * n
        for x in 0..<n { target[x] &+= factor &* source[x] }
      }
    }
  }

  static func doubles(
    _ shape: MatMulShape, _ a: UnsafePointer<Double>, _ b: UnsafePointer<Double>, _ c: UnsafeMutablePointer<Double>,
    context: RunContext
  ) throws {
    let aIndex = shape.operandIndices(shape.aBatch)
    let bIndex = shape.operandIndices(shape.bBatch)
    let (m, n, k) = (shape.m, shape.n, shape.k)
    try runTasks(aIndex.count, slots: context.pool.threads, context: context) { _, item in
      BLAS.product(
        m: m, n: n, k: k, a: a + aIndex[item] * m * k, aStride: k, b: b + bIndex[item] * k * n, bStride: n,
        c: c + item * m * n, cStride: n)
    }
  }
}
