import Graph
import Runtime
import Support

/// Latents to pixels.
struct LatentDecoder: Sendable {
  private let component: ComponentModel
  private let inputName: String
  private let inputType: DataType
  private let outputName: String
  private let scalingFactor: Float
  private let shiftFactor: Float

  init(folder: PipelineFolder, pool: ThreadPool, precision: Precision) throws {
    component = try ComponentModel("vae_decoder", in: folder.path, pool: pool, precision: precision)
    try component.allowOnlyInputs(["latent_sample", "latents", "sample"])
    guard component.model.inputs.count == 1, let input = component.model.inputs.first else {
      throw Failure(
        .unsupported, "the decoder must have one input", component: "vae_decoder", expected: "latent_sample",
        actual: component.model.inputs.map(\.name).joined(separator: ", "))
    }
    inputName = input.name
    inputType = try input.floatingPointType(component: "vae_decoder")
    outputName = try component.output(preferred: "sample")
    scalingFactor = Float(folder.scalingFactor)
    shiftFactor = Float(folder.shiftFactor)
  }

  /// One image of `latents` float32 (count, channels, height, width) as uint8 (height, width, 3).
  func decode(_ latents: Tensor, image: Int, scale: Int, options: RunOptions) throws -> Tensor {
    let (channels, height, width) = (latents.shape[1], latents.shape[2], latents.shape[3])
    let size = channels * height * width
    let scaled = try Tensor(type: .float32, shape: [1, channels, height, width])
    let (from, into) = (latents.buffer(Float.self), scaled.buffer(Float.self))
    for index in 0..<size { into[index] = from[image * size + index] / scalingFactor + shiftFactor }
    let pixels = try component.run(
      [inputName: scaled.asFloatingPoint(inputType)], output: outputName,
      shape: [1, 3, height * scale, width * scale], options: options)
    return try Self.bytes(pixels)
  }

  /// float32 (1, 3, height, width) in -1…1 to uint8 (height, width, 3): halves round to even, NaN becomes 0.
  private static func bytes(_ pixels: Tensor) throws -> Tensor {
    let (height, width) = (pixels.shape[2], pixels.shape[3])
    guard pixels.isFinite else {
      throw Failure(.notFinite, "the decoded picture holds NaN or infinity", component: "vae_decoder")
    }
    let image = try Tensor(type: .uint8, shape: [height, width, 3])
    let (from, into) = (pixels.buffer(Float.self), image.buffer(UInt8.self))
    let plane = height * width
    for position in 0..<plane {
      for channel in 0..<3 {
        let unit = min(max(from[channel * plane + position] / 2 + 0.5, 0), 1)
        into[position * 3 + channel] = UInt8((unit * 255).rounded(.toNearestOrEven))
      }
    }
    return image
  }
}
