import Support

/// A fixed number of latent-sized buffers, addressed by age: 0 is the newest.
final class LatentHistory {
  let depth: Int
  let elementCount: Int
  /// How many buffers have been filled since the run began, at most `depth`.
  private(set) var filled = 0
  private var newest = 0
  private let storage: UnsafeMutablePointer<Float>

  init(depth: Int, elementCount: Int) throws(Failure) {
    let total = try CheckedSize.product([depth, elementCount, MemoryLayout<Float>.stride], of: "solver history")
    self.depth = depth
    self.elementCount = elementCount
    storage = .allocate(capacity: max(1, total / MemoryLayout<Float>.stride))
    storage.initialize(repeating: 0, count: depth * elementCount)
  }

  deinit { storage.deallocate() }

  /// Makes the oldest buffer the newest and returns it to be filled.
  func push() -> UnsafeMutablePointer<Float> {
    newest = (newest + depth - 1) % depth
    filled = min(filled + 1, depth)
    return storage + newest * elementCount
  }

  /// The buffer of this age; `age` must be less than `filled`.
  subscript(age: Int) -> UnsafeMutablePointer<Float> {
    storage + (newest + age) % depth * elementCount
  }

  func clear() { filled = 0 }
}
