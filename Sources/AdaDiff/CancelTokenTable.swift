import Glibc
import Synchronization

/// Cancel tokens in memory that never moves and is never given back, so that firing one from a signal handler needs no
/// lock, no allocation and no trust in the pointer: the handle's generation says whether it is live.
enum CancelTokenTable {
  struct Slot: ~Copyable {
    /// Upper 32 bits: generation, counted up when the last reference goes. Lower 32 bits: references.
    let state = Atomic<UInt64>(0)
    let fired = Atomic<Bool>(false)
  }

  private static let tag: UInt = 0xC
  private static let indexBits: UInt = 20
  private static let chunkSize = 1024
  /// 2^20 simultaneous tokens in at most 1024 chunks of 16 KiB.
  private static let maximumChunks = 1024

  private struct Storage: @unchecked Sendable {
    let mutex: UnsafeMutablePointer<pthread_mutex_t>
    let chunks: UnsafeMutablePointer<UnsafeMutablePointer<Slot>?>
  }

  private static let storage: Storage = {
    let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    mutex.initialize(to: pthread_mutex_t())
    pthread_mutex_init(mutex, nil)
    let chunks = UnsafeMutablePointer<UnsafeMutablePointer<Slot>?>.allocate(capacity: maximumChunks)
    chunks.initialize(repeating: nil, count: maximumChunks)
    pthread_atfork(
      { pthread_mutex_lock(CancelTokenTable.storage.mutex) }, { pthread_mutex_unlock(CancelTokenTable.storage.mutex) },
      { pthread_mutex_unlock(CancelTokenTable.storage.mutex) })
    return Storage(mutex: mutex, chunks: chunks)
  }()

  nonisolated(unsafe) private static var freeIndices: [Int] = []
  nonisolated(unsafe) private static var usedIndices = 0

  /// A new token with one reference.
  static func make() -> OpaquePointer? {
    pthread_mutex_lock(storage.mutex)
    defer { pthread_mutex_unlock(storage.mutex) }
    let index: Int
    if let free = freeIndices.popLast() {
      index = free
    } else {
      guard usedIndices < chunkSize * maximumChunks else { return nil }
      index = usedIndices
      if index % chunkSize == 0 {
        let chunk = UnsafeMutablePointer<Slot>.allocate(capacity: chunkSize)
        for offset in 0..<chunkSize { (chunk + offset).initialize(to: Slot()) }
        storage.chunks[index / chunkSize] = chunk
      }
      usedIndices += 1
    }
    guard let slot = slot(index) else { return nil }
    slot.pointee.fired.store(false, ordering: .relaxed)
    let generation = slot.pointee.state.load(ordering: .relaxed) >> 32
    slot.pointee.state.store(generation << 32 | 1, ordering: .releasing)
    return OpaquePointer(bitPattern: (UInt(generation) << indexBits | UInt(index)) << 4 | tag)
  }

  private static func slot(_ index: Int) -> UnsafeMutablePointer<Slot>? {
    guard index >= 0, index < chunkSize * maximumChunks else { return nil }
    return storage.chunks[index / chunkSize].map { $0 + index % chunkSize }
  }

  /// Slot and generation that a handle names, or nil when it is no token handle.
  private static func decode(_ token: OpaquePointer?) -> (
    slot: UnsafeMutablePointer<Slot>, generation: UInt64, index: Int
  )? {
    let bits = UInt(bitPattern: token)
    guard bits & 0xF == tag else { return nil }
    let index = Int(bits >> 4 & (1 << indexBits - 1))
    guard let slot = slot(index) else { return nil }
    return (slot, UInt64(bits >> (4 + indexBits)), index)
  }

  /// The slot of a live token.
  static func live(_ token: OpaquePointer?) -> UnsafeMutablePointer<Slot>? {
    guard let (slot, generation, _) = decode(token) else { return nil }
    let state = slot.pointee.state.load(ordering: .acquiring)
    return state >> 32 == generation && state & 0xFFFF_FFFF > 0 ? slot : nil
  }

  /// Adds (+1) or drops (-1) a reference; false when the token is not live.
  @discardableResult
  static func changeReferences(_ token: OpaquePointer?, by change: Int64) -> Bool {
    guard let (slot, generation, index) = decode(token) else { return false }
    var state = slot.pointee.state.load(ordering: .acquiring)
    while true {
      let references = Int64(state & 0xFFFF_FFFF)
      guard state >> 32 == generation, references > 0, references + change < 1 << 31 else { return false }
      let remaining = references + change
      // Generations wrap within the 40 bits a handle has for them.
      let next = remaining == 0 ? (generation + 1) << 32 : generation << 32 | UInt64(remaining)
      let (exchanged, original) = slot.pointee.state.compareExchange(
        expected: state, desired: next, ordering: .acquiringAndReleasing)
      if exchanged {
        if remaining == 0 {
          pthread_mutex_lock(storage.mutex)
          freeIndices.append(index)
          pthread_mutex_unlock(storage.mutex)
        }
        return true
      }
      state = original
    }
  }
}

/// One counted reference to a token, for options and runs.
final class CancelTokenReference: @unchecked Sendable {
  private let token: OpaquePointer
  private let slot: UnsafeMutablePointer<CancelTokenTable.Slot>

  /// Nil when the handle is not a live token.
  init?(retaining token: OpaquePointer?) {
    guard let token, let slot = CancelTokenTable.live(token), CancelTokenTable.changeReferences(token, by: 1) else {
      return nil
    }
    self.token = token
    self.slot = slot
  }

  deinit { CancelTokenTable.changeReferences(token, by: -1) }

  var fired: Bool { slot.pointee.fired.load(ordering: .relaxed) }
}
