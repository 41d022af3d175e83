import Glibc
import Support

/// The updates of DPM-Solver (Lu et al. 2022) and DPM-Solver++ (Lu et al. 2023): exponential integrators from a noise
/// level `from` to a level `to`, which is cleaner by `h` in log-SNR.
///
/// An update is `sample * x + d0 * D0 + d1 * D1 + d2 * D2 + noise * z`, where D0 is the network's prediction (x0 for the
/// `++` algorithms, epsilon otherwise) and D1, D2 its scaled first and second differences.
struct DPMSolverUpdate {
  enum Algorithm: String, CaseIterable {
    case dpmsolver
    case dpmsolverPlusPlus = "dpmsolver++"
    case sdeDpmsolver = "sde-dpmsolver"
    case sdeDpmsolverPlusPlus = "sde-dpmsolver++"

    var predictsOriginal: Bool { self == .dpmsolverPlusPlus || self == .sdeDpmsolverPlusPlus }
    var drawsNoise: Bool { self == .sdeDpmsolver || self == .sdeDpmsolverPlusPlus }
  }

  /// How the first difference enters: by its value in the middle, or integrated.
  enum Kind: String, CaseIterable {
    case midpoint
    case heun
  }

  let sample: Double
  let d0: Double
  /// The weight of D1 in a second order update.
  let d1: Double
  /// The weights of D1 and D2 in a third order update.
  let thirdD1: Double
  let thirdD2: Double
  let noise: Double

  init(_ algorithm: Algorithm, _ kind: Kind, from: NoiseLevel, to: NoiseLevel) {
    // Without noise at the end (h infinite) the exponentials have limits, which these products keep finite.
    let h = to.lambda - from.lambda
    // exp(-h) and sigma_t exp(h)
    let decay = to.sigma * from.alpha / (to.alpha * from.sigma)
    let growth = to.alpha * from.sigma / from.alpha
    // (e^z - 1) / z - 1 and ((e^z - 1) / z - 1) / z - 1/2
    let phi1: Double
    let phi2: Double
    let scale: Double
    switch algorithm {
    case .dpmsolverPlusPlus:
      sample = to.sigma / from.sigma
      d0 = -to.alpha * (decay - 1)
      (phi1, phi2) = (Phi.first(-h), Phi.second(-h))
      // -alpha ∫: D1 enters with (e^-h - 1)/h + 1 = -phi1(-h), D2 with -((e^-h - 1 + h)/h² - 1/2) = -phi2(-h)
      scale = -to.alpha
      noise = 0
      thirdD2 = scale * phi2
    case .dpmsolver:
      sample = to.alpha / from.alpha
      d0 = -(growth - to.sigma)
      (phi1, phi2) = h.isFinite ? (Phi.first(h), Phi.second(h)) : (0, 0)
      scale = -to.sigma
      noise = 0
      thirdD2 = scale * phi2
    case .sdeDpmsolverPlusPlus:
      sample = to.sigma / from.sigma * decay
      d0 = to.alpha * (1 - decay * decay)
      (phi1, phi2) = (Phi.first(-2 * h), Phi.second(-2 * h))
      scale = -to.alpha
      noise = to.sigma * max(0, 1 - decay * decay).squareRoot()
      // (1 - e^-2h - 2h) / (2h)² - 1/2 = -phi2(-2h) - 1
      thirdD2 = -to.alpha * (phi2 + 1)
    case .sdeDpmsolver:
      sample = to.alpha / from.alpha
      d0 = -2 * (growth - to.sigma)
      (phi1, phi2) = h.isFinite ? (Phi.first(h), Phi.second(h)) : (0, 0)
      scale = -2 * to.sigma
      noise = max(0, growth * growth - to.sigma * to.sigma).squareRoot()
      thirdD2 = scale * phi2
    }
    let integrated = scale * phi1
    thirdD1 = integrated
    d1 = kind == .midpoint ? 0.5 * d0 : integrated
  }
}

/// Differences of the exponential, accurate near zero.
enum Phi {
  /// (e^z - 1) / z - 1
  static func first(_ z: Double) -> Double {
    if z.isInfinite { return z < 0 ? -1 : .infinity }
    // Below this the series' next term is under the rounding of the closed form.
    if abs(z) < 1e-4 { return z / 2 + z * z / 6 + z * z * z / 24 }
    return expm1(z) / z - 1
  }

  /// ((e^z - 1) / z - 1) / z - 1/2
  static func second(_ z: Double) -> Double {
    if z.isInfinite { return z < 0 ? -0.5 : .infinity }
    if abs(z) < 1e-3 { return z / 6 + z * z / 24 + z * z * z / 120 }
    return first(z) / z - 0.5
  }
}

extension SchedulerConfiguration {
  /// `algorithm_type` and `solver_type`, with the names of other solvers' configurations translated as diffusers does.
  func dpmSolverOptions() throws(Failure) -> (DPMSolverUpdate.Algorithm, DPMSolverUpdate.Kind, order: Int) {
    let algorithm: DPMSolverUpdate.Algorithm = try name(
      "algorithm_type", default: .dpmsolverPlusPlus, aliases: ["deis": .dpmsolverPlusPlus])
    let kind: DPMSolverUpdate.Kind = try name(
      "solver_type", default: .midpoint, aliases: ["logrho": .midpoint, "bh1": .midpoint, "bh2": .midpoint])
    if let variance = try text("variance_type"), variance == "learned" || variance == "learned_range" {
      throw failure(.unsupported, "variance_type '\(variance)': networks that predict the variance are not supported")
    }
    return (algorithm, kind, try integer("solver_order", default: 2, in: 1...3))
  }
}
