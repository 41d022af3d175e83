import Graph
import Support

/// Float memory that only grows; 64-byte aligned. Contents are undefined after growth. Zero-filled on request only.
final class FloatBuffer: @unchecked Sendable {
  private var block: HeapBlock?
  private(set) var count = 0

  init() {}

  convenience init(count: Int, zeroed: Bool = true) throws(Failure) {
    self.init()
    try reserve(count)
    if zeroed { clear() }
  }

  /// Makes `count` elements usable.
  func reserve(_ count: Int) throws(Failure) {
    self.count = count
    let bytes = try CheckedSize.product([count, 4], of: "training memory")
    if let block, block.bytes.count >= bytes { return }
    block = try HeapBlock(byteCount: bytes)
  }

  /// Valid until the next `reserve`.
  var pointer: UnsafeMutablePointer<Float> {
    block?.bytes.baseAddress?.assumingMemoryBound(to: Float.self) ?? Self.none
  }

  /// Never read or written: where nothing is reserved, counts are 0.
  nonisolated(unsafe) private static let none: UnsafeMutablePointer<Float> = .allocate(capacity: 16)

  func clear() { pointer.update(repeating: 0, count: count) }

  var values: [Float] {
    get { Array(UnsafeBufferPointer(start: pointer, count: count)) }
    set {
      for (index, value) in newValue.prefix(count).enumerated() { pointer[index] = value }
    }
  }
}
