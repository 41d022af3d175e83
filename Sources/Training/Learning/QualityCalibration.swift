import Adaptive
import Support

/// Finds the shifts of the quality knob from the logits that a trained policy gives its prompts.
enum QualityCalibration {
  static let points = 11

  /// Mean steps move along straight lines from the smallest count (quality 0) over the trained mean (0.5) to the largest.
  static func curve(logits: [[Double]], stepSet: [Int]) -> QualityCurve {
    guard let smallest = stepSet.first, let largest = stepSet.last, !logits.isEmpty else { return .standard }
    let trained = meanSteps(logits, stepSet, shift: 0)
    // Twice the widest gap between two logits, over the narrowest gap between step counts, decides every choice.
    let spread = logits.reduce(0.0) { max($0, ($1.max() ?? 0) - ($1.min() ?? 0)) }
    let gap = zip(stepSet, stepSet.dropFirst()).map { Double($1 - $0) / Double(largest) }.min() ?? 1
    let limit = 2 * (spread + 1) / gap
    let curve = (0..<points).map { index -> QualityCurve.Point in
      let quality = Double(index) / Double(points - 1)
      let shift: Double
      if quality == 0.5 {
        shift = 0
      } else if quality < 0.5 {
        let wanted = Double(smallest) + (trained - Double(smallest)) * quality * 2
        shift = quality == 0 ? -limit : bisect(-limit, 0) { meanSteps(logits, stepSet, shift: $0) < wanted }
      } else {
        let wanted = trained + (Double(largest) - trained) * (quality * 2 - 1)
        shift = quality == 1 ? limit : bisect(0, limit) { meanSteps(logits, stepSet, shift: $0) < wanted }
      }
      return QualityCurve.Point(
        quality: quality, shift: shift, meanSteps: meanSteps(logits, stepSet, shift: shift))
    }
    return QualityCurve(curve) ?? .standard
  }

  static func choice(_ logits: [Double], _ stepSet: [Int], shift: Double) -> Int {
    let shifted = LearnedStepPolicy.shifted(logits, stepSet: stepSet, by: shift)
    return shifted.firstIndex(of: shifted.max() ?? 0) ?? 0
  }

  static func meanSteps(_ logits: [[Double]], _ stepSet: [Int], shift: Double) -> Double {
    logits.reduce(0) { $0 + Double(stepSet[choice($1, stepSet, shift: shift)]) } / Double(max(1, logits.count))
  }

  /// Where `isBelow` turns from true to false.
  private static func bisect(_ low: Double, _ high: Double, _ isBelow: (Double) -> Bool) -> Double {
    var (low, high) = (low, high)
    for _ in 0..<60 {
      let middle = (low + high) / 2
      if isBelow(middle) { low = middle } else { high = middle }
    }
    return (low + high) / 2
  }
}
