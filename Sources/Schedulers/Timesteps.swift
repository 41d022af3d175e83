import Support

/// The three ways to place `steps` timesteps on the training schedule, largest first.
enum Timesteps {
  /// Positions of schedulers that end on the last of `steps` points (DDIM, DDPM, PNDM, Euler, LMS, Heun).
  ///
  /// `rounded` gives integers, as the alpha schedulers use; sigma schedulers keep the fractions of linspace.
  static func inclusive(_ options: TrainingOptions, steps: Int, rounded: Bool) -> [Double] {
    let train = options.trainTimesteps
    switch options.spacing {
    case .linspace:
      let points = linspace(0, Double(train - 1), steps)
      // Single precision, as the sigma schedulers hand fractional timesteps to the network.
      return points.reversed().map { rounded ? $0.rounded(.toNearestOrEven) : Double(Float($0)) }
    case .leading:
      let ratio = train / steps
      return (0..<steps).reversed().map { Double($0 * ratio + options.stepsOffset) }
    case .trailing:
      return trailing(from: train, train: train, steps: steps)
    }
  }

  /// Positions of multistep solvers, which leave out the last of `steps + 1` points (DPM-Solver, UniPC).
  ///
  /// `last` is one more than the largest timestep that may be used (less than the training steps where
  /// `lambda_min_clipped` cuts off the noisiest).
  static func exclusive(_ options: TrainingOptions, last: Int, steps: Int) throws(Failure) -> [Double] {
    switch options.spacing {
    case .linspace:
      let points = linspace(0, Double(last - 1), steps + 1)
      return points.dropFirst().reversed().map { $0.rounded(.toNearestOrEven) }
    case .leading:
      let ratio = last / (steps + 1)
      guard ratio > 0 else {
        throw Failure(.outOfRange, "\(steps) steps do not fit a leading spacing of \(last) training steps")
      }
      return (1...steps).reversed().map { Double($0 * ratio + options.stepsOffset) }
    case .trailing:
      return trailing(from: last, train: options.trainTimesteps, steps: steps)
    }
  }

  /// `count` points from `start` to `end` inclusive; for one point, `start`.
  static func linspace(_ start: Double, _ end: Double, _ count: Int) -> [Double] {
    guard count > 1 else { return [start] }
    let step = (end - start) / Double(count - 1)
    return (0..<count).map { $0 == count - 1 ? end : start + Double($0) * step }
  }

  /// From `from` downwards in strides of `train / steps`, each rounded, minus one. At most `steps` points: where
  /// rounding gives numpy's arange one more, its timestep would be -1.
  private static func trailing(from: Int, train: Int, steps: Int) -> [Double] {
    let ratio = Double(train) / Double(steps)
    // The stride that remains after the first subtraction, as numpy's arange computes it.
    let stride = (Double(from) - ratio) - Double(from)
    let count = min(steps, Int((Double(from) / ratio).rounded(.up)))
    return (0..<max(1, count)).map { (Double(from) + Double($0) * stride).rounded(.toNearestOrEven) - 1 }
  }
}
