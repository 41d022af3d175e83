import Graph
import KernelTable
import Kernels
import Support

/// A depth × columns matrix in the panel layout of `KernelTable.gemmPanel`: panel after panel, each depth × tileColumns.
struct PackedMatrix: @unchecked Sendable {
  let depth: Int
  let columns: Int
  let kernels: KernelTable
  let panels: UnsafeMutablePointer<Float>
  /// Keeps `panels` alive; nil when the memory is scratch.
  private let owner: HeapBlock?

  var panelCount: Int { Self.panelCount(columns, kernels) }
  var panelStride: Int { depth * kernels.gemm.tileColumns }

  static func panelCount(_ columns: Int, _ kernels: KernelTable) -> Int {
    (columns + kernels.gemm.tileColumns - 1) / kernels.gemm.tileColumns
  }

  static func floatCount(depth: Int, columns: Int, _ kernels: KernelTable) -> Int {
    panelCount(columns, kernels) * kernels.gemm.tileColumns * depth
  }

  /// Room for a matrix in memory of its own.
  init(depth: Int, columns: Int, kernels: KernelTable) throws(Failure) {
    let tile = kernels.gemm.tileColumns
    let count = try CheckedSize.product([Self.panelCount(columns, kernels), tile, depth, 4], of: "packed matrix")
    let block = try HeapBlock(byteCount: count)
    guard let base = block.bytes.baseAddress else { throw Failure(.outOfMemory, "no memory for a packed matrix") }
    self.init(
      depth: depth, columns: columns, kernels: kernels, panels: base.assumingMemoryBound(to: Float.self), owner: block)
  }

  /// Room for a matrix in memory that outlives this value.
  init(
    depth: Int, columns: Int, kernels: KernelTable, panels: UnsafeMutablePointer<Float>, owner: HeapBlock? = nil
  ) {
    self.depth = depth
    self.columns = columns
    self.kernels = kernels
    self.panels = panels
    self.owner = owner
  }

  /// Packs one panel from a row-major (depth × columns) or, transposed, (columns × depth) matrix.
  func pack(panel: Int, from source: UnsafePointer<Float>, rowStride: Int, transposed: Bool) {
    let first = panel * kernels.gemm.tileColumns
    let width = min(kernels.gemm.tileColumns, columns - first)
    let target = panels + panel * panelStride
    if transposed {
      kernels.packPanelTransposed(source + first * rowStride, rowStride, depth, width, target)
    } else {
      kernels.packPanel(source + first, rowStride, depth, width, target)
    }
  }

  /// Packs a whole matrix.
  func packAll(from source: UnsafePointer<Float>, rowStride: Int, transposed: Bool) {
    for panel in 0..<panelCount { pack(panel: panel, from: source, rowStride: rowStride, transposed: transposed) }
  }
}
