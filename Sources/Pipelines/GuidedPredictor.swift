import Graph
import Runtime
import Support

/// The network with guidance: one prediction per image from latents and a timestep. Belongs to one run; its buffers are
/// used again at every step.
final class GuidedPredictor {
  private let network: NoisePredictor
  /// Of a step's first and second network call, each with the series of its text features, whose keys and values are then
  /// computed once per run.
  private let firstOptions: RunOptions
  private let secondOptions: RunOptions
  private let images: Int
  /// 1 when guidance is off.
  private let scale: Double
  private let rescale: Double
  private let joint: Bool
  /// Text features, repeated per image; joint: negative images first.
  private let conditional: Tensor
  private let unconditional: Tensor?
  private let embedding: Tensor?
  /// (images or 2 * images, channels, height, width).
  private let input: Tensor
  private let guided: Tensor

  var isGuided: Bool { unconditional != nil }

  /// `prompt` and `negative` are float32 (1, length, features); `shape` that of the latents.
  init(
    network: NoisePredictor, prompt: Tensor, negative: Tensor?, shape: [Int], scale: Double, rescale: Double,
    batching: GuidanceBatching, options: RunOptions
  ) throws {
    self.network = network
    var own = options
    own.series = RunSeries(constantInputs: network.constantInputs)
    firstOptions = own
    own.series = RunSeries(constantInputs: network.constantInputs)
    secondOptions = own
    self.scale = scale
    self.rescale = rescale
    images = shape[0]
    joint = negative != nil && batching != .separate
    let positive = Array(repeating: prompt, count: images)
    if let negative {
      let negatives = Array(repeating: negative, count: images)
      guard negative.shape == prompt.shape else {
        throw Failure(
          .shapeMismatch, "prompt and negative prompt have text features of different shape",
          component: "text_encoder", expected: "\(prompt.shape)", actual: "\(negative.shape)")
      }
      conditional = try network.prepared(states: Self.stacked(joint ? negatives + positive : positive))
      unconditional = joint ? conditional : try network.prepared(states: Self.stacked(negatives))
    } else {
      conditional = try network.prepared(states: Self.stacked(positive))
      unconditional = nil
    }
    embedding = try network.guidanceEmbedding(scale: scale, batch: images)
    input = try Tensor(type: .float32, shape: [joint ? 2 * images : images] + shape.dropFirst())
    guided = try Tensor(type: .float32, shape: shape)
  }

  /// The prediction for `latents * inputScale`; valid until the next call.
  func predict(
    latents: Tensor, inputScale: Double, timestep: Double, part: NetworkPart = .whole
  ) throws -> Tensor {
    let count = latents.count
    let (from, into) = (latents.buffer(Float.self), input.buffer(Float.self))
    let factor = Float(inputScale)
    for index in 0..<count { into[index] = from[index] * factor }
    guard let unconditional else { return try run(timestep, conditional, part, 0) }
    let (first, second): (Tensor, Tensor)
    if joint {
      for index in 0..<count { into[count + index] = into[index] }
      first = try run(timestep, conditional, part, 0)
      second = first
    } else {
      // The network's outputs may share memory between runs.
      first = try run(timestep, unconditional, part, 0).copied()
      second = try run(timestep, conditional, part, 1)
    }
    let negative = UnsafePointer(first.pointer(Float.self))
    let positive = UnsafePointer(second.pointer(Float.self)) + (joint ? count : 0)
    let result = guided.pointer(Float.self)
    withExtendedLifetime((first, second)) {
      Guidance.combine(unconditional: negative, conditional: positive, scale: Float(scale), count: count, into: result)
      if rescale > 0 {
        Guidance.rescale(result, conditional: positive, images: images, elements: count / images, rescale: rescale)
      }
    }
    return guided
  }

  /// `stream`: which of a step's network calls this is.
  private func run(_ timestep: Double, _ states: Tensor, _ part: NetworkPart, _ stream: Int) throws -> Tensor {
    try network.predict(
      sample: input, timestep: timestep, states: states, condition: embedding, part: part, stream: stream,
      options: stream == 0 ? firstOptions : secondOptions)
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
