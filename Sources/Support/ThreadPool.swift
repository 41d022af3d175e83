import CSIMD
import Synchronization

/// Runs chunks of work on a fixed set of threads; the caller's thread takes part.
///
/// Threads start at the first parallel `run` and end with the pool. A pool works again in the child of a `fork`: its
/// threads are then started anew. Any thread may call `run`; while the pool is busy (another thread is inside `run`, or
/// the call comes from inside a chunk), the chunks run one after the other on the calling thread.
public final class ThreadPool: Sendable {
  /// Threads that work on a `run`, the caller's included.
  public let threads: Int
  /// Address of the current `ThreadCrew`; 0 before the first parallel run.
  private let crew = Atomic<UInt>(0)

  /// More threads than `maximumThreads` are never made.
  public static let maximumThreads = 1024

  public init(threads: Int) { self.threads = max(1, min(threads, Self.maximumThreads)) }

  /// One thread per CPU that this process may use.
  public convenience init() { self.init(threads: ProcessorCount.available) }

  deinit { ThreadCrew.at(crew.load(ordering: .acquiring))?.shutDown() }

  /// Calls `body(chunk)` once for every chunk in `0..<chunks`, possibly in parallel, and returns when all are done.
  /// Which thread runs a chunk is unspecified; results must not depend on it.
  public func run(chunks: Int, _ body: (Int) -> Void) {
    run(tasks: chunks, threads: chunks) { _, chunk in body(chunk) }
  }

  /// Calls `body(thread, task)` once for every task in `0..<tasks` on at most so many threads, numbered from 0, and
  /// returns when all are done. Every thread has its share of the tasks, in order: as a rule the same from run to run, so
  /// that it finds its part of the data in its own cache. A thread that is done takes what others have not begun.
  public func run(tasks: Int, threads: Int, _ body: (_ thread: Int, _ task: Int) -> Void) {
    let threads = min(threads, tasks, self.threads)
    if threads > 1, let crew = currentCrew(), crew.enter() {
      withoutActuallyEscaping(body) { crew.run(tasks: tasks, threads: threads, $0) }
      crew.leave()
    } else {
      var task = 0
      while task < tasks {
        body(0, task)
        task += 1
      }
    }
    // The host's thread comes back as it was.
    csimd_tiles_end()
  }

  /// Splits `0..<count` into ranges of at least `grain` elements and calls `body` once per range.
  public func forRanges(_ count: Int, grain: Int, _ body: (Range<Int>) -> Void) {
    guard count > 0 else { return }
    let pieces = max(1, min(threads, count / max(1, grain)))
    guard pieces > 1 else { return body(0..<count) }
    run(chunks: pieces) { piece in
      let (quotient, rest) = count.quotientAndRemainder(dividingBy: pieces)
      let start = piece * quotient + min(piece, rest)
      body(start..<(start + quotient + (piece < rest ? 1 : 0)))
    }
  }

  /// The crew of this process: made on first use, and again when the process is a fork of the one that made it (its
  /// threads exist only in the parent; the old crew's memory is left alone because its locks may be held for ever).
  private func currentCrew() -> ThreadCrew? {
    let address = crew.load(ordering: .acquiring)
    if let crew = ThreadCrew.at(address), crew.generation == ForkGeneration.current { return crew }
    guard let fresh = ThreadCrew(workers: threads - 1) else { return nil }
    let (exchanged, winner) = crew.compareExchange(
      expected: address, desired: fresh.address, ordering: .acquiringAndReleasing)
    if exchanged { return fresh }
    fresh.shutDown()
    return ThreadCrew.at(winner)
  }
}
