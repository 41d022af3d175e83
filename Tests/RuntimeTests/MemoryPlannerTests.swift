import Testing

@testable import Runtime

@Suite struct MemoryPlannerTests {
  /// Whatever is alive at the same time must not overlap, and offsets are aligned.
  @Test(arguments: 0..<50) func noOverlap(seed: Int) {
    var state = UInt64(seed) &* 0x9e37_79b9_7f4a_7c15 &+ 1
    func random(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % bound
    }
    let buffers = (0..<60).map { _ -> MemoryPlanner.Buffer in
      let start = random(40)
      return .init(byteCount: random(5000), lifetime: start...(start + random(10)))
    }
    let (offsets, total) = MemoryPlanner.assign(buffers)
    for i in buffers.indices {
      #expect(offsets[i] % MemoryPlanner.alignment == 0)
      #expect(offsets[i] + buffers[i].byteCount <= total)
      for j in 0..<i where buffers[i].lifetime.overlaps(buffers[j].lifetime) {
        let apart =
          offsets[i] + buffers[i].byteCount <= offsets[j] || offsets[j] + buffers[j].byteCount <= offsets[i]
        #expect(apart, "buffers \(i) and \(j) overlap")
      }
    }
  }

  /// A chain needs the memory of two neighbours, not of all its links.
  @Test func chainsReuseMemory() {
    let buffers = (0..<10).map { MemoryPlanner.Buffer(byteCount: 6400, lifetime: $0...($0 + 1)) }
    #expect(MemoryPlanner.assign(buffers).byteCount == 2 * 6400)
  }
}
