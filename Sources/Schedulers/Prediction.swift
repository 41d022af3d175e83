import Support

/// A quantity that is linear in the latents of a call and the network's output there.
public struct LinearForm: Sendable {
  public var sample: Double
  public var output: Double

  public init(sample: Double, output: Double) {
    self.sample = sample
    self.output = output
  }
}

/// What the network predicts (`prediction_type`).
enum PredictionType: String, CaseIterable {
  case epsilon
  case sample
  case velocity = "v_prediction"
  case flow = "flow_prediction"

  /// The clean latents x0 implied by the output, for latents `signal * x0 + noise * epsilon`.
  ///
  /// Velocity is `cos φ * epsilon - sin φ * x0` with `tan φ = noise / signal` (Salimans & Ho 2022), whatever the
  /// overall scale of the latents; flow is `epsilon - x0`.
  func original(signal: Double, noise: Double) -> LinearForm {
    switch self {
    case .epsilon: return LinearForm(sample: 1 / signal, output: -noise / signal)
    case .sample: return LinearForm(sample: 0, output: 1)
    case .velocity:
      let norm = (signal * signal + noise * noise).squareRoot()
      return LinearForm(sample: signal / (norm * norm), output: -noise / norm)
    case .flow: return LinearForm(sample: 1 / (signal + noise), output: -noise / (signal + noise))
    }
  }

  /// The noise epsilon implied by the output, for latents `signal * x0 + noise * epsilon`.
  func epsilon(signal: Double, noise: Double) -> LinearForm {
    switch self {
    case .epsilon: return LinearForm(sample: 0, output: 1)
    case .sample: return LinearForm(sample: 1 / noise, output: -signal / noise)
    case .velocity:
      let norm = (signal * signal + noise * noise).squareRoot()
      return LinearForm(sample: noise / (norm * norm), output: signal / norm)
    case .flow: return LinearForm(sample: 1 / (signal + noise), output: signal / (signal + noise))
    }
  }
}

/// What is done to a predicted x0 before it is used.
enum OriginalClamp {
  case none
  /// `clip_sample`: clamp to ±range.
  case range(Double)
  /// `thresholding` (Saharia et al. 2022): per image, clamp to ±s and divide by s, where s is the `ratio` quantile of
  /// the absolute values, at least 1 and at most `maximum`.
  case dynamic(ratio: Double, maximum: Double)

  var isNone: Bool { if case .none = self { true } else { false } }

  func apply(_ values: UnsafeMutablePointer<Float>, elementCount: Int, imageCount: Int) {
    switch self {
    case .none: return
    case .range(let range):
      let bound = Float(range)
      for i in 0..<elementCount { values[i] = max(-bound, min(bound, values[i])) }
    case .dynamic(let ratio, let maximum):
      let size = elementCount / max(1, imageCount)
      guard size > 0 else { return }
      for image in 0..<imageCount {
        let part = values + image * size
        let sorted = (0..<size).map { abs(part[$0]) }.sorted()
        // Linear interpolation between order statistics, as torch.quantile's default.
        let rank = ratio * Double(size - 1)
        let low = max(0, min(size - 1, Int(rank)))
        let high = min(size - 1, low + 1)
        let quantile = Double(sorted[low]) + (rank - Double(low)) * Double(sorted[high] - sorted[low])
        let bound = Float(min(max(quantile, 1), maximum))
        for i in 0..<size { part[i] = max(-bound, min(bound, part[i])) / bound }
      }
    }
  }
}
