/// The part of the noise schedule in which guidance is on (Kynkäänniemi et al. 2024): `start` ≤ progress < `stop`, where
/// progress is 1 - timestep / training timesteps, 0 at pure noise and 1 at the clean picture. Defined on the schedule and
/// not on the step number, so that few steps follow the same path as many.
struct GuidanceInterval: Sendable, Equatable {
  var start = 0.0
  /// 1: to the end, the last call included.
  var stop = 1.0

  func contains(timestep: Double, trainingTimesteps: Int) -> Bool {
    let progress = 1 - timestep / Double(trainingTimesteps)
    // Timesteps are exact where they are whole, their share of the schedule is not.
    let tolerance = 1e-9
    return progress >= start - tolerance && (stop >= 1 || progress < stop - tolerance)
  }
}
