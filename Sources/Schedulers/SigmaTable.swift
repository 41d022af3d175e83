import Glibc
import Support

/// Sigma per training timestep, and the ways to lay out a run's sigmas between its ends.
struct SigmaTable {
  /// Rising.
  let sigmas: [Double]
  private let logarithms: [Double]

  init(_ schedule: NoiseSchedule) throws(Failure) {
    sigmas = schedule.sigmas()
    // Single precision: integer timesteps found from it (Karras) must fall on diffusers' side of .5.
    logarithms = sigmas.map { Double(Float(log($0))) }
    guard sigmas.allSatisfy({ $0.isFinite && $0 > 0 }) else {
      throw Failure(.outOfRange, "the noise schedule has a timestep with no noise or no signal")
    }
  }

  var minimum: Double { sigmas.first ?? 0 }
  var maximum: Double { sigmas.last ?? 0 }

  /// Sigma at a fractional timestep, linear between entries, constant outside.
  func sigma(at timestep: Double) -> Double {
    let low = Int(max(0, min(Double(sigmas.count - 1), timestep)))
    guard timestep > 0, low + 1 < sigmas.count else { return sigmas[low] }
    return sigmas[low] + (sigmas[low + 1] - sigmas[low]) * (timestep - Double(low))
  }

  /// The fractional timestep of a sigma, linear in log sigma.
  func timestep(of sigma: Double) -> Double {
    guard sigmas.count > 1 else { return 0 }
    let value = log(max(sigma, 1e-10))
    // The last entry not above the value.
    var (low, end) = (0, logarithms.count)
    while low + 1 < end {
      let middle = (low + end) / 2
      if logarithms[middle] <= value { low = middle } else { end = middle }
    }
    low = min(low, logarithms.count - 2)
    let weight = (logarithms[low] - value) / (logarithms[low] - logarithms[low + 1])
    let clipped = max(0, min(1, weight))
    return (1 - clipped) * Double(low) + clipped * Double(low + 1)
  }

  /// `steps` sigmas from `largest` to `smallest`. Nil for `.trained`, which follows the timesteps instead.
  static func sequence(_ spacing: SigmaSpacing, from largest: Double, to smallest: Double, steps: Int) -> [Double]? {
    let ramp = Timesteps.linspace(0, 1, steps)
    switch spacing {
    case .trained: return nil
    case .karras:
      // Karras et al. 2022, equation 5, rho = 7.
      let (high, low) = (pow(largest, 1 / 7.0), pow(smallest, 1 / 7.0))
      return ramp.map { pow(high + $0 * (low - high), 7) }
    case .exponential:
      return Timesteps.linspace(log(largest), log(smallest), steps).map { exp($0) }
    case .beta:
      // Lee et al. 2024, quantiles of Beta(0.6, 0.6).
      return ramp.map { smallest + BetaDistribution.quantile(1 - $0, shape: 0.6) * (largest - smallest) }
    }
  }
}

/// The symmetric beta distribution Beta(a, a) on 0...1.
enum BetaDistribution {
  /// The value below which a fraction `probability` of the mass lies.
  static func quantile(_ probability: Double, shape: Double) -> Double {
    guard probability > 0 else { return 0 }
    guard probability < 1 else { return 1 }
    if probability > 0.5 { return 1 - quantile(1 - probability, shape: shape) }
    // Bisection to the last bit: 60 halvings of 0...0.5; a few microseconds per value.
    var (low, high) = (0.0, 0.5)
    for _ in 0..<200 {
      let middle = (low + high) / 2
      if middle == low || middle == high { break }
      if cumulative(middle, shape: shape) < probability { low = middle } else { high = middle }
    }
    return (low + high) / 2
  }

  /// Mass below x for x in 0...0.5, by the power series of the incomplete beta function around 0:
  /// x^a / (a B(a, a)) * Σ_k [Π_{j=1..k} (j - a) / j] * a / (a + k) * x^k.
  static func cumulative(_ x: Double, shape a: Double) -> Double {
    guard x > 0 else { return 0 }
    let logBeta = 2 * lgamma(a) - lgamma(2 * a)
    var (sum, factor, power) = (1.0, 1.0, 1.0)
    for k in 1...200 {
      factor *= (Double(k) - a) / Double(k)
      power *= x
      let term = factor * a / (a + Double(k)) * power
      sum += term
      if term < 1e-17 * sum { break }
    }
    return exp(a * log(x) - logBeta) / a * sum
  }
}
