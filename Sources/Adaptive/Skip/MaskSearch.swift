import Support

/// The best set of network calls for a given number of them, by dynamic programming over stretches between calls.
///
/// A stretch's cost may depend on its two ends and on the network call before it (a polynomial of degree two looks back
/// one call further than the stretch starts), so the state is a pair of neighbouring calls.
public struct MaskSearch: Sendable {
  public let calls: Int
  /// Most skips in a row.
  public let maximumSkips: Int

  public init(calls: Int, maximumSkips: Int) {
    self.calls = calls
    self.maximumSkips = maximumSkips
  }

  /// The cheapest runs, first call included, for exactly `count` network calls. `cost(before, start, end)` is the cost of
  /// skipping the calls between `start` and `end`; `end` = `calls` is the end of the run, `before` -1 at the start; infinite
  /// where one of them must not be skipped. Throws `.outOfRange` where `count` calls cannot cover the schedule or all that
  /// must run.
  public func best(
    count: Int, cost: (_ before: Int, _ start: Int, _ end: Int) -> Double
  ) throws(Failure) -> (runs: [Int], cost: Double) {
    let least = (calls + maximumSkips) / (maximumSkips + 1)
    guard count >= least, count <= calls else {
      throw Failure(
        .outOfRange, "that many network calls cannot cover the schedule", component: "skip",
        expected: "\(least)…\(calls)", actual: "\(count)")
    }
    let reach = maximumSkips + 1
    // table[n][end][gap]: best cost with n calls made, the last at `end`, the one before at `end - gap`; gap 0: none.
    struct Cell {
      var cost = Double.infinity
      var previousGap = -1
    }
    let empty = [[Cell]](repeating: [Cell](repeating: Cell(), count: reach + 1), count: calls)
    var table = [empty]
    table[0][0][0] = Cell(cost: 0, previousGap: 0)
    for made in 1..<max(1, count) {
      var next = empty
      for start in 0..<calls {
        for gap in 0...reach where table[made - 1][start][gap].cost.isFinite {
          let base = table[made - 1][start][gap].cost
          let before = gap == 0 ? -1 : start - gap
          for step in 1...reach where start + step < calls {
            let total = base + cost(before, start, start + step)
            if total < next[start + step][step].cost {
              next[start + step][step] = Cell(cost: total, previousGap: gap)
            }
          }
        }
      }
      table.append(next)
    }
    var best = (cost: Double.infinity, start: 0, gap: 0)
    for start in max(0, calls - reach)..<calls {
      for gap in 0...reach where table[count - 1][start][gap].cost.isFinite {
        let total = table[count - 1][start][gap].cost + cost(gap == 0 ? -1 : start - gap, start, calls)
        if total < best.cost { best = (total, start, gap) }
      }
    }
    guard best.cost.isFinite else {
      throw Failure(
        .outOfRange, "that few network calls leave out one that must run", component: "skip", actual: "\(count)")
    }
    var runs: [Int] = []
    var (position, gap, made) = (best.start, best.gap, count - 1)
    while made >= 0 {
      runs.append(position)
      let previous = table[made][position][gap].previousGap
      position -= gap
      gap = max(0, previous)
      made -= 1
    }
    return (runs.reversed(), best.cost)
  }
}
