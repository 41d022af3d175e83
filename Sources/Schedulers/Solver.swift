import Support

/// Everything about a schedule that is fixed before the first call.
struct SolverPlan {
  var className: String
  var steps: Int
  /// Per network call.
  var timesteps: [Double]
  /// Per network call: latents are `signal * x0 + noise * epsilon`.
  var signalScales: [Double]
  var noiseScales: [Double]
  var initialNoiseSigma = 1.0
  /// Latents that grow with sigma are scaled by `1 / √(sigma² + 1)` before the network sees them.
  var scalesModelInput = false
  var drawsNoise = false
  var prediction: PredictionType
  var clamp = OriginalClamp.none
}

/// What the solvers share: the plan, the order of calls, the history, and the checks on every buffer.
///
/// A solver overrides `update` (and `historyDepth` where it looks back). All coefficients are Double; each update is a
/// `WeightedSum` over latents, network output, history and noise.
class Solver: Scheduler {
  let plan: SolverPlan
  private(set) var elementCount = 0
  private(set) var imageCount = 1
  private(set) var firstCall = 0
  private var nextCall = 0
  /// Present after `begin` where `historyDepth` is positive.
  private var storage: LatentHistory?

  init(plan: SolverPlan) throws(Failure) {
    self.plan = plan
    for call in plan.timesteps.indices {
      let form = plan.prediction.original(signal: plan.signalScales[call], noise: plan.noiseScales[call])
      guard form.sample.isFinite, form.output.isFinite else {
        throw Failure(
          .unsupported,
          "\(plan.className): the latents at timestep \(plan.timesteps[call]) are pure noise, from which a network "
            + "with prediction_type '\(plan.prediction.rawValue)' cannot be followed (zero terminal SNR needs "
            + "'v_prediction')")
      }
    }
  }

  var className: String { plan.className }
  var steps: Int { plan.steps }
  var timesteps: [Double] { plan.timesteps }
  var initialNoiseSigma: Double { plan.initialNoiseSigma }
  var drawsNoise: Bool { plan.drawsNoise }

  func signalScale(call: Int) -> Double { plan.signalScales.indices.contains(call) ? plan.signalScales[call] : 1 }
  func noiseScale(call: Int) -> Double { plan.noiseScales.indices.contains(call) ? plan.noiseScales[call] : 0 }
  func stepIndex(call: Int) -> Int { call }

  func modelInputScale(call: Int) -> Double {
    guard plan.scalesModelInput else { return 1 }
    let sigma = noiseScale(call: call)
    return 1 / (sigma * sigma + 1).squareRoot()
  }

  /// Whether a run can start at this call: it opens a step rather than refining one.
  final func opensStep(call: Int) -> Bool { call == 0 || stepIndex(call: call) != stepIndex(call: call - 1) }

  func epsilonForm(call: Int) -> LinearForm {
    plan.prediction.epsilon(signal: signalScale(call: call), noise: noiseScale(call: call))
  }

  func originalForm(call: Int) -> LinearForm {
    plan.prediction.original(signal: signalScale(call: call), noise: noiseScale(call: call))
  }

  /// Overridden where state lives outside `history` or an update is not linear.
  var keepsOutputsOnly: Bool { false }
  final var allowsCorrection: Bool { keepsOutputsOnly && plan.clamp.isNone }

  final func clearResponse() {
    guard let storage else { return }
    for age in 0..<storage.filled { storage[age].update(repeating: 0, count: elementCount) }
  }

  final func correct(
    offset: Int, direction: UnsafeBufferPointer<Float>, response: any Scheduler
  ) throws(Failure) {
    guard allowsCorrection, let response = response as? Solver, response.elementCount == 1, offset >= 0,
      direction.count <= elementCount, offset <= elementCount - direction.count, let errors = direction.baseAddress
    else { throw Failure(.internalError, "\(className) cannot be corrected like this") }
    guard let storage, let answers = response.storage else { return }
    for age in 0..<min(storage.filled, answers.filled) where answers[age][0] != 0 {
      let (into, factor) = (storage[age] + offset, answers[age][0])
      for index in 0..<direction.count { into[index] += factor * errors[index] }
    }
  }

  /// How many latent-sized buffers the solver keeps between calls.
  var historyDepth: Int { 0 }

  /// Called by `begin`: forget what was kept outside `history`.
  func restart() {}

  /// Moves `sample` to the next noise level. `callsMade` calls came before this one in the run.
  func update(
    call: Int, callsMade: Int, output: UnsafePointer<Float>, sample: UnsafeMutablePointer<Float>,
    noise: () throws(Failure) -> UnsafePointer<Float>
  ) throws(Failure) {
    throw Failure(.internalError, "\(className) has no update")
  }

