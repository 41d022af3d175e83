import Adaptive
import Glibc
import Graph
import Schedulers
import Support

/// One trajectory: an image, or all images of a run that decide together. Measures what its rule asks for, predicts
/// skipped outputs and corrects the solver afterwards. Latents and outputs are this trajectory's part of the run's.
final class SkipTrajectory {
  /// First element and number of elements in the run's latents.
  let offset: Int
  let count: Int
  private let scheduler: any Scheduler
  private let rule: any SkipRule
  private let settings: SkipSettings
  private var history: SkipHistory
  private let axis: [Double]
  private var outputs: [SkipQuantity: OutputHistory] = [:]
  private let predicted: Tensor
  private var heldQuantity: SkipQuantity?

  /// A scheduler for one value that answers how the solver carries the errors of skipped outputs; nil: no correction.
  private let response: (any Scheduler)?
  private var answer: [Float] = [0]
  /// The polynomial of the running stretch: its nodes, and whether anything was skipped by it.
  private var stretch: (order: Int, quantity: SkipQuantity)?

  // Latents after earlier steps, for the signals that need them, newest first.
  private var latents: OutputHistory?
  private var inputs: (run: Tensor, previous: Tensor, output: Tensor)?
  private var hasInput = false
  private var hasOutput = false
  private var noises: OutputHistory?
  private var before: Tensor?

  init(
    settings: SkipSettings, context: SkipContext, scheduler: any Scheduler, response: (any Scheduler)?,
    offset: Int, count: Int
  ) throws {
    self.settings = settings
    self.scheduler = scheduler
    self.offset = offset
    self.count = count
    rule = try settings.makeRule(context)
    let logSNR = scheduler.timesteps.indices.map {
      Self.logarithm(scheduler.signalScale(call: $0)) - Self.logarithm(scheduler.noiseScale(call: $0))
    }
    history = SkipHistory(calls: scheduler.timesteps.count, logSNR: logSNR)
    switch settings.axis {
    case .logSNR: axis = logSNR
    case .timestep: axis = scheduler.timesteps
    case .sigma: axis = logSNR.map { Self.exponential(-$0) }
    }
    for quantity in rule.quantities { outputs[quantity] = try OutputHistory(depth: rule.depth, count: count) }
    predicted = try Tensor(type: .float32, shape: [count])
    self.response = settings.corrects(context) ? response : nil
    try self.response?.begin(elementCount: 1, imageCount: 1)
    let signals = rule.signals
    if signals.contains(.thirdDifference) {
      latents = try OutputHistory(depth: 4, count: count)
    } else if signals.contains(.latentChange) {
      latents = try OutputHistory(depth: 2, count: count)
    }
    if signals.contains(.networkChange) {
      inputs = (
        try Tensor(type: .float32, shape: [count]), try Tensor(type: .float32, shape: [count]),
        try Tensor(type: .float32, shape: [count])
      )
    }
    if signals.contains(.curvature) {
      noises = try OutputHistory(depth: 3, count: count)
      before = try Tensor(type: .float32, shape: [count])
    }
  }

  /// Of a schedule's scale; pure noise and clean latents stay finite.
  private static func logarithm(_ scale: Double) -> Double { log(max(scale, 1e-8)) }
  private static func exponential(_ value: Double) -> Double { exp(value) }

  // MARK: Before the step

  /// What this call does. `sample`: this trajectory's latents.
  func decide(call: Int, sample: UnsafePointer<Float>) -> SkipDecision {
    measureInput(call: call, sample)
    let decision: SkipDecision
    if call == 0 {
      decision = .run("first")
    } else if outputs.values.allSatisfy(\.calls.isEmpty) {
      decision = .run("guidance")
    } else if call >= history.calls - settings.protectedCalls {
      decision = .run("protected")
    } else {
      decision = rule.decide(call: call, history)
    }
    history.actions.append(decision.action)
    return decision
  }

