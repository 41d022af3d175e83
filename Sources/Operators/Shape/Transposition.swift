import Graph
import Support

/// Transpose: output axis i is input axis `permutation[i]`; reversed axes by default.
struct Transpose: Operator {
  let permutation: [Int]?

  init(_ node: Node) throws { permutation = try node.ints("perm") }

  private func resolved(rank: Int) throws(Failure) -> [Int] {
    guard let permutation else { return Array((0..<rank).reversed()) }
    guard permutation.count == rank else {
      throw Failure(
        .shapeMismatch, "perm \(permutation) does not fit the input", expected: "\(rank) axes",
        actual: "\(permutation.count)")
    }
    return try ShapeRules.axes(permutation, rank: rank)
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "data")
    return [ValueInfo(type: data.type, shape: try resolved(rank: data.shape.count).map { data.shape[$0] })]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let data = try inputs.tensor(at: 0)
    guard let output = outputs.optionalTensor(at: 0) else { return }
    try moveElements(copy(of: data.shape, pool: context.pool), from: [data], to: [output])
  }

  func bound(to inputs: [ValueInfo?], threads: Int) throws -> (any Operator)? {
    guard let output = try outputs(for: inputs)?.first else { return nil }
    let data = try inputs.info(at: 0, named: "data")
    return BoundCopy(copy: try copy(of: data.shape, pool: ThreadPool(threads: 1)), output: output)
  }

  private func copy(of shape: [Int], pool: ThreadPool) throws(Failure) -> StridedCopy {
    let strides = ShapeRules.strides(of: shape)
    let axes = try resolved(rank: shape.count)
    return StridedCopy(
      shape: axes.map { shape[$0] }, sourceStrides: axes.map { strides[$0] },
      destinationStrides: ShapeRules.strides(of: axes.map { shape[$0] }), pool: pool)
  }
}

/// DepthToSpace: blocks of channels become `block`×`block` squares of pixels.
struct DepthToSpace: Operator {
  let block: Int
  let columnFirst: Bool

  init(_ node: Node) throws {
    block = try node.required(node.int("blocksize"), "blocksize")
    guard block > 0 else { throw Failure(.outOfRange, "blocksize \(block) must be positive") }
    columnFirst = try node.word("mode", default: "DCR", among: ["DCR", "CRD"]) == "CRD"
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "input")
    try ShapeRules.requireRank(data, 4, named: "input")
    let area = try CheckedSize.product([block, block], of: "block")
    guard data.shape[1] % area == 0 else {
      throw Failure(
        .shapeMismatch, "the channels are not divisible by the block", expected: "a multiple of \(area)",
        actual: "\(data.shape[1])")
    }
    let height = try CheckedSize.product([data.shape[2], block], of: "height")
    let width = try CheckedSize.product([data.shape[3], block], of: "width")
    return [ValueInfo(type: data.type, shape: [data.shape[0], data.shape[1] / area, height, width])]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let data = try inputs.tensor(at: 0)
    guard let output = outputs.optionalTensor(at: 0) else { return }
    let (height, width, channels) = (data.shape[2], data.shape[3], output.shape[1])
    let plane = height * width
    // (batch, channel, row, row in block, column, column in block)
    let blockRow = columnFirst ? block * plane : block * channels * plane
    let blockColumn = columnFirst ? plane : channels * plane
    let channel = columnFirst ? block * block * plane : plane
    let shape = [data.shape[0], channels, height, block, width, block]
    let copy = StridedCopy(
      shape: shape, sourceStrides: [data.shape[1] * plane, channel, width, blockRow, 1, blockColumn],
      destinationStrides: ShapeRules.strides(of: shape), pool: context.pool)
    try moveElements(copy, from: [data], to: [output])
  }
}

/// SpaceToDepth: squares of pixels become channels, the block's position slowest.
struct SpaceToDepth: Operator {
  let block: Int

  init(_ node: Node) throws {
    block = try node.required(node.int("blocksize"), "blocksize")
    guard block > 0 else { throw Failure(.outOfRange, "blocksize \(block) must be positive") }
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "input")
    try ShapeRules.requireRank(data, 4, named: "input")
    guard data.shape[2] % block == 0, data.shape[3] % block == 0 else {
      throw Failure(
        .shapeMismatch, "height and width are not divisible by the block", expected: "multiples of \(block)",
        actual: "\(data.shape[2])x\(data.shape[3])")
    }
    let channels = try CheckedSize.product([data.shape[1], block, block], of: "channels")
    return [ValueInfo(type: data.type, shape: [data.shape[0], channels, data.shape[2] / block, data.shape[3] / block])]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let data = try inputs.tensor(at: 0)
    guard let output = outputs.optionalTensor(at: 0) else { return }
    let (height, width) = (data.shape[2], data.shape[3])
    // (batch, row in block, column in block, channel, row, column)
    let shape = [data.shape[0], block, block, data.shape[1], output.shape[2], output.shape[3]]
    let copy = StridedCopy(
      shape: shape,
      sourceStrides: [data.shape[1] * height * width, width, 1, height * width, block * width, block],
      destinationStrides: ShapeRules.strides(of: shape), pool: context.pool)
    try moveElements(copy, from: [data], to: [output])
  }
}
