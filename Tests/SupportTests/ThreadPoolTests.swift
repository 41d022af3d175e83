import Glibc
import Synchronization
import Testing

@testable import Support

@Suite struct ThreadPoolTests {
  @Test(arguments: [1, 2, 3, 8]) func everyChunkRunsOnce(threads: Int) {
    let pool = ThreadPool(threads: threads)
    for chunks in [0, 1, 2, 3, 7, 64, 1000] {
      var seen = [UInt8](repeating: 0, count: chunks)
      seen.withUnsafeMutableBufferPointer { seen in
        nonisolated(unsafe) let seen = seen
        pool.run(chunks: chunks) { seen[$0] += 1 }
      }
      #expect(seen.allSatisfy { $0 == 1 })
    }
  }

  @Test func manyShortRunsInARow() {
    let pool = ThreadPool(threads: 4)
    let total = Atomic<Int>(0)
    for _ in 0..<20_000 { pool.run(chunks: 4) { _ in total.add(1, ordering: .relaxed) } }
    #expect(total.load(ordering: .relaxed) == 80_000)
  }

  /// A worker that wakes late from the last job must still see that the pool ends.
  @Test func poolsEndRightAfterARun() {
    let total = Atomic<Int>(0)
    for _ in 0..<2000 {
      let pool = ThreadPool(threads: 8)
      pool.run(chunks: 8) { _ in total.add(1, ordering: .relaxed) }
    }
    #expect(total.load(ordering: .relaxed) == 16_000)
  }

  @Test func sleepingWorkersWakeUp() {
    let pool = ThreadPool(threads: 3)
    let total = Atomic<Int>(0)
    for _ in 0..<20 {
      pool.run(chunks: 9) { _ in total.add(1, ordering: .relaxed) }
      usleep(2000)
    }
    #expect(total.load(ordering: .relaxed) == 180)
  }

  @Test func workIsSharedByThreads() {
    let pool = ThreadPool(threads: 2)
    // Two chunks that wait for each other finish only on two threads.
    let arrived = Atomic<Int>(0)
    pool.run(chunks: 2) { _ in
      arrived.add(1, ordering: .sequentiallyConsistent)
      var patience = 5000
      while arrived.load(ordering: .sequentiallyConsistent) < 2 && patience > 0 {
        usleep(1000)
        patience -= 1
      }
      #expect(patience > 0)
    }
  }

  @Test(arguments: [1, 2, 3, 8]) func everyTaskRunsOnce(threads: Int) {
    let pool = ThreadPool(threads: threads)
    for (tasks, limit) in [(0, 2), (1, 4), (7, 1), (7, 2), (8, 16), (1000, 5)] {
      var seen = [UInt8](repeating: 0, count: tasks)
      seen.withUnsafeMutableBufferPointer { seen in
        nonisolated(unsafe) let seen = seen
        pool.run(tasks: tasks, threads: limit) { thread, task in
          #expect((0..<max(1, min(threads, limit, tasks))).contains(thread))
          seen[task] += 1
        }
      }
      #expect(seen.allSatisfy { $0 == 1 })
    }
  }

  /// Threads that are all at work have the same tasks in every run: the first half is the caller's.
  @Test func threadsKeepTheirTasks() {
    let pool = ThreadPool(threads: 2)
    for _ in 0..<50 {
      let arrived = Atomic<Int>(0)
      pool.run(tasks: 2, threads: 2) { thread, task in
        arrived.add(1, ordering: .sequentiallyConsistent)
        var patience = 5000
        while arrived.load(ordering: .sequentiallyConsistent) < 2 && patience > 0 {
          usleep(1000)
          patience -= 1
        }
        #expect(patience > 0 && thread == task)
      }
    }
  }

