import CSIMD
import Glibc
import Synchronization

/// The worker threads behind a `ThreadPool` and the job they share.
///
/// Every thread has a *seat*, cache lines of its own with a range of the job's tasks and the state of its worker. The
/// caller fills the seats and opens those of the workers; everybody works off the own range and then what is left of the
/// others'. A worker enters by changing its seat from open to inside, the caller leaves by changing it from open to
/// closed: so either the worker is inside and the caller waits for it, or it never looks at the job.
final class ThreadCrew: @unchecked Sendable {
  /// Workers spin this many pauses for the next job before they sleep: 530 µs on AMD (family 25, model 17), longer than an operator
  /// that one thread runs alone, and than a host in Python takes from one call to the next (150 to 300 µs, its caches cold).
  private static let spinLimit = 20_000
  /// Bytes of stack per worker; kernels keep their tiles in scratch memory.
  private static let stackByteCount = 1 << 20

  let generation = ForkGeneration.current

  private let workers: Int
  /// Of the caller, then of the workers.
  private let seats: UnsafeMutablePointer<Seat>
  private let busy = Atomic<Bool>(false)
  private let sleepingWorkers = Atomic<Int>(0)
  private let callerSleeps = Atomic<Bool>(false)

  // Written by the caller before it opens seats, read by workers inside.
  private var body: ((_ thread: Int, _ task: Int) -> Void)?
  private var participants = 0

  /// Only the thread inside `enter`/`leave` touches it.
  private var jobNumber = 0

  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let wake: UnsafeMutablePointer<pthread_cond_t>
  private let done: UnsafeMutablePointer<pthread_cond_t>
  /// Only the thread inside `enter`/`leave`, or `shutDown`, touches it.
  private var started: [pthread_t] = []

  /// A worker's place in a job.
  private enum State {
    /// Of a job's number.
    static func open(_ job: Int) -> Int { 4 * job }
    static func inside(_ job: Int) -> Int { 4 * job + 1 }
    static func finished(_ job: Int) -> Int { 4 * job + 2 }
    static func closed(_ job: Int) -> Int { 4 * job + 3 }
    static let stop = -1
    static func isOpen(_ state: Int) -> Bool { state & 3 == 0 }
  }

  /// Two cache lines, because processors fetch them in pairs.
  private struct Seat: ~Copyable {
    let state = Atomic<Int>(State.closed(0))
    /// First task of the range that nobody has taken.
    let next = Atomic<Int>(0)
    /// End of the range; written by the caller before seats are opened.
    var end = 0
    private let padding: (Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int, Int) =
      (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
  }

