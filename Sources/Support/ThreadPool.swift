/// Runs chunks of work on a fixed set of threads; the caller's thread takes part.
public final class ThreadPool: Sendable {
  public let threads: Int

  public init(threads: Int) { self.threads = max(1, threads) }

  /// Calls `body(chunk)` once for every chunk in `0..<chunks`, possibly in parallel, and returns when all are done.
  /// Which thread runs a chunk is unspecified; results must not depend on it.
  public func run(chunks: Int, _ body: (Int) -> Void) {
    for chunk in 0..<chunks { body(chunk) }
  }

  /// Splits `0..<count` into ranges of at least `grain` elements and calls `body` once per range.
  public func forRanges(_ count: Int, grain: Int, _ body: (Range<Int>) -> Void) {
    guard count > 0 else { return }
    let pieces = max(1, min(threads, count / max(1, grain)))
    guard pieces > 1 else { return body(0..<count) }
    run(chunks: pieces) { piece in
      body((count * piece / pieces)..<(count * (piece + 1) / pieces))
    }
  }
}
