import Graph
import Runtime
import Support

/// The network with guidance: one prediction per image from latents and a timestep. Belongs to one run; its buffers are
/// used again at every step.
final class GuidedPredictor {
  private let network: NoisePredictor
  private let images: Int
  private let scale: Double
  private let rescale: Double
  private let joint: Bool
  /// Text features of the prompt, repeated per image.
  private let positive: Input
  /// Joint: negative prompt's features, then the prompt's; separate: the negative prompt's. Nil: no guidance at any step.
  private let guiding: Input?
  private let embedding: Tensor?
  private let guided: Tensor

  /// One kind of network call: what it reads, and the series of its text features, whose keys and values are computed
  /// once per run.
  private struct Input {
    /// Numbers the kinds, each of which has a feature of its own in the cache.
    let stream: Int
    let states: Tensor
    /// (batch, channels, height, width).
    let sample: Tensor
    let options: RunOptions

    /// `isRepeated`: the latents are there twice.
    init(
      stream: Int, states: Tensor, shape: [Int], network: NoisePredictor, isRepeated: Bool = false, options: RunOptions
    ) throws {
      self.stream = stream
      self.states = try network.prepared(states: states)
      sample = try Tensor(type: .float32, shape: [states.shape[0]] + shape.dropFirst())
      var own = options
      own.series = RunSeries(
        constantInputs: network.constantInputs, repeatedInputs: isRepeated ? NoisePredictor.stepInputs : [])
      self.options = own
    }
  }

  /// `prompt` and `negative` are float32 (1, length, features); `shape` that of the latents.
  init(
    network: NoisePredictor, prompt: Tensor, negative: Tensor?, shape: [Int], scale: Double, rescale: Double,
    batching: GuidanceBatching, options: RunOptions
  ) throws {
    self.network = network
    self.scale = scale
    self.rescale = rescale
    let (count, joint) = (shape[0], batching != .separate)
    images = count
    self.joint = joint
    let prompts = Array(repeating: prompt, count: count)
    positive = try Input(
      stream: 0, states: Self.stacked(prompts), shape: shape, network: network, options: options)
    guiding = try negative.map { negative in
      guard negative.shape == prompt.shape else {
        throw Failure(
          .shapeMismatch, "prompt and negative prompt have text features of different shape",
          component: "text_encoder", expected: "\(prompt.shape)", actual: "\(negative.shape)")
      }
      let negatives = Array(repeating: negative, count: count)
      return try Input(
        stream: 1, states: Self.stacked(joint ? negatives + prompts : negatives), shape: shape,
        network: network, isRepeated: joint, options: options)
    }
    embedding = try network.guidanceEmbedding(scale: scale, batch: images)
    guided = try Tensor(type: .float32, shape: shape)
  }

  /// The prediction for `latents * inputScale`; valid until the next call. `isGuided` has no effect on a run without
  /// guidance.
  func predict(
    latents: Tensor, inputScale: Double, timestep: Double, isGuided: Bool = true, part: NetworkPart = .whole
  ) throws -> Tensor {
    func run(_ input: Input) throws -> Tensor {
      let count = latents.count
      let (from, into) = (latents.buffer(Float.self), input.sample.buffer(Float.self))
      let factor = Float(inputScale)
      for begin in stride(from: 0, to: input.sample.count, by: count) {
        for index in 0..<count { into[begin + index] = from[index] * factor }
      }
      return try network.predict(
        sample: input.sample, timestep: timestep, states: input.states, condition: embedding, part: part,
        stream: input.stream, options: input.options)
    }
    guard isGuided, let guiding else { return try run(positive) }
    // The network's outputs may share memory between runs.
    let negative = joint ? try run(guiding) : try run(guiding).copied()
    let both = joint ? negative : try run(positive)
    withExtendedLifetime((negative, both)) { combine(negative, both, offset: joint ? latents.count : 0) }
    return guided
  }

  /// Leaves the guided prediction in `guided`; the prompt's own begins at `offset` of `positive`.
  private func combine(_ negative: Tensor, _ positive: Tensor, offset: Int) {
    let conditional = UnsafePointer(positive.pointer(Float.self)) + offset
    let (result, count) = (guided.pointer(Float.self), guided.count)
    Guidance.combine(
      unconditional: UnsafePointer(negative.pointer(Float.self)), conditional: conditional, scale: Float(scale),
      count: count, into: result)
    if rescale > 0 {
      Guidance.rescale(result, conditional: conditional, images: images, elements: count / images, rescale: rescale)
    }
  }

  /// Tensors (1, …) as one tensor (n, …).
  private static func stacked(_ tensors: [Tensor]) throws(Failure) -> Tensor {
    guard let first = tensors.first else { throw Failure(.internalError, "nothing to stack") }
    let result = try Tensor(type: .float32, shape: [tensors.count] + first.shape.dropFirst())
    for (index, tensor) in tensors.enumerated() {
      let part = UnsafeMutableRawBufferPointer(
        rebasing: result.bytes[index * first.bytes.count..<(index + 1) * first.bytes.count])
      part.copyMemory(from: UnsafeRawBufferPointer(tensor.bytes))
    }
    return result
  }
}
