import Graph
import Support

extension Tensor {
  /// Indices into an axis of `size` elements, negative ones counted from the end; every one is checked.
  func resolvedIndices(into size: Int, axis: Int) throws(Failure) -> [Int] {
    var indices = try integers()
    for position in indices.indices {
      let index = indices[position]
      guard index >= -size, index < size else {
        throw Failure(.outOfRange, "index \(index) at position \(position) lies outside axis \(axis) of size \(size)")
      }
      if index < 0 { indices[position] = index + size }
    }
    return indices
  }
}

/// Gather: whole slices along an axis.
struct Gather: Operator {
  let axis: Int

  init(_ node: Node) throws { axis = try node.int("axis", default: 0) }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "data")
    let indices = try inputs.info(at: 1, named: "indices")
    try ShapeRules.requireIndexType(indices, named: "indices")
    let axis = try ShapeRules.axis(axis, rank: data.shape.count)
    let shape = Array(data.shape[..<axis]) + indices.shape + Array(data.shape[(axis + 1)...])
    _ = try CheckedSize.product(shape, of: "gathered shape")
    return [ValueInfo(type: data.type, shape: shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let data = try inputs.tensor(at: 0)
    let axis = try ShapeRules.axis(axis, rank: data.rank)
    let indices = try inputs.tensor(at: 1).resolvedIndices(into: data.shape[axis], axis: axis)
    guard let output = outputs.optionalTensor(at: 0) else { return }
    let movement = GatheredSlices(
      outer: data.shape[..<axis].reduce(1, *), size: data.shape[axis], inner: data.shape[(axis + 1)...].reduce(1, *),
      indices: indices, pool: context.pool)
    try moveElements(movement, from: [data], to: [output])
  }
}

private struct GatheredSlices: ElementMovement {
  let outer: Int
  let size: Int
  let inner: Int
  let indices: [Int]
  let pool: ThreadPool

  func move<Element>(_ sources: [UnsafePointer<Element>], _ destinations: [UnsafeMutablePointer<Element>]) {
    let count = indices.count
    guard inner > 0 else { return }
    let (source, target) = (sources[0], destinations[0])
    indices.withUnsafeBufferPointer { indices in
      pool.forRanges(outer * count, grain: max(1, 32_768 / inner)) { range in
        var (block, position) = range.lowerBound.quotientAndRemainder(dividingBy: count)
        for slice in range {
          let from = source + (block * size + indices[position]) * inner
          let to = target + slice * inner
          if inner == 1 { to[0] = from[0] } else { to.update(from: from, count: inner) }
          position += 1
          if position == count { (block, position) = (block + 1, 0) }
        }
      }
    }
  }
}

/// GatherElements: output[i][j] = data[indices[i][j]][j] for axis 0, and so on.
struct GatherElements: Operator {
  let axis: Int

  init(_ node: Node) throws { axis = try node.int("axis", default: 0) }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "data")
    let indices = try inputs.info(at: 1, named: "indices")
    try ShapeRules.requireIndexType(indices, named: "indices")
    try ElementOffsets.check(data: data.shape, indices: indices.shape, axis: axis)
    return [ValueInfo(type: data.type, shape: indices.shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let data = try inputs.tensor(at: 0)
    let offsets = try ElementOffsets(data: data.shape, indices: try inputs.tensor(at: 1), axis: axis)
    guard let output = outputs.optionalTensor(at: 0) else { return }
    try moveElements(
      GatheredBlocks(offsets: offsets.offsets, length: 1, pool: context.pool), from: [data], to: [output])
  }
}

/// Offsets into `data` that GatherElements and ScatterElements address, in the order of the indices.
struct ElementOffsets {
  var offsets: [Int]

  static func check(data: [Int], indices: [Int], axis: Int) throws(Failure) {
    let axis = try ShapeRules.axis(axis, rank: data.count)
    let fits = indices.count == data.count && data.indices.allSatisfy { $0 == axis || indices[$0] <= data[$0] }
    guard fits else {
      throw Failure(.shapeMismatch, "'indices' does not fit the data", expected: "within \(data)", actual: "\(indices)")
    }
  }

