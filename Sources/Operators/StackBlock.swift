/// Calls `body` with room on the stack for `capacity` elements, up to 4 KB. (`withUnsafeTemporaryAllocation` takes more
/// than 1 KB from the heap.)
@inline(__always)
func withStackBlock<Element: BitwiseCopyable>(
  of _: Element.Type, capacity: Int, _ body: (UnsafeMutablePointer<Element>) -> Void
) {
  guard capacity * MemoryLayout<Element>.stride <= 4096 else {
    return withUnsafeTemporaryAllocation(of: Element.self, capacity: capacity) { buffer in
      if let base = buffer.baseAddress { body(base) }
    }
  }
  var room = InlineArray<256, SIMD2<UInt64>>(repeating: .zero)
  withUnsafeMutableBytes(of: &room) { bytes in
    if let base = bytes.baseAddress { body(base.assumingMemoryBound(to: Element.self)) }
  }
}
