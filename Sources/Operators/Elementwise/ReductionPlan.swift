import Graph
import Support

/// Which elements of a contiguous tensor fall together when some of its axes are reduced.
///
/// Dimensions of size 1 are dropped and neighbours of the same kind merged, so that kept and reduced dimensions alternate.
struct ReductionPlan: Sendable {
  struct Axis: Sendable {
    var size: Int
    var stride: Int
  }

  /// Elements of the result.
  let outputCount: Int
  /// Elements that one result is made of.
  let reducedCount: Int
  /// Elements in a row at the innermost level: of one result if `reducesRows`, of neighbouring results otherwise.
  let rowLength: Int
  /// The innermost merged dimension is reduced.
  let reducesRows: Bool
  /// Merged kept and reduced dimensions outside the row, outermost first.
  let kept: [Axis]
  let reduced: [Axis]

  init(shape: [Int], axes: Set<Int>) {
    var merged: [(axis: Axis, isReduced: Bool)] = []
    var step = 1
    var outputs = 1
    var reducedElements = 1
    for axis in stride(from: shape.count - 1, through: 0, by: -1) {
      let size = shape[axis]
      let isReduced = axes.contains(axis)
      if isReduced { reducedElements *= size } else { outputs *= size }
      if size != 1 {
        if let last = merged.last, last.isReduced == isReduced {
          merged[merged.count - 1].axis.size *= size
        } else {
          merged.append((Axis(size: size, stride: step), isReduced))
        }
      }
      step *= max(size, 1)
    }
    outputCount = outputs
    reducedCount = reducedElements
    reducesRows = merged.first?.isReduced ?? true
    rowLength = merged.first?.axis.size ?? 1
    let outer = merged.dropFirst().reversed()
    kept = outer.filter { !$0.isReduced }.map(\.axis)
    reduced = outer.filter(\.isReduced).map(\.axis)
  }

  /// Where kept row `index` starts: the position of a result if `reducesRows`, of a row of results otherwise.
  func start(ofKept index: Int) -> Int {
    var rest = index
    var offset = 0
    for axis in kept.reversed() {
      offset += rest % axis.size * axis.stride
      rest /= axis.size
    }
    return offset
  }

  /// Offsets, relative to a kept row's start, of the rows that are reduced together, in memory order.
  func reducedOffsets() -> [Int] {
    var offsets = [0]
    for axis in reduced {
      offsets = offsets.flatMap { base in (0..<axis.size).map { base + $0 * axis.stride } }
    }
    return offsets
  }
}
