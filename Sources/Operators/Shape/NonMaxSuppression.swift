import Graph
import Support

/// NonMaxSuppression: keeps the best boxes of every class that do not overlap a better one too much.
struct NonMaxSuppression: DynamicOperator {
  /// Boxes are (x centre, y centre, width, height) instead of two corners (y1, x1, y2, x2).
  let centerPointBox: Bool

  init(_ node: Node) throws { centerPointBox = try node.bool("center_point_box", default: false) }

  private struct Box {
    var top: Double
    var left: Double
    var bottom: Double
    var right: Double

    var area: Double { (bottom - top) * (right - left) }

    func overlap(_ other: Box) -> Double {
      let height = min(bottom, other.bottom) - max(top, other.top)
      let width = min(right, other.right) - max(left, other.left)
      guard height > 0, width > 0 else { return 0 }
      let union = area + other.area - height * width
      return union > 0 ? height * width / union : 0
    }
  }

  private func box(_ numbers: ArraySlice<Double>) -> Box {
    let n = Array(numbers)
    if centerPointBox {
      return Box(top: n[1] - n[3] / 2, left: n[0] - n[2] / 2, bottom: n[1] + n[3] / 2, right: n[0] + n[2] / 2)
    }
    return Box(top: min(n[0], n[2]), left: min(n[1], n[3]), bottom: max(n[0], n[2]), right: max(n[1], n[3]))
  }

  func evaluate(_ inputs: [Value?], context: RunContext) throws -> [Value?] {
    let boxes = try inputs.tensorValue(at: 0, named: "boxes")
    let scores = try inputs.tensorValue(at: 1, named: "scores")
    guard boxes.rank == 3, scores.rank == 3, boxes.shape[2] == 4, boxes.shape[0] == scores.shape[0],
      boxes.shape[1] == scores.shape[2]
    else {
      throw Failure(
        .shapeMismatch, "'boxes' and 'scores' do not fit", expected: "[B, N, 4] and [B, C, N]",
        actual: "\(boxes.shape) and \(scores.shape)")
    }
    let limit = try inputs.integer(at: 2, named: "max_output_boxes_per_class") ?? 0
    func threshold(_ index: Int, _ name: String) throws -> Double? {
      guard let tensor = try inputs.optionalTensorValue(at: index, named: name) else { return nil }
      guard tensor.count == 1 else { throw Failure(.shapeMismatch, "input '\(name)' must have one element") }
      return try tensor.numbers()[0]
    }
    let overlapLimit = try threshold(3, "iou_threshold") ?? 0
    let scoreLimit = try threshold(4, "score_threshold") ?? -.infinity
    guard overlapLimit >= 0, overlapLimit <= 1 else {
      throw Failure(.outOfRange, "iou_threshold \(overlapLimit) must lie in 0...1")
    }
    let (count, classes) = (boxes.shape[1], scores.shape[1])
    let corners = try boxes.numbers()
    let values = try scores.numbers()
    var selected: [Int64] = []
    for batch in 0..<boxes.shape[0] {
      let candidates = (0..<count).map { box(corners[((batch * count + $0) * 4)..<((batch * count + $0 + 1) * 4)]) }
      for category in 0..<classes {
        try context.checkCancelled()
        let base = (batch * classes + category) * count
        let order = (0..<count).filter { values[base + $0] > scoreLimit }
          .sorted { values[base + $0] == values[base + $1] ? $0 < $1 : values[base + $0] > values[base + $1] }
        var kept: [Int] = []
        for index in order where kept.count < limit {
          if kept.allSatisfy({ candidates[$0].overlap(candidates[index]) <= overlapLimit }) { kept.append(index) }
        }
        for index in kept { selected += [Int64(batch), Int64(category), Int64(index)] }
      }
    }
    return [.tensor(try Tensor(type: .int64, shape: [selected.count / 3, 3], values: selected))]
  }
}