  /// A thread that is done takes what another has not begun.
  @Test func waitingTasksAreTakenOver() {
    let pool = ThreadPool(threads: 2)
    let others = Atomic<Int>(0)
    pool.run(tasks: 8, threads: 2) { _, task in
      guard task == 4 else {
        others.add(1, ordering: .sequentiallyConsistent)
        return
      }
      var patience = 5000
      while others.load(ordering: .sequentiallyConsistent) < 7 && patience > 0 {
        usleep(1000)
        patience -= 1
      }
      #expect(patience > 0)
    }
  }

  @Test func nestedRunsAreSerial() {
    let pool = ThreadPool(threads: 4)
    let total = Atomic<Int>(0)
    pool.run(chunks: 8) { _ in
      let outer = pthread_self()
      pool.run(chunks: 8) { _ in
        #expect(pthread_equal(pthread_self(), outer) != 0)
        total.add(1, ordering: .relaxed)
      }
    }
    #expect(total.load(ordering: .relaxed) == 64)
  }

  @Test func severalCallersAtOnce() {
    let pool = ThreadPool(threads: 3)
    let callers = ThreadPool(threads: 4)
    let total = Atomic<Int>(0)
    callers.run(chunks: 4) { _ in
      for _ in 0..<500 { pool.run(chunks: 5) { _ in total.add(1, ordering: .relaxed) } }
    }
    #expect(total.load(ordering: .relaxed) == 10_000)
  }

  @Test func rangesCoverEverythingOnce() {
    let pool = ThreadPool(threads: 3)
    for count in [0, 1, 2, 5, 100, 1001] {
      let total = Atomic<Int>(0)
      let pieces = Atomic<Int>(0)
      pool.forRanges(count, grain: 10) { range in
        total.add(range.reduce(0, +), ordering: .relaxed)
        pieces.add(1, ordering: .relaxed)
      }
      #expect(total.load(ordering: .relaxed) == count * (count - 1) / 2)
      #expect(pieces.load(ordering: .relaxed) <= max(1, min(3, count / 10)))
    }
  }

  @Test func poolsComeAndGo() {
    for threads in 2..<30 {
      let pool = ThreadPool(threads: 1 + threads % 5)
      let total = Atomic<Int>(0)
      pool.run(chunks: threads) { _ in total.add(1, ordering: .relaxed) }
      #expect(total.load(ordering: .relaxed) == threads)
    }
  }

  /// The child of a fork has none of the parent's threads; the pool starts new ones there and the parent's go on.
  @Test func worksAfterFork() throws {
    let pool = ThreadPool(threads: 3)
    func twoThreadsMeet() -> Bool {
      let arrived = Atomic<Int>(0)
      let met = Atomic<Int>(0)
      pool.run(chunks: 2) { _ in
        arrived.add(1, ordering: .sequentiallyConsistent)
        for _ in 0..<5000 {
          if arrived.load(ordering: .sequentiallyConsistent) == 2 {
            met.add(1, ordering: .relaxed)
            return
          }
          usleep(1000)
        }
      }
      return met.load(ordering: .relaxed) == 2
    }
    #expect(twoThreadsMeet())
    // `fork` is hidden from Swift; the symbol is the C library's.
    let symbol = try #require(dlsym(nil, "fork"))
    let fork = unsafeBitCast(symbol, to: (@convention(c) () -> pid_t).self)
    let child = fork()
    if child == 0 {
      alarm(20)
      _exit(twoThreadsMeet() ? 0 : 1)
    }
    var status: Int32 = -1
    #expect(waitpid(child, &status, 0) == child)
    #expect(status == 0)
    #expect(twoThreadsMeet())
  }

  @Test func processorCount() {
    #expect(ProcessorCount.available >= 1)
    #expect(ProcessorCount.parseCPUMax("max 100000\n") == nil)
    #expect(ProcessorCount.parseCPUMax("200000 100000\n") == 2)
    #expect(ProcessorCount.parseCPUMax("150000 100000\n") == 2)
    #expect(ProcessorCount.parseCPUMax("1000 100000\n") == 1)
    #expect(ProcessorCount.parseCPUMax("") == nil)
    #expect(ProcessorCount.parseQuota("-1\n", "100000\n") == nil)
  }
}