  func begin(elementCount: Int, imageCount: Int, firstCall: Int) throws(Failure) {
    guard elementCount > 0, imageCount > 0, elementCount % imageCount == 0 else {
      throw Failure(.invalidArgument, "\(elementCount) latent values do not divide into \(imageCount) images")
    }
    guard timesteps.indices.contains(firstCall) else {
      throw Failure(.outOfRange, "call \(firstCall) is outside the schedule of \(timesteps.count) calls")
    }
    guard opensStep(call: firstCall) else {
      throw Failure(.invalidArgument, "call \(firstCall) refines a step; a run can only start where a step begins")
    }
    if storage?.elementCount != elementCount {
      storage = historyDepth > 0 ? try LatentHistory(depth: historyDepth, elementCount: elementCount) : nil
    }
    storage?.clear()
    self.elementCount = elementCount
    self.imageCount = imageCount
    self.firstCall = firstCall
    nextCall = firstCall
    restart()
  }

  final func step(
    call: Int, modelOutput: UnsafeBufferPointer<Float>, sample: UnsafeMutableBufferPointer<Float>,
    noise: () throws(Failure) -> UnsafeBufferPointer<Float>,
    predictedOriginal: UnsafeMutableBufferPointer<Float>?
  ) throws(Failure) {
    guard elementCount > 0, call == nextCall, call < timesteps.count else {
      throw Failure(
        .invalidArgument, "scheduler calls must follow begin in order", expected: "call \(nextCall)",
        actual: "call \(call)")
    }
    guard let output = modelOutput.baseAddress, let latents = sample.baseAddress,
      modelOutput.count == elementCount, sample.count == elementCount
    else {
      throw Failure(
        .shapeMismatch, "network output and latents must have the size given to begin",
        expected: "\(elementCount) values", actual: "\(modelOutput.count) and \(sample.count)")
    }
    if let predictedOriginal {
      guard let into = predictedOriginal.baseAddress, predictedOriginal.count == elementCount else {
        throw Failure(
          .shapeMismatch, "the buffer for the predicted original has the wrong size",
          expected: "\(elementCount) values", actual: "\(predictedOriginal.count)")
      }
      storeOriginal(call: call, output: output, sample: latents, into: into)
    }
    let count = elementCount
    try update(
      call: call, callsMade: call - firstCall, output: output, sample: latents,
      noise: { () throws(Failure) -> UnsafePointer<Float> in
        let drawn = try noise()
        guard let values = drawn.baseAddress, drawn.count == count else {
          throw Failure(
            .shapeMismatch, "noise must have the size of the latents", expected: "\(count) values",
            actual: "\(drawn.count)")
        }
        return values
      })
    nextCall = call + 1
  }

  // MARK: For solvers

  /// Writes the clamped prediction of x0 at this call.
  final func storeOriginal(
    call: Int, output: UnsafePointer<Float>, sample: UnsafePointer<Float>, into: UnsafeMutablePointer<Float>
  ) {
    let form = plan.prediction.original(signal: plan.signalScales[call], noise: plan.noiseScales[call])
    WeightedSum.store(into: into, count: elementCount, [Term(form.sample, sample), Term(form.output, output)])
    plan.clamp.apply(into, elementCount: elementCount, imageCount: imageCount)
  }

  /// Writes the predicted noise at this call, re-derived from the clamped x0 where `clamped` asks for it.
  final func storeEpsilon(
    call: Int, output: UnsafePointer<Float>, sample: UnsafePointer<Float>, into: UnsafeMutablePointer<Float>,
    clamped: Bool
  ) {
    let (signal, noise) = (plan.signalScales[call], plan.noiseScales[call])
    if clamped, !plan.clamp.isNone {
      storeOriginal(call: call, output: output, sample: sample, into: into)
      WeightedSum.store(into: into, count: elementCount, [Term(1 / noise, sample), Term(-signal / noise, into)])
    } else {
      let form = plan.prediction.epsilon(signal: signal, noise: noise)
      WeightedSum.store(into: into, count: elementCount, [Term(form.sample, sample), Term(form.output, output)])
    }
  }

  final func sum(into: UnsafeMutablePointer<Float>, _ terms: Term...) {
    WeightedSum.store(into: into, count: elementCount, terms)
  }

  final func sum(into: UnsafeMutablePointer<Float>, _ terms: [Term]) {
    WeightedSum.store(into: into, count: elementCount, terms)
  }

  /// The buffers kept between calls. Exists whenever `historyDepth` is positive and a run has begun.
  final func history() throws(Failure) -> LatentHistory {
    guard let storage else { throw Failure(.internalError, "\(className) has no history") }
    return storage
  }
}