  init(data: [Int], indices: Tensor, axis: Int) throws(Failure) {
    let axis = try ShapeRules.axis(axis, rank: data.count)
    offsets = try indices.resolvedIndices(into: data[axis], axis: axis)
    let strides = ShapeRules.strides(of: data)
    var other = strides
    other[axis] = 0
    let rows = RowOffsets(shape: indices.shape, first: other, second: other)
    var position = 0
    var result = offsets
    rows.forEach(in: 0..<rows.count) { base, _ in
      result[position] = base + result[position] * strides[axis]
      position += 1
    }
    offsets = result
  }
}

/// Copies blocks of `length` consecutive elements from scattered places.
private struct GatheredBlocks: ElementMovement {
  let offsets: [Int]
  let length: Int
  let pool: ThreadPool

  func move<Element>(_ sources: [UnsafePointer<Element>], _ destinations: [UnsafeMutablePointer<Element>]) {
    let (source, target) = (sources[0], destinations[0])
    offsets.withUnsafeBufferPointer { offsets in
      pool.forRanges(offsets.count, grain: max(1, 32_768 / max(1, length))) { range in
        for index in range {
          if length == 1 {
            target[index] = source[offsets[index]]
          } else {
            (target + index * length).update(from: source + offsets[index], count: length)
          }
        }
      }
    }
  }
}

/// GatherND: the last axis of the indices addresses slices of the data.
struct GatherND: Operator {
  let batchDimensions: Int

  init(_ node: Node) throws { batchDimensions = node.version >= 12 ? try node.int("batch_dims", default: 0) : 0 }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "data")
    let indices = try inputs.info(at: 1, named: "indices")
    try ShapeRules.requireIndexType(indices, named: "indices")
    let depth = try SliceOffsets.depth(data: data.shape, indices: indices.shape, batch: batchDimensions)
    let shape = Array(indices.shape.dropLast()) + Array(data.shape[(batchDimensions + depth)...])
    _ = try CheckedSize.product(shape, of: "gathered shape")
    return [ValueInfo(type: data.type, shape: shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let data = try inputs.tensor(at: 0)
    let slices = try SliceOffsets(data: data.shape, indices: try inputs.tensor(at: 1), batch: batchDimensions)
    guard let output = outputs.optionalTensor(at: 0) else { return }
    let movement = GatheredBlocks(offsets: slices.offsets, length: slices.length, pool: context.pool)
    try moveElements(movement, from: [data], to: [output])
  }
}

/// Offsets and length of the slices that GatherND and ScatterND address.
struct SliceOffsets {
  var offsets: [Int]
  var length: Int

  /// The number of axes that one index tuple addresses.
  static func depth(data: [Int], indices: [Int], batch: Int) throws(Failure) -> Int {
    guard batch >= 0, batch < min(data.count, indices.count), let depth = indices.last else {
      throw Failure(
        .shapeMismatch, "'indices' of shape \(indices) and data of shape \(data) need more than \(batch) axes")
    }
    guard depth >= 1 || indices.contains(0), depth <= data.count - batch, data[..<batch] == indices[..<batch] else {
      throw Failure(
        .shapeMismatch, "'indices' of shape \(indices) cannot address data of shape \(data)",
        expected: "the same \(batch) batch axes and 1 to \(data.count - batch) indices per tuple")
    }
    return depth
  }

  init(data: [Int], indices: Tensor, batch: Int) throws(Failure) {
    let depth = try Self.depth(data: data, indices: indices.shape, batch: batch)
    let strides = ShapeRules.strides(of: data)
    length = data[(batch + depth)...].reduce(1, *)
    let values = try indices.integers()
    let count = indices.shape.dropLast().reduce(1, *)
    let perBatch = max(1, indices.shape[batch..<(indices.rank - 1)].reduce(1, *))
    let batchStride = data[batch...].reduce(1, *)
    offsets = [Int](repeating: 0, count: count)
    for tuple in 0..<count {
      var offset = tuple / perBatch * batchStride
      for position in 0..<depth {
        let index = values[tuple * depth + position]
        let size = data[batch + position]
        guard index >= -size, index < size else {
          throw Failure(
            .outOfRange, "index \(index) of tuple \(tuple) lies outside axis \(batch + position) of size \(size)")
        }
        offset += (index < 0 ? index + size : index) * strides[batch + position]
      }
      offsets[tuple] = offset
    }
  }
}
