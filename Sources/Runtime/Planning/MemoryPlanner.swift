/// Assigns offsets in one block of memory to buffers that live for a range of steps.
struct MemoryPlanner {
  /// Cache line and widest vector.
  static let alignment = 64

  struct Buffer {
    var byteCount: Int
    /// First and last step that touch the buffer, both included.
    var lifetime: ClosedRange<Int>
  }

  /// Offsets in the order of `buffers`, and the size of the block. Largest buffers first, each into the smallest gap that
  /// fits among those it overlaps in time.
  static func assign(_ buffers: [Buffer]) -> (offsets: [Int], byteCount: Int) {
    var offsets = [Int](repeating: 0, count: buffers.count)
    var placed: [Int] = []
    var total = 0
    let bySize = buffers.indices.sorted {
      (buffers[$1].byteCount, $0) < (buffers[$0].byteCount, $1)
    }
    for index in bySize {
      let size = aligned(buffers[index].byteCount)
      let neighbours = placed.filter { buffers[$0].lifetime.overlaps(buffers[index].lifetime) }
        .sorted { offsets[$0] < offsets[$1] }
      var best: (offset: Int, gap: Int)?
      var end = 0
      for neighbour in neighbours {
        let gap = offsets[neighbour] - end
        if gap >= size, best.map({ gap < $0.gap }) ?? true { best = (end, gap) }
        end = max(end, offsets[neighbour] + aligned(buffers[neighbour].byteCount))
      }
      offsets[index] = best?.offset ?? end
      total = max(total, offsets[index] + size)
      placed.append(index)
    }
    return (offsets, total)
  }

  private static func aligned(_ byteCount: Int) -> Int {
    max(alignment, (byteCount + alignment - 1) / alignment * alignment)
  }
}
