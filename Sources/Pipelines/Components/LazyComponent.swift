import Glibc

/// A value made at its first use, once, by whichever thread comes first; a failed attempt is made again next time.
final class LazyComponent<Value: Sendable>: @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let make: @Sendable () throws -> Value
  private var value: Value?

  init(_ make: @escaping @Sendable () throws -> Value) {
    self.make = make
    mutex = .allocate(capacity: 1)
    mutex.initialize(to: pthread_mutex_t())
    pthread_mutex_init(mutex, nil)
  }

  deinit {
    pthread_mutex_destroy(mutex)
    mutex.deallocate()
  }

  func get() throws -> Value {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    if let value { return value }
    let made = try make()
    value = made
    return made
  }
}
