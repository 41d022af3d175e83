import Support

/// ᾱ at every call and at the timestep each call leads to, for the schedulers that work on alphas.
struct AlphaSteps {
  let timesteps: [Double]
  /// Per call.
  let current: [Double]
  /// Per call: ᾱ after the step; `final` where the next timestep is negative.
  let next: [Double]

  init(_ schedule: NoiseSchedule, timesteps: [Double], next: [Double], final: Double) throws(Failure) {
    self.timesteps = timesteps
    var (current, after) = ([Double](), [Double]())
    for timestep in timesteps { current.append(try schedule.alpha(at: timestep)) }
    for timestep in next { after.append(timestep < 0 ? final : try schedule.alpha(at: timestep)) }
    self.current = current
    self.next = after
  }

  func plan(
    className: String, steps: Int, prediction: PredictionType, clamp: OriginalClamp, drawsNoise: Bool
  ) -> SolverPlan {
    SolverPlan(
      className: className, steps: steps, timesteps: timesteps,
      signalScales: current.map { $0.squareRoot() }, noiseScales: current.map { (1 - $0).squareRoot() },
      drawsNoise: drawsNoise, prediction: prediction, clamp: clamp)
  }
}

extension NoiseSchedule {
  /// ᾱ at an integer timestep. Throws `.outOfRange` beyond the training schedule, where `steps_offset` can lead.
  func alpha(at timestep: Double) throws(Failure) -> Double {
    guard let index = Int(exactly: timestep), alphasCumprod.indices.contains(index) else {
      throw Failure(
        .outOfRange, "timestep \(timestep) is beyond the training schedule: fewer steps or a smaller steps_offset",
        expected: "0 to \(count - 1)")
    }
    return alphasCumprod[index]
  }
}
