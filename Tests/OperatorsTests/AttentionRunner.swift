import Graph
import KernelTable
import Support
import Testing

@testable import Operators

/// Attention of one picture with heads side by side in a row, `sharing` of which have keys and values in common, in exactly the scratch memory
/// that it asks for. `strassen`: by Strassen's algorithm.
func runAttention(
  _ q: [Float], _ k: [Float], _ v: [Float], heads: Int = 1, sharing: Int = 1, queries: Int, keys: Int, size: Int,
  valueSize: Int, scale: Float, threads: Int, strassen: Bool = false, _ kernels: KernelTable
) throws -> [Float] {
  let keyHeads = heads / sharing
  var y = [Float](repeating: .nan, count: queries * heads * valueSize)
  try y.withUnsafeMutableBufferPointer { y in
    try q.withUnsafeBufferPointer { q in
      try k.withUnsafeBufferPointer { k in
        try v.withUnsafeBufferPointer { v in
          func view(_ base: UnsafePointer<Float>?, _ heads: Int, _ size: Int) throws -> HeadView {
            HeadView(base: try #require(base), batchStride: 0, headStride: size, positionStride: heads * size)
          }
          let core = AttentionCore(
            batch: 1, heads: heads, keyHeads: keyHeads, queries: queries, keys: keys, size: size, valueSize: valueSize,
            scale: scale, q: try view(q.baseAddress, heads, size), k: try view(k.baseAddress, keyHeads, size),
            v: try view(v.baseAddress, keyHeads, valueSize),
            y: try view(UnsafePointer(y.baseAddress), heads, valueSize), kernels: kernels)
          let algorithm =
            strassen ? StrassenAttention(keys: keys, size: size, valueSize: valueSize, kernels: kernels) : nil
          let block = try HeapBlock(
            byteCount: AttentionCore.scratchByteCount(
              batch: 1, keyHeads: keyHeads, keys: keys, size: size, valueSize: valueSize, threads: threads, kernels,
              strassen: algorithm))
          // What was never written is never used.
          block.bytes.bindMemory(to: Float.self).update(repeating: .nan)
          var scratch = ScratchMemory(block.bytes)
          try core.run(algorithm, context: RunContext(pool: ThreadPool(threads: threads)), scratch: &scratch)
          #expect(!scratch.tookHeap)
          withExtendedLifetime(block) {}
        }
      }
    }
  }
  return y
}