  /// Nil when no memory is left. The instance lives until `shutDown`.
  init?(workers: Int) {
    self.workers = workers
    seats = UnsafeMutableRawPointer.allocate(
      byteCount: (workers + 1) * MemoryLayout<Seat>.stride, alignment: MemoryLayout<Seat>.stride
    ).bindMemory(to: Seat.self, capacity: workers + 1)
    for seat in 0...workers { (seats + seat).initialize(to: Seat()) }
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
    seats.deinitialize(count: workers + 1)
    UnsafeMutableRawPointer(seats).deallocate()
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

  /// `threads` at least 2, at most the workers and the caller; `tasks` at least as many.
  func run(tasks: Int, threads: Int, _ job: @escaping (_ thread: Int, _ task: Int) -> Void) {
    if started.count < workers { start() }
    body = job
    participants = threads
    jobNumber += 1
    let (quotient, rest) = tasks.quotientAndRemainder(dividingBy: threads)
    var first = 0
    for seat in 0..<threads {
      seats[seat].next.store(first, ordering: .relaxed)
      first += quotient + (seat < rest ? 1 : 0)
      seats[seat].end = first
    }
    for seat in 1..<threads { seats[seat].state.store(State.open(jobNumber), ordering: .releasing) }
    // Either the caller sees a worker that is about to sleep, or the worker sees its seat open.
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    if sleepingWorkers.load(ordering: .relaxed) > 0 {
      pthread_mutex_lock(mutex)
      pthread_cond_broadcast(wake)
      pthread_mutex_unlock(mutex)
    }
    takeTasks(thread: 0)
    for seat in 1..<threads { waitUntilOutside(seat) }
    body = nil
  }

  /// Closes a worker's seat, or waits until the worker has left it.
  private func waitUntilOutside(_ seat: Int) {
    let (closed, _) = seats[seat].state.compareExchange(
      expected: State.open(jobNumber), desired: State.closed(jobNumber), ordering: .acquiringAndReleasing)
    if closed { return }
    let finished = State.finished(jobNumber)
    for _ in 0..<Self.spinLimit {
      if seats[seat].state.load(ordering: .acquiring) == finished { return }
      csimd_pause()
    }
    pthread_mutex_lock(mutex)
    callerSleeps.store(true, ordering: .sequentiallyConsistent)
    while seats[seat].state.load(ordering: .sequentiallyConsistent) != finished { pthread_cond_wait(done, mutex) }
    callerSleeps.store(false, ordering: .relaxed)
    pthread_mutex_unlock(mutex)
  }

  /// The own range first, so that a thread works on the same part of the data from job to job.
  private func takeTasks(thread: Int) {
    guard let body else { return }
    let participants = self.participants
    var seat = thread
    repeat {
      let end = seats[seat].end
      while seats[seat].next.load(ordering: .relaxed) < end {
        let task = seats[seat].next.add(1, ordering: .relaxed).oldValue
        guard task < end else { break }
        body(thread, task)
      }
      seat += 1
      if seat == participants { seat = 0 }
    } while seat != thread
  }

  private func work(seat: Int) {
    while true {
      let state = waitForJob(seat)
      if state == State.stop { return }
      let (entered, _) = seats[seat].state.compareExchange(
        expected: state, desired: state + 1, ordering: .acquiringAndReleasing)
      guard entered else { continue }
      takeTasks(thread: seat)
      seats[seat].state.store(state + 2, ordering: .sequentiallyConsistent)
      if callerSleeps.load(ordering: .sequentiallyConsistent) {
        pthread_mutex_lock(mutex)
        pthread_cond_signal(done)
        pthread_mutex_unlock(mutex)
      }
    }
  }

  /// Returns the seat's state once it is open, or `State.stop`.
  private func waitForJob(_ seat: Int) -> Int {
    func news() -> Int? {
      let state = seats[seat].state.load(ordering: .acquiring)
      return State.isOpen(state) || state == State.stop ? state : nil
    }
    for _ in 0..<Self.spinLimit {
      if let state = news() { return state }
      csimd_pause()
    }
    csimd_tiles_end()
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    sleepingWorkers.add(1, ordering: .sequentiallyConsistent)
    defer { sleepingWorkers.subtract(1, ordering: .sequentiallyConsistent) }
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    while true {
      if let state = news() { return state }
      pthread_cond_wait(wake, mutex)
    }
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
      let beginning = Unmanaged.passRetained(Beginning(crew: self, seat: started.count + 1))
      let status = pthread_create(
        &thread, &attributes,
        { argument in
          if let argument {
            let beginning = Unmanaged<Beginning>.fromOpaque(argument).takeRetainedValue()
            beginning.crew.work(seat: beginning.seat)
          }
          return nil
        }, beginning.toOpaque())
      guard status == 0 else { return beginning.release() }
      started.append(thread)
    }
  }

  /// What a new worker is told. The crew outlives its workers.
  private final class Beginning {
    unowned let crew: ThreadCrew
    let seat: Int

    init(crew: ThreadCrew, seat: Int) {
      self.crew = crew
      self.seat = seat
    }
  }

  /// Ends and joins the workers and gives the memory back. In a forked child the threads do not exist and the locks may
  /// be held by nobody: the memory is then left alone.
  func shutDown() {
    guard generation == ForkGeneration.current else { return }
    pthread_mutex_lock(mutex)
    for seat in 1..<(workers + 1) { seats[seat].state.store(State.stop, ordering: .sequentiallyConsistent) }
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
