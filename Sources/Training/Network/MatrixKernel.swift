import Glibc
import KernelTable
import Kernels
import Support

/// A row-major matrix in someone's memory, or the transpose of one.
struct MatrixView {
  var pointer: UnsafePointer<Float>
  /// Distance of stored rows.
  var stride: Int
  /// Element (row, column) lies at `[column * stride + row]`.
  var isTransposed = false

  init(_ pointer: UnsafePointer<Float>, stride: Int, transposed: Bool = false) {
    self.pointer = pointer
    self.stride = stride
    isTransposed = transposed
  }

  init(_ pointer: UnsafeMutablePointer<Float>, stride: Int, transposed: Bool = false) {
    self.init(UnsafePointer(pointer), stride: stride, transposed: transposed)
  }
}

/// C = A · B or C += A · B (+ bias) with the engine's packed kernels.
///
/// Every element of C is one chain of additions over K, whatever the number of threads: equal bits for any pool.
final class MatrixKernel {
  private let pool: ThreadPool
  private let kernels = Kernels.current
  private let packed = FloatBuffer()

  init(pool: ThreadPool) { self.pool = pool }

  /// A is rows × depth, B depth × columns, C rows × columns at row distance `cStride`; bias has `columns` elements.
  func multiply(
    rows: Int, depth: Int, columns: Int, _ a: MatrixView, _ b: MatrixView, into c: UnsafeMutablePointer<Float>,
    cStride: Int, accumulate: Bool = false, bias: UnsafePointer<Float>? = nil
  ) throws(Failure) {
    guard rows > 0, columns > 0, depth > 0 else { return }
    let (kernels, shape) = (kernels, kernels.gemm)
    let width = shape.tileColumns
    let panels = (columns + width - 1) / width
    try packed.reserve(panels * width * depth)
    let packedB = packed.pointer
    pool.forRanges(panels, grain: max(1, (1 << 14) / (width * depth))) { range in
      for panel in range {
        let used = min(width, columns - panel * width)
        let target = packedB + panel * width * depth
        if b.isTransposed {
          kernels.packPanelTransposed(b.pointer + panel * width * b.stride, b.stride, depth, used, target)
        } else {
          kernels.packPanel(b.pointer + panel * width, b.stride, depth, used, target)
        }
      }
    }
    // 16 tiles of rows stay in the second-level cache.
    let blockRows = 16 * shape.tileRows
    let blocks = (rows + blockRows - 1) / blockRows
    // Wide and short products, as those of weight gradients, are divided along the columns.
    let groups = max(1, min(panels, (2 * pool.threads + blocks - 1) / blocks))
    let panelsPerGroup = (panels + groups - 1) / groups
    let scratchCount = blockRows * shape.rowStride + shape.tileRows * width
    let scratch = try FloatBuffer(count: blocks * groups * scratchCount, zeroed: false)
    let scratchBase = scratch.pointer
    pool.run(chunks: blocks * groups) { task in
      let (block, group) = task.quotientAndRemainder(dividingBy: groups)
      let first = block * blockRows
      let count = min(blockRows, rows - first)
      let packedA = scratchBase + task * scratchCount
      let tile = packedA + blockRows * shape.rowStride
      var k = 0
      while k < depth {
        let length = min(shape.blockDepth, depth - k)
        Self.pack(a, rows: first..<first + count, k: k..<k + length, into: packedA, stride: shape.rowStride)
        for panel in group * panelsPerGroup..<min(panels, (group + 1) * panelsPerGroup) {
          let column = panel * width
          let used = min(width, columns - column)
          let target = c + first * cStride + column
          kernels.gemmPanel(
            count, used, length, packedA, packedB + panel * width * depth + k * width, target, cStride,
            accumulate || k > 0, tile, nil, nil, 0, 0)
          if let bias, k + length == depth {
            kernels.epilogue(count, used, target, cStride, bias + column, nil, 0, Activation.none.rawValue)
          }
        }
        k += length
      }
    }
    withExtendedLifetime(scratch) {}
  }

  private static func pack(
    _ a: MatrixView, rows: Range<Int>, k: Range<Int>, into target: UnsafeMutablePointer<Float>, stride: Int
  ) {
    if a.isTransposed {
      for column in k {
        let source = a.pointer + column * a.stride + rows.lowerBound
        for row in 0..<rows.count { target[row * stride + column - k.lowerBound] = source[row] }
      }
    } else {
      for row in 0..<rows.count {
        (target + row * stride).update(
          from: a.pointer + (rows.lowerBound + row) * a.stride + k.lowerBound, count: k.count)
      }
    }
  }
}
