import Support

/// What decides how long a network call of one kind takes.
struct RunForm: Hashable, Sendable {
  var latentShape: [Int]
  var batching: GuidanceBatching

  init(_ plan: RunPlan) {
    latentShape = plan.latentShape
    batching = plan.options.guidanceBatching
  }
}

/// What the parts of a run take on this machine, now.
struct RunSpeed: Sendable {
  /// One call, guided and not; nil: not known yet.
  var guidedCallMilliseconds: Double?
  var plainCallMilliseconds: Double?
  /// One picture.
  var decodeMilliseconds: Double

  /// Of calls with (true) and without guidance, where all of them have been measured.
  func milliseconds(_ calls: some Sequence<Bool>) -> Double? {
    var sum = 0.0
    for isGuided in calls {
      guard let one = isGuided ? guidedCallMilliseconds : plainCallMilliseconds else { return nil }
      sum += one
    }
    return sum
  }

  /// Share of a deadline that is planned for: calls vary by a few per cent, and the promise is 10 %.
  static let usableShare = 0.97

  /// The largest number of steps whose network calls take no more than `milliseconds`; 0 where not even one fits.
  /// `calls` says of a number of steps which of their network calls are guided; it grows with the steps, and solvers with
  /// inner evaluations call the network more often than they step.
  func stepsFitting(into milliseconds: Double, atMost limit: Int, calls: (Int) throws -> [Bool]) rethrows -> Int {
    var (fitting, beyond) = (0, limit + 1)
    while beyond - fitting > 1 {
      let middle = (fitting + beyond) / 2
      if self.milliseconds(try calls(middle)) ?? .infinity <= milliseconds { fitting = middle } else { beyond = middle }
    }
    return fitting
  }
}
