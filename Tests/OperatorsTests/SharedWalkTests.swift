import Testing

@testable import Operators

/// The order of tasks whose threads are to read the same at the same time.
@Suite struct SharedWalkTests {
  @Test(arguments: [(1, 1, 1), (3, 7, 2), (10, 43, 2), (4, 5, 3), (5, 1, 4), (2, 3, 8)])
  func everyPartComesOnce(_ size: (items: Int, parts: Int, threads: Int)) {
    let walk = SharedWalk(items: size.items, parts: size.parts, threads: size.threads)
    let places = (0..<size.items * size.parts).map { walk[$0] }
    #expect(places.allSatisfy { (0..<size.items).contains($0.item) && (0..<size.parts).contains($0.part) })
    #expect(Set(places.map { $0.item * size.parts + $0.part }).count == places.count)
  }

  /// Each half of the tasks goes through all items in order.
  @Test func threadsAreAtTheSameItem() {
    let (items, parts) = (6, 8)
    let walk = SharedWalk(items: items, parts: parts, threads: 2)
    for task in 0..<items * parts / 2 { #expect(walk[task].item == walk[items * parts / 2 + task].item) }
  }
}
