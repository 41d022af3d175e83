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

  /// One image of `latents` float32 (count, channels, height, width) as uint8 (height, width, 3). `tile`: latent pixels of
  /// the tiles that are decoded one at a time; 0: the whole image.
  func decode(_ latents: Tensor, image: Int, scale: Int, tile: Int = 0, options: RunOptions) throws -> Tensor {
    let (height, width) = (latents.shape[2], latents.shape[3])
    let rows = TileAxis(length: height, tile: tile == 0 ? height : tile)
    let columns = TileAxis(length: width, tile: tile == 0 ? width : tile)
    guard rows.starts.count * columns.starts.count > 1 else {
      return try Self.bytes(try decoded(latents, image: image, (0, 0), height, width, scale: scale, options: options))
    }
    let whole = try Tensor(type: .float32, shape: [1, 3, height * scale, width * scale])
    let sums = whole.buffer(Float.self)
    sums.update(repeating: 0)
    for row in rows.starts.indices {
      let down = rows.shares(row, scale: scale)
      for column in columns.starts.indices {
        let across = columns.shares(column, scale: scale)
        let (top, left) = (rows.starts[row], columns.starts[column])
        let pixels = try decoded(
          latents, image: image, (top, left), rows.size, columns.size, scale: scale, options: options)
        let part = pixels.buffer(Float.self)
        for line in 0..<(3 * down.count) {
          let (plane, y) = line.quotientAndRemainder(dividingBy: down.count)
          let target = ((plane * height + top) * scale + y) * width * scale + left * scale
          for x in across.indices { sums[target + x] += part[line * across.count + x] * down[y] * across[x] }
        }
      }
    }
    return try Self.bytes(whole)
  }

  /// Latents at `origin` (row, column) as float32 (1, 3, rows · scale, columns · scale).
  private func decoded(
    _ latents: Tensor, image: Int, _ origin: (Int, Int), _ rows: Int, _ columns: Int, scale: Int, options: RunOptions
  ) throws -> Tensor {
    let (channels, height, width) = (latents.shape[1], latents.shape[2], latents.shape[3])
    let scaled = try Tensor(type: .float32, shape: [1, channels, rows, columns])
    let (from, into) = (latents.buffer(Float.self), scaled.buffer(Float.self))
    for line in 0..<(channels * rows) {
      let (channel, row) = line.quotientAndRemainder(dividingBy: rows)
      let source = ((image * channels + channel) * height + origin.0 + row) * width + origin.1
      for column in 0..<columns { into[line * columns + column] = from[source + column] / scalingFactor + shiftFactor }
    }
    return try component.run(
      [inputName: scaled.asFloatingPoint(inputType)], output: outputName,
      shape: [1, 3, rows * scale, columns * scale], options: options)
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