  /// Forgets the network's outputs and what was measured of them: those to come are of another function. Skipped calls
  /// since the last output stay uncorrected.
  func restart() {
    for history in outputs.values { history.clear() }
    noises?.clear()
    hasOutput = false
    history.forgetOutputs()
    stretch = nil
    heldQuantity = nil
  }

  private func measureInput(call: Int, _ sample: UnsafePointer<Float>) {
    guard let inputs else { return }
    let scale = Float(scheduler.modelInputScale(call: call))
    let (run, previous) = (inputs.run.pointer(Float.self), inputs.previous.pointer(Float.self))
    var (sinceRun, step) = (0.0, 0.0)
    for index in 0..<count {
      let input = scale * sample[index]
      sinceRun += Double(abs(input - run[index]))
      step += Double(abs(input - previous[index]))
      previous[index] = input
    }
    if hasInput {
      history.inputChange = sinceRun / Double(count)
      history.inputStep = step / Double(count)
    }
    hasInput = true
  }

  /// A quantity as a sum of latents and network output.
  private func form(_ quantity: SkipQuantity, _ call: Int) -> LinearForm {
    let epsilon = scheduler.epsilonForm(call: call)
    switch quantity {
    case .epsilon: return epsilon
    case .original: return scheduler.originalForm(call: call)
    case .residual:
      return LinearForm(sample: epsilon.sample - scheduler.modelInputScale(call: call), output: epsilon.output)
    case .velocity:
      let original = scheduler.originalForm(call: call)
      let (signal, noise) = (scheduler.signalScale(call: call), scheduler.noiseScale(call: call))
      let norm = (signal * signal + noise * noise).squareRoot()
      return LinearForm(
        sample: (signal * epsilon.sample - noise * original.sample) / norm,
        output: (signal * epsilon.output - noise * original.output) / norm)
    }
  }

  /// Writes the output that the network would have given, as far as earlier outputs tell.
  func predict(_ decision: SkipDecision, call: Int, sample: UnsafePointer<Float>, into: UnsafeMutablePointer<Float>)
    throws
  {
    guard let history = outputs[decision.quantity], !history.calls.isEmpty else {
      throw Failure(.internalError, "a step was skipped before the network ran", component: "skip")
    }
    let value = predicted.pointer(Float.self)
    switch decision.prediction {
    case .polynomial(let order):
      let nodes = history.calls.prefix(order + 1).map { axis[$0] }
      let weights = Extrapolation.weights(nodes: nodes, position: axis[call])
      sum(history, weights, into: value)
      stretch = (order, decision.quantity)
    case .weights(let weights):
      let known = Array(weights.prefix(history.calls.count))
      sum(history, known.count == weights.count ? known : [1], into: value)
      heldQuantity = decision.quantity
    case .held:
      if heldQuantity != decision.quantity { sum(history, [1], into: value) }
    }
    let form = form(decision.quantity, call)
    let (a, b) = (Float(-form.sample / form.output), Float(1 / form.output))
    for index in 0..<count { into[index] = a * sample[index] + b * value[index] }
    if response != nil { skippedCalls.append(call) }
  }

  private func sum(_ history: OutputHistory, _ weights: [Double], into: UnsafeMutablePointer<Float>) {
    let first = (history[0], Float(weights[0]))
    for index in 0..<count { into[index] = first.1 * first.0[index] }
    for age in 1..<max(1, weights.count) where weights[age] != 0 {
      let (values, weight) = (history[age], Float(weights[age]))
      for index in 0..<count { into[index] += weight * values[index] }
    }
  }

  // MARK: Correction

  /// Calls skipped since the network last ran; the solver's answer to them is computed when it runs again.
  private var skippedCalls: [Int] = []

