import Support

/// How far to lean a policy's logits towards more or fewer steps, for every setting of the quality knob.
///
/// The choice is the largest of `logit + shift · steps / largest steps`. A shift of 0, at quality 0.5, is the policy as it
/// was trained; the training writes the shifts at which the mean steps of its prompts move evenly to the smallest
/// (quality 0) and the largest (quality 1).
public struct QualityCurve: Sendable, Equatable {
  public struct Point: Sendable, Equatable {
    public var quality: Double
    public var shift: Double
    /// Of the prompts the curve was measured on.
    public var meanSteps: Double

    public init(quality: Double, shift: Double, meanSteps: Double) {
      self.quality = quality
      self.shift = shift
      self.meanSteps = meanSteps
    }
  }

  /// Ascending in quality and in shift, from 0 to 1.
  public let points: [Point]

  /// For policies that bring none: shifts that outweigh logits apart by 8, and at the very ends any logits.
  public static let standard = QualityCurve(
    unchecked: [(0, -1e6), (0.01, -8), (0.5, 0), (0.99, 8), (1, 1e6)].map {
      Point(quality: $0.0, shift: $0.1, meanSteps: .nan)
    })

  private init(unchecked points: [Point]) { self.points = points }

  /// Nil unless the points ascend from quality 0 to 1.
  public init?(_ points: [Point]) {
    guard points.first?.quality == 0, points.last?.quality == 1, points.allSatisfy({ $0.shift.isFinite }),
      zip(points, points.dropFirst()).allSatisfy({ $0.quality < $1.quality && $0.shift <= $1.shift })
    else { return nil }
    self.points = points
  }

  /// Nil when the key is absent; throws `.corrupt` for anything that is not a curve.
  init?(json: JSON?, file: String) throws(Failure) {
    guard let json, !json.isNull else { return nil }
    let points = json.array?.compactMap { entry -> Point? in
      guard let quality = entry["quality"]?.double, let shift = entry["shift"]?.double else { return nil }
      return Point(quality: quality, shift: shift, meanSteps: entry["mean_steps"]?.double ?? .nan)
    }
    guard let points, points.count == json.array?.count, let curve = QualityCurve(points) else {
      throw Failure(
        .corrupt, "'quality_curve' must ascend from quality 0 to 1", component: "policy", file: file,
        expected: "[{\"quality\": 0, \"shift\": …}, …]")
    }
    self = curve
  }

  public var json: JSON {
    .array(
      points.map {
        .object(["quality": JSON($0.quality), "shift": JSON($0.shift), "mean_steps": JSON($0.meanSteps)])
      })
  }

  /// Between the points along straight lines; `quality` is clamped to 0…1.
  public func shift(_ quality: Double) -> Double {
    let wanted = min(max(quality, 0), 1)
    guard let upper = points.firstIndex(where: { $0.quality >= wanted }), upper > 0 else {
      return points.first?.shift ?? 0
    }
    let (a, b) = (points[upper - 1], points[upper])
    return a.shift + (b.shift - a.shift) * (wanted - a.quality) / (b.quality - a.quality)
  }
}
