import Graph
import KernelTable
import Kernels
import Support
import Testing

@testable import Operators

/// How queries are divided among threads, and that the results do not depend on it.
@Suite struct AttentionPartitionTests {
  private static func partition(queries: Int, pairs: Int, sharing: Int = 1, threads: Int) -> AttentionPartition {
    let shape = GemmShape(tileRows: 12, tileColumns: 32, blockDepth: 256, rowStride: 272)
    return AttentionPartition(
      queries: queries, pairs: pairs, sharing: sharing, threads: threads, limit: 96, shape)
  }

  @Test func everyQueryIsInOneGroup() {
    for queries in [1, 3, 12, 35, 36, 96, 97, 144, 768, 769, 4096] {
      for pairs in [1, 2, 3, 5, 40] {
        for threads in [1, 2, 3, 8] {
          let p = Self.partition(queries: queries, pairs: pairs, threads: threads)
          #expect(p.rows * (p.groups - 1) < queries && queries <= p.rows * p.groups && p.rows <= 96)
        }
      }
    }
  }

  /// Five heads of 36 queries, and three of 144, are half of the work for each of two threads.
  @Test func oddHeadsAreDividedEvenly() {
    let five = Self.partition(queries: 36, pairs: 5, threads: 2)
    #expect(five.packsOwn && five.groups == 2 && five.rows == 20)
    let three = Self.partition(queries: 144, pairs: 3, threads: 2)
    #expect(three.packsOwn && three.groups == 2 && three.rows == 72)
    let even = Self.partition(queries: 36, pairs: 10, threads: 2)
    #expect(even.packsOwn && even.groups == 1)
    // Fewer heads than threads, groups that would be less than a tile, and long ones share what is packed once.
    #expect(!Self.partition(queries: 144, pairs: 3, threads: 4).packsOwn)
    #expect(!Self.partition(queries: 10, pairs: 5, threads: 2).packsOwn)
    #expect(!Self.partition(queries: 4096, pairs: 10, threads: 2).packsOwn)
    #expect(!Self.partition(queries: 768, pairs: 10, sharing: 2, threads: 2).packsOwn)
  }

  /// Heads side by side in a row, `sharing` of which have keys and values in common.
  private static func attend(heads: Int, sharing: Int, queries: Int, threads: Int, _ kernels: KernelTable) throws
    -> [Float]
  {
    let (size, keys, keyHeads) = (32, 40, heads / sharing)
    let q = sequence(queries * heads * size, seed: 1)
    let k = sequence(keys * keyHeads * size, seed: 2)
    let v = sequence(keys * keyHeads * size, seed: 3)
    var y = [Float](repeating: .nan, count: queries * heads * size)
    try y.withUnsafeMutableBufferPointer { y in
      try q.withUnsafeBufferPointer { q in
        try k.withUnsafeBufferPointer { k in
          try v.withUnsafeBufferPointer { v in
            func view(_ base: UnsafePointer<Float>?, heads: Int) throws -> HeadView {
              HeadView(base: try #require(base), batchStride: 0, headStride: size, positionStride: heads * size)
            }
            let core = AttentionCore(
              batch: 1, heads: heads, keyHeads: keyHeads, queries: queries, keys: keys, size: size, valueSize: size,
              scale: 0.2, q: try view(q.baseAddress, heads: heads), k: try view(k.baseAddress, heads: keyHeads),
              v: try view(v.baseAddress, heads: keyHeads), y: try view(UnsafePointer(y.baseAddress), heads: heads),
              kernels: kernels)
            let block = try HeapBlock(
              byteCount: AttentionCore.scratchByteCount(
                batch: 1, keyHeads: keyHeads, keys: keys, size: size, valueSize: size, threads: threads, kernels))
            block.bytes.bindMemory(to: Float.self).update(repeating: .nan)
            var scratch = ScratchMemory(block.bytes)
            try core.run(nil, context: RunContext(pool: ThreadPool(threads: threads)), scratch: &scratch)
            #expect(!scratch.tookHeap)
            withExtendedLifetime(block) {}
          }
        }
      }
    }
    return y
  }

  /// The same bits for any number of threads, which take heads in two pieces and steal them from each other.
  @Test(arguments: [(5, 1, 36), (3, 1, 144), (6, 2, 36), (9, 3, 100), (7, 1, 13)])
  func threadsDoNotMatter(_ size: (heads: Int, sharing: Int, queries: Int)) throws {
    for kernels in Kernels.supported {
      let alone = try Self.attend(
        heads: size.heads, sharing: size.sharing, queries: size.queries, threads: 1, kernels)
      #expect(!alone.contains { !$0.isFinite })
      for threads in [2, 3, 4] {
        let together = try Self.attend(
          heads: size.heads, sharing: size.sharing, queries: size.queries, threads: threads, kernels)
        #expect(together == alone, "\(kernels.name), \(threads) threads")
      }
    }
  }
}
