import Glibc

/// Every live handle of the C interface except cancel tokens.
///
/// A handle is a number dressed as a pointer, never an address: numbers are not used twice, so a freed, foreign or
/// wrong-kind handle is recognised with certainty instead of being dereferenced.
final class HandleTable: @unchecked Sendable {
  static let shared = HandleTable()

  /// Low four bits of every handle of this table; cancel tokens have others.
  private static let tag: UInt = 0x8

  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private var objects: [UInt: AnyObject] = [:]
  private var nextNumber: UInt = 1

  private init() {
    mutex = .allocate(capacity: 1)
    mutex.initialize(to: pthread_mutex_t())
    pthread_mutex_init(mutex, nil)
    // A child made by fork() while another thread holds the lock must be able to use the library.
    pthread_atfork(
      { HandleTable.shared.lock() }, { HandleTable.shared.unlock() }, { HandleTable.shared.unlock() })
  }

  private func lock() { pthread_mutex_lock(mutex) }
  private func unlock() { pthread_mutex_unlock(mutex) }

  /// Registers `object`, which lives until `remove`.
  func insert(_ object: AnyObject) -> OpaquePointer? {
    lock()
    defer { unlock() }
    let handle = nextNumber << 4 | Self.tag
    nextNumber += 1
    objects[handle] = object
    return OpaquePointer(bitPattern: handle)
  }

  /// The live object of this kind, or nil.
  func find<Object: AnyObject>(_ handle: OpaquePointer?, as kind: Object.Type) -> Object? {
    guard let handle else { return nil }
    lock()
    defer { unlock() }
    return objects[UInt(bitPattern: handle)] as? Object
  }

  /// Forgets a handle if it is live and of this kind; the object dies with its last user.
  func remove<Object: AnyObject>(_ handle: OpaquePointer?, as kind: Object.Type) {
    guard let handle else { return }
    let number = UInt(bitPattern: handle)
    lock()
    let object = objects[number] as? Object
    if object != nil { objects[number] = nil }
    unlock()
    // `object` is released here, outside the lock: its deinitialiser may be long.
  }
}
