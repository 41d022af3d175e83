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

  private static func attend(heads: Int, sharing: Int, queries: Int, threads: Int, _ kernels: KernelTable) throws
    -> [Float]
  {
    let (size, keys, keyHeads) = (32, 40, heads / sharing)
    return try runAttention(
      sequence(queries * heads * size, seed: 1), sequence(keys * keyHeads * size, seed: 2),
      sequence(keys * keyHeads * size, seed: 3), heads: heads, sharing: sharing, queries: queries, keys: keys,
      size: size,
      valueSize: size, scale: 0.2, threads: threads, kernels)
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
