import Glibc
import Support

/// The training noise schedule: cumulative products of `1 - beta` per training timestep.
///
/// The table is computed in single precision exactly as it was when the models were trained and as diffusers samples
/// them, then held in Double: its rounding is part of the model. Everything derived from it is Double.
struct NoiseSchedule {
  /// ᾱ_t for t = 0..<trainTimesteps; falls from nearly 1 to nearly 0.
  var alphasCumprod: [Double]

  var count: Int { alphasCumprod.count }

  init(_ options: TrainingOptions, _ configuration: SchedulerConfiguration) throws(Failure) {
    var betas = Self.betas(options)
    if options.rescaleZeroSNR { betas = Self.rescaledToZeroTerminalSNR(betas) }
    alphasCumprod = Self.cumulativeProduct(betas.map { 1 - $0 }).map(Double.init)
    guard alphasCumprod.allSatisfy({ $0.isFinite && $0 >= 0 && $0 <= 1 }) else {
      throw configuration.failure(.outOfRange, "the betas of this configuration give no falling noise schedule")
    }
  }

  /// Sigma schedulers replace an ᾱ of zero at the last timestep by 2^-24 so that sigma stays finite (4096).
  mutating func liftTerminalAlpha() {
    if let last = alphasCumprod.indices.last { alphasCumprod[last] = 0x1p-24 }
  }

  /// √((1 - ᾱ) / ᾱ) per training timestep, rising.
  func sigmas() -> [Double] {
    alphasCumprod.map { Double(((1 - Float($0)) / Float($0)).squareRoot()) }
  }

  private static func betas(_ options: TrainingOptions) -> [Float] {
    if let trained = options.trainedBetas { return trained.map { Float($0) } }
    let count = options.trainTimesteps
    switch options.betaSchedule {
    case .linear:
      return linspace(Float(options.betaStart), Float(options.betaEnd), count)
    case .scaledLinear:
      return linspace(Float(options.betaStart.squareRoot()), Float(options.betaEnd.squareRoot()), count).map { $0 * $0 }
    case .sigmoid:
      let (low, high) = (Float(options.betaStart), Float(options.betaEnd))
      return linspace(-6, 6, count).map { 1 / (1 + expf(-$0)) * (high - low) + low }
    case .squaredCosine:
      // Nichol & Dhariwal 2021, offset 0.008, betas capped at 0.999.
      return betas(count) { t in
        let c = cos((t + 0.008) / 1.008 * Double.pi / 2)
        return c * c
      }
    case .exponential:
      return betas(count) { t in exp(t * -12) }
    case .laplace:
      return betas(count) { t in
        let sign = t > 0.5 ? -1.0 : 1.0
        let lambda = -0.5 * sign * log(1 - 2 * abs(0.5 - t) + 1e-6)
        let snr = exp(lambda)
        return (snr / (1 + snr)).squareRoot()
      }
    }
  }

  /// Betas of a given cumulative function ᾱ(t), t from 0 to 1.
  private static func betas(_ count: Int, _ alphaBar: (Double) -> Double) -> [Float] {
    (0..<count).map { i in
      let (t1, t2) = (Double(i) / Double(count), Double(i + 1) / Double(count))
      return Float(min(1 - alphaBar(t2) / alphaBar(t1), 0.999))
    }
  }

  /// Filled from both ends towards the middle in single precision with fused products, as torch.linspace does.
  private static func linspace(_ start: Float, _ end: Float, _ count: Int) -> [Float] {
    guard count > 1 else { return [start] }
    let step = (end - start) / Float(count - 1)
    return (0..<count).map { i in
      i < count / 2 ? start.addingProduct(step, Float(i)) : end.addingProduct(-step, Float(count - 1 - i))
    }
  }

  /// Accumulated in Double, each entry rounded to single precision, as torch.cumprod does on the CPU.
  private static func cumulativeProduct(_ alphas: [Float]) -> [Float] {
    var product = 1.0
    return alphas.map { alpha in
      product *= Double(alpha)
      return Float(product)
    }
  }

  /// Lin et al. 2024, algorithm 1: shift and scale √ᾱ so that the last is zero and the first unchanged.
  private static func rescaledToZeroTerminalSNR(_ betas: [Float]) -> [Float] {
    let roots = cumulativeProduct(betas.map { 1 - $0 }).map { $0.squareRoot() }
    guard let first = roots.first, let last = roots.last, first != last else { return betas }
    let scale = first / (first - last)
    let squares = roots.map { root in
      let scaled = (root - last) * scale
      return scaled * scaled
    }
    return squares.indices.map { i in 1 - (i == 0 ? squares[0] : squares[i] / squares[i - 1]) }
  }
}