  /// How far the solver's latents move per unit of error at the newest network call, and leaves the solver's answer in
  /// `response`, which has then made every call before `call`.
  private func replay(_ response: any Scheduler, to call: Int) throws(Failure) -> Double {
    guard let stretch, let nodesFrom = outputs[stretch.quantity] else {
      // What was skipped before the history was forgotten stays as it was.
      for skipped in skippedCalls { _ = try advance(response, call: skipped, delta: 0, output: 0) }
      return 0
    }
    let nodes = nodesFrom.calls.prefix(stretch.order + 1).map { axis[$0] }
    var delta: Float = 0
    for skipped in skippedCalls {
      let share = Extrapolation.share(nodes: nodes, known: axis[call], position: axis[skipped])
      let form = form(stretch.quantity, skipped)
      let output = (share - form.sample * Double(delta)) / form.output
      delta = try advance(response, call: skipped, delta: delta, output: Float(output))
    }
    return Double(delta)
  }

  private func advance(
    _ response: any Scheduler, call: Int, delta: Float, output: Float
  ) throws(Failure) -> Float {
    var sample = [delta]
    var values = [output]
    let zero: [Float] = [0]
    let outcome: Result<Void, Failure> = sample.withUnsafeMutableBufferPointer { sample in
      values.withUnsafeMutableBufferPointer { output in
        zero.withUnsafeBufferPointer { zero in
          do throws(Failure) {
            try response.step(
              call: call, modelOutput: UnsafeBufferPointer(output), sample: sample,
              noise: { () throws(Failure) -> UnsafeBufferPointer<Float> in zero })
            return .success(())
          } catch { return .failure(error) }
        }
      }
    }
    try outcome.get()
    return sample[0]
  }

  // MARK: After the network

  /// Takes in the network's output; moves `sample` and the solver's state where skipped outputs turn out to have been
  /// wrong, and `output` with them.
  func learn(call: Int, sample: UnsafeMutablePointer<Float>, output: UnsafeMutablePointer<Float>) throws {
    measureOutput(call: call, output: output, sample: sample)
    let main = rule.quantities[0]
    let order = rule.depth - 1
    if rule.signals.contains(.predictionError), let kept = outputs[main], !kept.calls.isEmpty {
      history.predictionError = error(kept, order: order, main, call, sample, output)
    }
    var moved = 0.0
    if let response {
      moved = try replay(response, to: call)
      if moved != 0, let stretch, let kept = outputs[stretch.quantity] {
        // The error that this call reveals, once its history is still the stretch's.
        _ = error(kept, order: stretch.order, stretch.quantity, call, sample, output)
        let direction = predicted.buffer(Float.self)
        try scheduler.correct(offset: offset, direction: UnsafeBufferPointer(direction), response: response)
        try push(call: call, sample: sample, output: output)
        let form = form(stretch.quantity, call)
        let (factor, back) = (Float(moved), Float(-form.sample / form.output * moved))
        for index in 0..<count {
          sample[index] += factor * direction[index]
          output[index] += back * direction[index]
        }
      } else {
        try push(call: call, sample: sample, output: output)
      }
      response.clearResponse()
      _ = try advance(response, call: call, delta: 0, output: 0)
      skippedCalls.removeAll(keepingCapacity: true)
    } else {
      try push(call: call, sample: sample, output: output)
    }
    stretch = nil
    heldQuantity = nil
  }

  private func push(call: Int, sample: UnsafePointer<Float>, output: UnsafePointer<Float>) throws {
    for (quantity, history) in outputs {
      let form = form(quantity, call)
      let (a, b) = (Float(form.sample), Float(form.output))
      let into = history.push(call: call)
      for index in 0..<count { into[index] = a * sample[index] + b * output[index] }
    }
  }

  /// Mean |actual - predicted| / mean |actual|; leaves actual - predicted in `predicted`.
  private func error(
    _ kept: OutputHistory, order: Int, _ quantity: SkipQuantity, _ call: Int, _ sample: UnsafePointer<Float>,
    _ output: UnsafePointer<Float>
  ) -> Double {
    let nodes = kept.calls.prefix(order + 1).map { axis[$0] }
    let value = predicted.pointer(Float.self)
    sum(kept, Extrapolation.weights(nodes: nodes, position: axis[call]), into: value)
    let form = form(quantity, call)
    let (a, b) = (Float(form.sample), Float(form.output))
    var (difference, size) = (0.0, 0.0)
    for index in 0..<count {
      let actual = a * sample[index] + b * output[index]
      value[index] = actual - value[index]
      difference += Double(abs(value[index]))
      size += Double(abs(actual))
    }
    return size > 0 ? difference / size : 0
  }

