import Adaptive
import Graph
import Schedulers
import Support

/// The sampling loop of one run: noise, then network and solver in turn until the latents are clean.
struct Sampling {
  let plan: RunPlan
  let callbacks: RunCallbacks
  let scheduler: any Scheduler
  let predictor: GuidedPredictor
  /// Per call, whether guidance is on.
  let isGuided: [Bool]
  /// Nil: the network runs at every call.
  let skip: SkipRun?
  /// A predictor for fewer images than the run has.
  let makePredictor: (Int) throws -> GuidedPredictor

  /// Draws in diffusers' order: initial noise of all images at once, then whatever the solver asks for.
  func run() throws -> (latents: Tensor, steps: [StepRecord]) {
    let latents = try Tensor(type: .float32, shape: plan.latentShape)
    let sample = latents.buffer(Float.self)
    var generator = TorchGenerator(seed: plan.seed)
    if let given = plan.options.latents {
      latents.bytes.copyMemory(from: UnsafeRawBufferPointer(given.bytes))
    } else {
      generator.fillNormal(sample)
    }
    let sigma = Float(scheduler.initialNoiseSigma)
    if sigma != 1 { for index in sample.indices { sample[index] *= sigma } }

    let noise = scheduler.drawsNoise ? try Tensor(type: .float32, shape: plan.latentShape) : nil
    let original = callbacks.preview == nil ? nil : try Tensor(type: .float32, shape: plan.latentShape)
    let work = skip == nil ? nil : try Tensor(type: .float32, shape: plan.latentShape)
    let timesteps = scheduler.timesteps
    var records: [StepRecord] = []
    records.reserveCapacity(timesteps.count)
    try scheduler.begin(elementCount: latents.count, imageCount: plan.options.count)
    try callbacks.report(.denoise, 0, of: timesteps.count)
    for call in timesteps.indices {
      let begin = Clock.milliseconds()
      if call > 0, isGuided[call] != isGuided[call - 1] { skip?.restart() }
      let decisions = try skip?.decide(call: call, sample: sample) ?? [.run("every_step")]
      let prediction = try prediction(call: call, decisions: decisions, latents: latents, work: work)
      try withExtendedLifetime(prediction) {
        let output = UnsafeBufferPointer(prediction.buffer(Float.self))
        skip?.note(call: call, sample: sample, output: output)
        callbacks.trace?(call, UnsafeBufferPointer(sample), output)
        try scheduler.step(
          call: call, modelOutput: output, sample: sample,
          noise: { () throws(Failure) -> UnsafeBufferPointer<Float> in
            guard let noise else { throw Failure(.internalError, "a scheduler without noise asked for it") }
            generator.fillNormal(noise.buffer(Float.self))
            return UnsafeBufferPointer(noise.buffer(Float.self))
          }, predictedOriginal: original?.buffer(Float.self))
        skip?.finish(call: call, sample: sample)
      }
      let decision = SkipRun.strongest(decisions)
      records.append(
        StepRecord(
          timestep: timesteps[call], action: decision.action, reason: decision.reason,
          milliseconds: Clock.milliseconds() - begin, isGuided: isGuided[call],
          imageActions: decisions.count > 1 ? decisions.map(\.action) : []))
      try callbacks.preview?(
        Preview(
          step: call, total: timesteps.count, timestep: timesteps[call], latents: latents, predictedOriginal: original,
          action: decision.action))
      try callbacks.report(.denoise, call + 1, of: timesteps.count, decision.action.name)
    }
    guard latents.isFinite else {
      throw Failure(.notFinite, "the final latents hold NaN or infinity", component: "scheduler")
    }
    return (latents, records)
  }

  /// The output that the solver gets at this call: the network's, or what a rule makes of earlier ones.
  private func prediction(
    call: Int, decisions: [SkipDecision], latents: Tensor, work: Tensor?
  ) throws -> Tensor {
    guard let skip, let work else { return try network(call: call, latents, predictor, .whole) }
    let sample = latents.buffer(Float.self)
    let images = skip.imagesToRun(decisions)
    let runs = decisions.contains { $0.action == .run || $0.action == .partial }
    if runs, let images, let size = skip.elementsPerImage {
      let few = try makePredictor(images.count)
      let gathered = try Tensor(type: .float32, shape: [images.count] + plan.latentShape.dropFirst())
      let (from, into) = (latents.pointer(Float.self), gathered.pointer(Float.self))
      for (slot, image) in images.enumerated() { (into + slot * size).update(from: from + image * size, count: size) }
      let some = try network(call: call, gathered, few, .whole)
      withExtendedLifetime(some) {
        for (slot, image) in images.enumerated() {
          (work.pointer(Float.self) + image * size).update(from: some.pointer(Float.self) + slot * size, count: size)
        }
      }
    } else if runs {
      let all = try network(call: call, latents, predictor, skip.part(decisions))
      // Without a rule nothing is kept or corrected.
      if skip.trajectories.isEmpty { return all }
      withExtendedLifetime(all) { work.pointer(Float.self).update(from: all.pointer(Float.self), count: work.count) }
    }
    try skip.complete(decisions, call: call, sample: sample, output: work.buffer(Float.self))
    return work
  }

  private func network(
    call: Int, _ latents: Tensor, _ predictor: GuidedPredictor, _ part: NetworkPart
  ) throws -> Tensor {
    let prediction = try predictor.predict(
      latents: latents, inputScale: scheduler.modelInputScale(call: call), timestep: scheduler.timesteps[call],
      isGuided: isGuided[call], part: part)
    guard prediction.isFinite else {
      throw Failure(
        .notFinite, "the prediction of step \(call + 1) of \(scheduler.timesteps.count) holds NaN or infinity",
        component: "unet")
    }
    return prediction
  }
}
