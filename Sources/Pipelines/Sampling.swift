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
    let timesteps = scheduler.timesteps
    var records: [StepRecord] = []
    records.reserveCapacity(timesteps.count)
    try scheduler.begin(elementCount: latents.count, imageCount: plan.options.count)
    try callbacks.report(.denoise, 0, of: timesteps.count)
    for call in timesteps.indices {
      let begin = Clock.milliseconds()
      let prediction = try predictor.predict(
        latents: latents, inputScale: scheduler.modelInputScale(call: call), timestep: timesteps[call])
      guard prediction.isFinite else {
        throw Failure(
          .notFinite, "the prediction of step \(call + 1) of \(timesteps.count) holds NaN or infinity",
          component: "unet")
      }
      try withExtendedLifetime(prediction) {
        try scheduler.step(
          call: call, modelOutput: UnsafeBufferPointer(prediction.buffer(Float.self)), sample: sample,
          noise: { () throws(Failure) -> UnsafeBufferPointer<Float> in
            guard let noise else { throw Failure(.internalError, "a scheduler without noise asked for it") }
            generator.fillNormal(noise.buffer(Float.self))
            return UnsafeBufferPointer(noise.buffer(Float.self))
          }, predictedOriginal: original?.buffer(Float.self))
      }
      records.append(
        StepRecord(
          timestep: timesteps[call], action: .run, reason: "every_step", milliseconds: Clock.milliseconds() - begin))
      try callbacks.preview?(
        Preview(
          step: call, total: timesteps.count, timestep: timesteps[call], latents: latents, predictedOriginal: original,
          action: .run))
      try callbacks.report(.denoise, call + 1, of: timesteps.count, StepAction.run.name)
    }
    guard latents.isFinite else {
      throw Failure(.notFinite, "the final latents hold NaN or infinity", component: "scheduler")
    }
    return (latents, records)
  }
}
