import Graph
import KernelTable
import Kernels
import Support

/// Products of 8-bit integers, exact: the float32 kernels multiply blocks of at most 256 values between −255 and 255,
/// whose sums stay below 2^24 = 16,777,216 (256 · 255² = 16,646,400), and 32-bit integers add up the blocks.
struct ByteProduct {
  /// Copies rows `rowStart ..< rowStart + rows` of A, columns `kStart ..< kStart + depth`, to `target` with row distance
  /// `gemm.rowStride`. `slot` tells the thread's scratch memory apart.
  typealias RowSource = (
    _ slot: Int, _ rowStart: Int, _ rows: Int, _ kStart: Int, _ depth: Int, _ target: UnsafeMutablePointer<Float>
  ) -> Void

  var rows: Int
  /// B minus its zero points, as floats.
  var b: PackedMatrix
  var c: UnsafeMutablePointer<Int32>
  var cStride: Int

  /// A block of A, one tile and the float products of one panel.
  static func slotFloatCount(_ kernels: KernelTable) -> Int {
    MatrixProduct.slotFloatCount(kernels) + MatrixProduct.blockRowLimit(kernels) * kernels.gemm.tileColumns
  }

  static func scratchByteCount(threads: Int, _ kernels: KernelTable) -> Int {
    ScratchMemory.byteCount(floats: max(1, threads) * slotFloatCount(kernels))
  }

  func run(
    context: RunContext, slots: Int, scratch: UnsafeMutablePointer<Float>, _ source: RowSource
  ) throws {
    guard rows > 0, b.columns > 0 else { return }
    let kernels = b.kernels
    let g = kernels.gemm
    let partition = MatrixProduct.Partition(
      rows: rows, depth: b.depth, panels: b.panelCount, threads: slots, kernels: kernels,
      rowLimit: MatrixProduct.blockRowLimit(kernels))
    try runTasks(partition.count, slots: slots, context: context) { slot, task in
      let (rowBlock, panelBlock) = task.quotientAndRemainder(dividingBy: partition.panelBlocks)
      let rowStart = rowBlock * partition.blockRows
      let height = min(partition.blockRows, rows - rowStart)
      let firstPanel = panelBlock * partition.panelsPerTask
      let packedA = scratch + slot * Self.slotFloatCount(kernels)
      let tile = packedA + MatrixProduct.blockRowLimit(kernels) * g.rowStride
      let products = packedA + MatrixProduct.slotFloatCount(kernels)
      var k = 0
      repeat {
        let depth = min(g.blockDepth, b.depth - k)
        source(slot, rowStart, height, k, depth, packedA)
        for panel in firstPanel..<min(b.panelCount, firstPanel + partition.panelsPerTask) {
          let column = panel * g.tileColumns
          let width = min(g.tileColumns, b.columns - column)
          b.panelKernel(
            height, width, depth, packedA, b.panel(panel, from: k), products, g.tileColumns, false, tile, nil, nil, 0, 0
          )
          for row in 0..<height {
            let from = products + row * g.tileColumns
            let to = c + (rowStart + row) * cStride + column
            for j in 0..<width {
              let value = Int32(from[j])
              to[j] = k == 0 ? value : to[j] &+ value
            }
          }
        }
        k += depth
      } while k < b.depth
    }
  }
}

/// 8-bit elements as floats minus a zero point.
struct ByteSource: @unchecked Sendable {
  let bytes: UnsafePointer<UInt8>
  let signed: Bool

  init(_ tensor: Tensor) {
    bytes = UnsafePointer(tensor.pointer(UInt8.self))
    signed = tensor.type == .int8
  }

  /// Value of one element.
  @inline(__always)
  func value(_ index: Int) -> Int32 { signed ? Int32(Int8(bitPattern: bytes[index])) : Int32(bytes[index]) }

  /// `count` elements from `start`, minus `zero`, to `target`.
  func copy(_ start: Int, _ count: Int, minus zero: Int32, to target: UnsafeMutablePointer<Float>) {
    let source = bytes + start
    if signed {
      for i in 0..<count { target[i] = Float(Int32(Int8(bitPattern: source[i])) &- zero) }
    } else {
      for i in 0..<count { target[i] = Float(Int32(source[i]) &- zero) }
    }
  }

  /// All elements (zero points).
  static func values(_ tensor: Tensor?) -> [Int32] {
    guard let tensor else { return [0] }
    let source = ByteSource(tensor)
    return (0..<tensor.count).map { source.value($0) }
  }
}

/// The 8-bit types that integer products take.
let byteTypes: [DataType] = [.uint8, .int8]

/// Scales as Double, from any floating type.
func scaleValues(_ tensor: Tensor) throws -> [Double] {
  switch tensor.type {
  case .float32: return tensor.buffer(Float.self).map { Double($0) }
  case .float16, .bfloat16:
    let wide = try widen(tensor, pool: ThreadPool(threads: 1))
    return withExtendedLifetime(wide) { wide.buffer(Float.self).map { Double($0) } }
  default: throw Failure(.typeMismatch, "a scale must be float32, float16 or bfloat16", actual: tensor.type.name)
  }
}
