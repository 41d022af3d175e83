import Support

/// One run's sampling schedule and solver state: where the network is called, and how its output moves the latents.
///
/// A scheduler belongs to one run at a time (it keeps previous network outputs); make one per run with
/// ``SchedulerFactory/make(className:configuration:steps:eta:dynamicShift:)``. It holds no threads and reads no files.
///
/// The unit of progress is the *network call*: most solvers make one per step, Heun and Runge-Kutta make more, so
/// `timesteps.count` may differ from `steps`. A run is
///
///     try scheduler.begin(elementCount: latents.count, imageCount: batch)
///     for call in scheduler.timesteps.indices {
///       // network input = latents * modelInputScale(call), timestep = timesteps[call]
///       try scheduler.step(call: call, modelOutput: output, sample: latents, noise: draw)
///     }
///
/// Latents start as standard normal noise times `initialNoiseSigma`.
public protocol Scheduler: AnyObject {
  /// The diffusers class whose trajectory this follows, such as `DDIMScheduler`.
  var className: String { get }
  /// The number of steps asked for.
  var steps: Int { get }
  /// The timestep of every network call, in order, as given to the network. May have a fraction (Karras, linspace).
  var timesteps: [Double] { get }
  /// Standard deviation of the latents before the first call, for standard normal noise.
  var initialNoiseSigma: Double { get }
  /// Whether `step` asks for fresh noise at least once.
  var drawsNoise: Bool { get }

  /// The factor on the latents before they enter the network at this call.
  func modelInputScale(call: Int) -> Double
  /// The latents of this call are `signalScale * x0 + noiseScale * noise`.
  func signalScale(call: Int) -> Double
  /// See ``signalScale(call:)``.
  func noiseScale(call: Int) -> Double
  /// The noise in the latents of this call, as a sum of latents and network output.
  func epsilonForm(call: Int) -> LinearForm
  /// The clean latents that the output of this call implies, as a sum of latents and output; before clipping.
  func originalForm(call: Int) -> LinearForm
  /// The step (0-based, less than `steps`) that this call belongs to.
  func stepIndex(call: Int) -> Int

  /// Forgets any earlier run and prepares for latents of `elementCount` values in `imageCount` equal parts.
  ///
  /// `firstCall` other than 0 starts in the middle of the schedule (image to image), on latents from `addNoise`; it
  /// must be the first call of its step.
  func begin(elementCount: Int, imageCount: Int, firstCall: Int) throws(Failure)

  /// Moves `sample` from this call's noise level to the next call's, in place.
  ///
  /// Calls must come in order from the first one given to `begin`. `noise` is called at most once and returns
  /// standard normal values, one per element, valid until the next draw. `predictedOriginal`, where given, receives
  /// the prediction of the clean latents that this call's output implies (clipped as the configuration says).
  func step(
    call: Int, modelOutput: UnsafeBufferPointer<Float>, sample: UnsafeMutableBufferPointer<Float>,
    noise: () throws(Failure) -> UnsafeBufferPointer<Float>,
    predictedOriginal: UnsafeMutableBufferPointer<Float>?
  ) throws(Failure)

  // MARK: Correction of earlier outputs

  /// Whether latents and state depend linearly on earlier outputs, and the state is a history of outputs. Only then may
  /// the two functions below be called.
  var allowsCorrection: Bool { get }
  /// Sets the history to zero without forgetting how many entries it has: what is known is exact from here on.
  func clearResponse()
  /// Adds to the values from `offset` of every history entry `direction` times the one-value history of `response`, a
  /// scheduler of the same plan that was led through the same calls with the outputs' errors.
  func correct(
    offset: Int, direction: UnsafeBufferPointer<Float>, response: any Scheduler
  ) throws(Failure)
}

extension Scheduler {
  public func begin(elementCount: Int, imageCount: Int = 1) throws(Failure) {
    try begin(elementCount: elementCount, imageCount: imageCount, firstCall: 0)
  }

  public func step(
    call: Int, modelOutput: UnsafeBufferPointer<Float>, sample: UnsafeMutableBufferPointer<Float>,
    noise: () throws(Failure) -> UnsafeBufferPointer<Float>
  ) throws(Failure) {
    try step(call: call, modelOutput: modelOutput, sample: sample, noise: noise, predictedOriginal: nil)
  }

  /// `output = signalScale * original + noiseScale * noise`: clean latents at the noise level of `call`.
  public func addNoise(
    call: Int, original: UnsafeBufferPointer<Float>, noise: UnsafeBufferPointer<Float>,
    output: UnsafeMutableBufferPointer<Float>
  ) throws(Failure) {
    guard timesteps.indices.contains(call) else {
      throw Failure(.outOfRange, "call \(call) is outside the schedule of \(timesteps.count) calls")
    }
    guard original.count == output.count, noise.count == output.count else {
      throw Failure(
        .shapeMismatch, "noise, clean and noisy latents must have the same size",
        expected: "\(output.count) values", actual: "\(original.count) and \(noise.count)")
    }
    guard let from = original.baseAddress, let with = noise.baseAddress, let into = output.baseAddress else { return }
    WeightedSum.store(
      into: into, count: output.count,
      [Term(signalScale(call: call), from), Term(noiseScale(call: call), with)])
  }
}
