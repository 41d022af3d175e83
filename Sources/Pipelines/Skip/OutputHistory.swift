import Graph
import Support

/// A quantity at the network's calls: a fixed number of buffers, newest first.
final class OutputHistory {
  let depth: Int
  private(set) var calls: [Int] = []
  private var slots: [Int] = []
  private let storage: Tensor
  private let count: Int

  init(depth: Int, count: Int) throws(Failure) {
    self.depth = depth
    self.count = count
    storage = try Tensor(type: .float32, shape: [depth, count])
  }

  func push(call: Int) -> UnsafeMutablePointer<Float> {
    let slot: Int
    if slots.count < depth {
      slot = slots.count
    } else {
      slot = slots.removeLast()
      calls.removeLast()
    }
    slots.insert(slot, at: 0)
    calls.insert(call, at: 0)
    return storage.pointer(Float.self) + slot * count
  }

  func clear() {
    calls.removeAll(keepingCapacity: true)
    slots.removeAll(keepingCapacity: true)
  }

  subscript(age: Int) -> UnsafeMutablePointer<Float> { storage.pointer(Float.self) + slots[age] * count }
}
