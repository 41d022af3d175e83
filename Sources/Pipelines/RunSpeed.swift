import Support

/// What decides how long a network call takes: the latents and whether it is made for two predictions.
struct RunForm: Hashable, Sendable {
  var latentShape: [Int]
  var isGuided: Bool
  var batching: GuidanceBatching

  init(_ plan: RunPlan, isGuided: Bool) {
    latentShape = plan.latentShape
    self.isGuided = isGuided
    batching = plan.options.guidanceBatching
  }
}

/// What the parts of a run take on this machine, now.
struct RunSpeed: Sendable {
  /// One guided prediction.
  var callMilliseconds: Double
  /// One picture.
  var decodeMilliseconds: Double

  /// Share of a deadline that is planned for: calls vary by a few per cent, and the promise is 10 %.
  static let usableShare = 0.97

  /// The largest number of steps whose network calls take no more than `milliseconds`; 0 where not even one fits.
  /// `calls` grows with the steps; solvers with inner evaluations call the network more often than they step.
  func stepsFitting(
    into milliseconds: Double, atMost limit: Int, calls: (Int) throws(Failure) -> Int
  ) throws(Failure) -> Int {
    var (fitting, beyond) = (0, limit + 1)
    while beyond - fitting > 1 {
      let middle = (fitting + beyond) / 2
      if Double(try calls(middle)) * callMilliseconds <= milliseconds { fitting = middle } else { beyond = middle }
    }
    return fitting
  }
}