  private func measureOutput(call: Int, output: UnsafePointer<Float>, sample: UnsafePointer<Float>) {
    guard let inputs else { return }
    let form = scheduler.epsilonForm(call: call)
    let (a, b) = (Float(form.sample), Float(form.output))
    let scale = Float(scheduler.modelInputScale(call: call))
    let (run, last) = (inputs.run.pointer(Float.self), inputs.output.pointer(Float.self))
    var (size, change) = (0.0, 0.0)
    for index in 0..<count {
      let epsilon = a * sample[index] + b * output[index]
      size += Double(abs(epsilon))
      change += Double(abs(epsilon - last[index]))
      last[index] = epsilon
      run[index] = scale * sample[index]
    }
    history.outputSize = size / Double(count)
    if hasOutput {
      history.outputChange = change / Double(count)
      history.inputChangeAtRun = history.inputChange
    }
    hasOutput = true
  }

  /// The noise prediction that this step uses, and the latents it starts from.
  func note(call: Int, sample: UnsafePointer<Float>, output: UnsafePointer<Float>) {
    guard let noises, let before else { return }
    let form = scheduler.epsilonForm(call: call)
    let (a, b) = (Float(form.sample), Float(form.output))
    let (into, start) = (noises.push(call: call), before.pointer(Float.self))
    for index in 0..<count {
      into[index] = a * sample[index] + b * output[index]
      start[index] = sample[index]
    }
  }

  // MARK: After the step

  /// Measures the latents after `call`.
  func finish(call: Int, sample: UnsafePointer<Float>) {
    measureCurvature(call: call, sample)
    guard let latents else { return }
    let scale =
      settings.rescales && call + 1 < history.calls ? Float(scheduler.modelInputScale(call: call + 1)) : 1
    let current = latents.push(call: call)
    for index in 0..<count { current[index] = scale * sample[index] }
    guard latents.calls.count > 1 else {
      history.latentChanges.append(0)
      return
    }
    let previous = latents[1]
    var change = 0.0
    for index in 0..<count { change += Double(abs(current[index] - previous[index])) }
    history.latentChanges.append(change / Double(count))
    guard latents.calls.count == 4 else { return }
    let (second, third) = (latents[2], latents[3])
    var difference = 0.0
    for index in 0..<count {
      difference += Double(abs(current[index] - 3 * previous[index] + 3 * second[index] - third[index]))
    }
    history.thirdDifference = difference / Double(count)
  }

  /// SADA's criterion, in the coordinates y = latents / signal and u = noise / signal, in which dy/du is the noise
  /// prediction: mean((y - ŷ) D²ε) with ŷ = y_before + Δu (5/8 ε0 + 3/4 ε1 - 3/8 ε2).
  private func measureCurvature(call: Int, _ sample: UnsafePointer<Float>) {
    guard let noises, let before, noises.calls.count == 3, call + 1 < history.calls else { return }
    let (s0, s1) = (scheduler.signalScale(call: call), scheduler.signalScale(call: call + 1))
    guard s0 > 0, s1 > 0 else { return }
    let step = Float(scheduler.noiseScale(call: call + 1) / s1 - scheduler.noiseScale(call: call) / s0)
    let start = before.pointer(Float.self)
    let (e0, e1, e2) = (noises[0], noises[1], noises[2])
    let (from, to) = (Float(1 / s0), Float(1 / s1))
    var total = 0.0
    for index in 0..<count {
      let extrapolated = from * start[index] + step * (0.625 * e0[index] + 0.75 * e1[index] - 0.375 * e2[index])
      total += Double((to * sample[index] - extrapolated) * (e0[index] - 2 * e1[index] + e2[index]))
    }
    history.curvature = total / Double(count)
  }
}
