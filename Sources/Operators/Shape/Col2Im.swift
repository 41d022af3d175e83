import Graph
import Support

/// Col2Im: adds sliding blocks back into an image of any rank, the inverse walk of a convolution's patches.
struct Col2Im: Operator {
  let dilations: [Int]?
  let pads: [Int]?
  let strides: [Int]?

  init(_ node: Node) throws {
    dilations = try node.ints("dilations")
    pads = try node.ints("pads")
    strides = try node.ints("strides")
  }

  private struct Geometry {
    var batch: Int
    var channels: Int
    var image: [Int]
    var block: [Int]
    /// Block positions along every axis.
    var positions: [Int]
    var dilations: [Int]
    var strides: [Int]
    var pads: [Int]
  }

  private func geometry(for inputs: [ValueInfo?]) throws -> Geometry {
    let data = try inputs.info(at: 0, named: "input")
    try ShapeRules.requireRank(data, 3, named: "input")
    let image = try inputs.requiredIntegers(at: 1, named: "image_shape")
    let block = try inputs.requiredIntegers(at: 2, named: "block_shape")
    let rank = image.count
    let dilations = dilations ?? [Int](repeating: 1, count: rank)
    let strides = strides ?? [Int](repeating: 1, count: rank)
    let pads = pads ?? [Int](repeating: 0, count: 2 * rank)
    guard block.count == rank, dilations.count == rank, strides.count == rank, pads.count == 2 * rank else {
      throw Failure(.shapeMismatch, "block_shape, dilations, strides and pads must fit the \(rank) image axes")
    }
    let limit = 1 << 31
    let positive = [image, block, dilations, strides].joined().allSatisfy { $0 > 0 && $0 < limit }
    guard positive, pads.allSatisfy({ $0 >= 0 && $0 < limit }) else {
      throw Failure(.outOfRange, "image_shape, block_shape, dilations and strides must be positive, pads not negative")
    }
    var positions: [Int] = []
    for axis in 0..<rank {
      let span = image[axis] + pads[axis] + pads[rank + axis] - dilations[axis] * (block[axis] - 1) - 1
      guard span >= 0 else {
        throw Failure(.shapeMismatch, "the block is larger than the padded image along axis \(axis)")
      }
      positions.append(span / strides[axis] + 1)
    }
    let blockArea = try CheckedSize.product(block, of: "block_shape")
    let count = try CheckedSize.product(positions, of: "block positions")
    guard data.shape[1] % blockArea == 0, data.shape[2] == count else {
      throw Failure(
        .shapeMismatch, "the input does not hold the image's blocks", expected: "[N, C*\(blockArea), \(count)]",
        actual: "\(data.shape)")
    }
    return Geometry(
      batch: data.shape[0], channels: data.shape[1] / blockArea, image: image, block: block, positions: positions,
      dilations: dilations, strides: strides, pads: pads)
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "input")
    try data.type.requireComputable(named: "input")
    if inputs.isUnknown(at: 1, 2) { return nil }
    let geometry = try geometry(for: inputs)
    return [ValueInfo(type: data.type, shape: [geometry.batch, geometry.channels] + geometry.image)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let output = outputs.optionalTensor(at: 0) else { return }
    let accumulation = Accumulation(
      geometry: try geometry(for: inputs.infos), data: try inputs.tensor(at: 0), output: output, pool: context.pool)
    try withNumericElement(of: output.type, accumulation)
  }

  private struct Accumulation: NumericComputation {
    let geometry: Geometry
    let data: Tensor
    let output: Tensor
    let pool: ThreadPool

    func run<Element: NumericElement>(_: Element.Type) {
      let imageSize = geometry.image.reduce(1, *)
      let blockSize = geometry.block.reduce(1, *)
      let count = geometry.positions.reduce(1, *)
      let imageStrides = ShapeRules.strides(of: geometry.image)
      let rank = geometry.image.count
      let zero = Element(rounding: 0)
      // One channel of one batch entry per unit: no two threads add into the same image.
      pool.forRanges(geometry.batch * geometry.channels, grain: max(1, 32_768 / max(1, blockSize * count))) { range in
        var position = [Int](repeating: 0, count: rank)
        for plane in range {
          let image = output.pointer(Element.self) + plane * imageSize
          image.update(repeating: zero, count: imageSize)
          var source = data.pointer(Element.self) + plane * blockSize * count
          for blockIndex in 0..<blockSize {
            for positionIndex in 0..<count {
              var (restOfBlock, restOfPosition, offset) = (blockIndex, positionIndex, 0)
              var inside = true
              for axis in stride(from: rank - 1, through: 0, by: -1) {
                let tap = restOfBlock % geometry.block[axis]
                restOfBlock /= geometry.block[axis]
                position[axis] = restOfPosition % geometry.positions[axis]
                restOfPosition /= geometry.positions[axis]
                let place =
                  position[axis] * geometry.strides[axis] + tap * geometry.dilations[axis] - geometry.pads[axis]
                inside = inside && place >= 0 && place < geometry.image[axis]
                offset += place * imageStrides[axis]
              }
              if inside { image[offset] = Element.sum(image[offset], source[positionIndex]) }
            }
            source += count
          }
        }
      }
    }
  }
}
