import Graph
import Support
import Synchronization

/// Runs tasks `0..<count` on at most `slots` threads, each its share in order, then what others have not begun.
///
/// A slot is one thread's place in the scratch memory. Before every task the cancel token is polled, so a task should
/// take no more than some 20 ms. Results must not depend on the slot.
func runTasks(
  _ count: Int, slots: Int, context: RunContext, _ body: (_ slot: Int, _ task: Int) -> Void
) throws {
  let stopped = Atomic<Bool>(false)
  try context.checkCancelled()
  context.pool.run(tasks: count, threads: slots) { slot, task in
    guard !stopped.load(ordering: .relaxed) else { return }
    do {
      if task > 0 { try context.checkCancelled() }
      body(slot, task)
    } catch {
      stopped.store(true, ordering: .relaxed)
    }
  }
  if stopped.load(ordering: .relaxed) {
    try context.checkCancelled()
    throw Failure(.cancelled, "the run was cancelled")
  }
}

/// Cuts a run's scratch memory into 64-byte aligned pieces; takes heap memory where the planner gave too little.
struct ScratchMemory {
  private var rest: UnsafeMutableRawBufferPointer
  private var blocks: [HeapBlock] = []

  init(_ memory: UnsafeMutableRawBufferPointer) { rest = memory }

  /// Whether the planner gave too little.
  var tookHeap: Bool { !blocks.isEmpty }

  /// Bytes that `take` uses for `count` floats.
  static func byteCount(floats count: Int) -> Int { (count * 4 + 63) & ~63 }

  /// What `body` takes is free again after it.
  mutating func lend(_ body: (inout ScratchMemory) throws -> Void) rethrows {
    let all = rest
    try body(&self)
    rest = all
  }

  mutating func takeFloats(_ count: Int) throws(Failure) -> UnsafeMutablePointer<Float> {
    let size = Self.byteCount(floats: count)
    if size <= rest.count, let base = rest.baseAddress {
      rest = UnsafeMutableRawBufferPointer(start: base + size, count: rest.count - size)
      return base.assumingMemoryBound(to: Float.self)
    }
    let block = try HeapBlock(byteCount: size)
    blocks.append(block)
    guard let base = block.bytes.baseAddress else { throw Failure(.outOfMemory, "no scratch memory") }
    return base.assumingMemoryBound(to: Float.self)
  }
}

/// Tasks of `items` with `parts` each, numbered so that threads, whose tasks follow each other, are at the same item at the same
/// time: what all parts of an item read, then lies in the shared cache once.
struct SharedWalk {
  let items: Int
  let parts: Int
  let threads: Int

  subscript(task: Int) -> (item: Int, part: Int) {
    let thread = (0..<threads).last { items * first($0) <= task } ?? 0
    let count = first(thread + 1) - first(thread)
    let (item, part) = (task - items * first(thread)).quotientAndRemainder(dividingBy: count)
    return (item, first(thread) + part)
  }

  /// The first part of every item that is a thread's.
  private func first(_ thread: Int) -> Int { thread * parts / threads }
}
