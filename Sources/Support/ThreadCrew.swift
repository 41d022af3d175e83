import CSIMD
import Glibc
import Synchronization

/// The worker threads behind a `ThreadPool` and the job they share.
///
/// Protocol: the caller opens the gate, everybody takes chunk numbers from `next` until they run out, the caller closes
/// the gate and waits until `inside` is zero. A worker counts itself in `inside` before it looks at the gate, so either
/// it sees the gate closed or the caller waits for it.
final class ThreadCrew: @unchecked Sendable {
  /// Workers spin this many pauses for the next job before they sleep: 260 to 310 µs measured on one machine, longer than an
  /// operator that one thread runs alone.
  private static let spinLimit = 10_000
  /// Bytes of stack per worker; kernels keep their tiles in scratch memory.
  private static let stackByteCount = 1 << 20

  let generation = ForkGeneration.current

  private let workers: Int
  private let busy = Atomic<Bool>(false)
  private let gateOpen = Atomic<Bool>(false)
  private let inside = Atomic<Int>(0)
  private let next = Atomic<Int>(0)
  private let jobNumber = Atomic<Int>(0)
  private let stopping = Atomic<Bool>(false)
  private let sleeping = Atomic<Int>(0)

  // Written by the caller before the gate opens, read by workers inside it.
  private var body: ((Int) -> Void)?
  private var chunks = 0

  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let wake: UnsafeMutablePointer<pthread_cond_t>
  private let done: UnsafeMutablePointer<pthread_cond_t>
  /// Only the thread inside `enter`/`leave`, or `shutDown`, touches it.
  private var started: [pthread_t] = []

  /// Nil when no memory is left. The instance lives until `shutDown`.
  init?(workers: Int) {
    self.workers = workers
    mutex = .allocate(capacity: 1)
    wake = .allocate(capacity: 1)
    done = .allocate(capacity: 1)
    guard pthread_mutex_init(mutex, nil) == 0, pthread_cond_init(wake, nil) == 0, pthread_cond_init(done, nil) == 0
    else { return nil }
    _ = Unmanaged.passRetained(self)
  }

  deinit {
    pthread_cond_destroy(done)
    pthread_cond_destroy(wake)
    pthread_mutex_destroy(mutex)
    done.deallocate()
    wake.deallocate()
    mutex.deallocate()
  }

  var address: UInt { UInt(bitPattern: Unmanaged.passUnretained(self).toOpaque()) }

  static func at(_ address: UInt) -> ThreadCrew? {
    UnsafeRawPointer(bitPattern: address).map { Unmanaged<ThreadCrew>.fromOpaque($0).takeUnretainedValue() }
  }

  /// Claims the crew for one job; false when it is busy.
  func enter() -> Bool {
    busy.compareExchange(expected: false, desired: true, ordering: .acquiringAndReleasing).exchanged
  }

  func leave() { busy.store(false, ordering: .releasing) }

  func run(chunks: Int, _ job: @escaping (Int) -> Void) {
    if started.count < workers { start() }
    body = job
    self.chunks = chunks
    next.store(0, ordering: .relaxed)
    gateOpen.store(true, ordering: .sequentiallyConsistent)
    jobNumber.add(1, ordering: .sequentiallyConsistent)
    if sleeping.load(ordering: .sequentiallyConsistent) > 0 {
      pthread_mutex_lock(mutex)
      pthread_cond_broadcast(wake)
      pthread_mutex_unlock(mutex)
    }
    takeChunks()
    gateOpen.store(false, ordering: .sequentiallyConsistent)
    var spins = 0
    while inside.load(ordering: .sequentiallyConsistent) > 0 {
      if spins < Self.spinLimit {
        csimd_pause()
        spins += 1
      } else {
        pthread_mutex_lock(mutex)
        while inside.load(ordering: .sequentiallyConsistent) > 0 { pthread_cond_wait(done, mutex) }
        pthread_mutex_unlock(mutex)
      }
    }
    body = nil
  }

  private func takeChunks() {
    guard let body else { return }
    let chunks = self.chunks
    while true {
      let chunk = next.add(1, ordering: .relaxed).oldValue
      guard chunk < chunks else { return }
      body(chunk)
    }
  }

  private func work() {
    var seen = 0
    while true {
      // The number is read before `stopping`: a stop after this look changes the number and ends the next wait.
      seen = waitForJob(after: seen)
      if stopping.load(ordering: .acquiring) { return }
      inside.add(1, ordering: .sequentiallyConsistent)
      if gateOpen.load(ordering: .sequentiallyConsistent) { takeChunks() }
      let left = inside.subtract(1, ordering: .sequentiallyConsistent).newValue
      if left == 0 && !gateOpen.load(ordering: .sequentiallyConsistent) {
        pthread_mutex_lock(mutex)
        pthread_cond_signal(done)
        pthread_mutex_unlock(mutex)
      }
    }
  }

  /// Returns the number of the first job seen that is not `seen`.
  private func waitForJob(after seen: Int) -> Int {
    var number = seen
    for _ in 0..<Self.spinLimit {
      number = jobNumber.load(ordering: .acquiring)
      if number != seen { return number }
      csimd_pause()
    }
    pthread_mutex_lock(mutex)
    sleeping.add(1, ordering: .sequentiallyConsistent)
    while true {
      number = jobNumber.load(ordering: .sequentiallyConsistent)
      if number != seen { break }
      pthread_cond_wait(wake, mutex)
    }
    sleeping.subtract(1, ordering: .sequentiallyConsistent)
    pthread_mutex_unlock(mutex)
    return number
  }

  /// Starts the missing workers. Fewer than wanted are enough: the caller works too. Signals stay with the host's threads.
  private func start() {
    var attributes = pthread_attr_t()
    guard pthread_attr_init(&attributes) == 0 else { return }
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setstacksize(&attributes, Self.stackByteCount)
    var all = sigset_t()
    var previous = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_SETMASK, &all, &previous)
    defer { pthread_sigmask(SIG_SETMASK, &previous, nil) }
    while started.count < workers {
      var thread = pthread_t()
      let status = pthread_create(
        &thread, &attributes,
        { argument in
          if let argument { Unmanaged<ThreadCrew>.fromOpaque(argument).takeUnretainedValue().work() }
          return nil
        }, UnsafeMutableRawPointer(bitPattern: address))
      guard status == 0 else { return }
      started.append(thread)
    }
  }

  /// Ends and joins the workers and gives the memory back. In a forked child the threads do not exist and the locks may
  /// be held by nobody: the memory is then left alone.
  func shutDown() {
    guard generation == ForkGeneration.current else { return }
    stopping.store(true, ordering: .releasing)
    pthread_mutex_lock(mutex)
    jobNumber.add(1, ordering: .sequentiallyConsistent)
    pthread_cond_broadcast(wake)
    pthread_mutex_unlock(mutex)
    for thread in started { pthread_join(thread, nil) }
    Unmanaged.passUnretained(self).release()
  }
}

/// Counts how often this process has been forked from one that used a thread pool.
enum ForkGeneration {
  private static let counter = Atomic<Int>(0)
  private static let registered: Bool = {
    pthread_atfork(nil, nil) { ForkGeneration.counter.add(1, ordering: .sequentiallyConsistent) }
    return true
  }()

  static var current: Int {
    _ = registered
    return counter.load(ordering: .acquiring)
  }
}
