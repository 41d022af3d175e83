import Graph
import Support

/// How a scattered update meets the element that is already there.
enum ScatterReduction: String {
  case none, add, mul, max, min

  /// Parses the attribute; each opset version knows more words.
  static func make(_ node: Node) throws -> ScatterReduction {
    guard node.version >= 16 else { return .none }
    let words = node.version >= 18 ? ["none", "add", "mul", "max", "min"] : ["none", "add", "mul"]
    return ScatterReduction(rawValue: try node.word("reduction", default: "none", among: words)) ?? .none
  }

  func check(_ data: ValueInfo, _ updates: ValueInfo) throws(Failure) {
    try ShapeRules.requireSameType(data, updates, named: "updates")
    if self != .none { try data.type.requireComputable(named: "data") }
  }

  /// Copies `data` to `output` and applies blocks of `length` updates at `offsets`, in order: with duplicates the last wins.
  func apply(offsets: [Int], length: Int, data: Tensor, updates: Tensor, output: Tensor) throws {
    if self == .none {
      let movement = ScatteredBlocks(offsets: offsets, length: length, count: data.count)
      return try moveElements(movement, from: [data, updates], to: [output])
    }
    try copyElements(from: data, to: output)
    try withNumericElement(
      of: output.type,
      ReducedBlocks(reduction: self, offsets: offsets, length: length, updates: updates, output: output))
  }
}

private struct ScatteredBlocks: ElementMovement {
  let offsets: [Int]
  let length: Int
  let count: Int

  func move<Element>(_ sources: [UnsafePointer<Element>], _ destinations: [UnsafeMutablePointer<Element>]) {
    let target = destinations[0]
    if UnsafePointer(target) != sources[0] { target.update(from: sources[0], count: count) }
    for (index, offset) in offsets.enumerated() {
      (target + offset).update(from: sources[1] + index * length, count: length)
    }
  }
}

private struct ReducedBlocks: NumericComputation {
  let reduction: ScatterReduction
  let offsets: [Int]
  let length: Int
  let updates: Tensor
  let output: Tensor

  func run<Element: NumericElement>(_: Element.Type) {
    switch reduction {
    case .none: break
    case .add: combine(Element.self, Element.sum)
    case .mul: combine(Element.self, Element.product)
    case .max: combine(Element.self, Element.maximum)
    case .min: combine(Element.self, Element.minimum)
    }
  }

  @inline(__always)
  private func combine<Element: NumericElement>(_: Element.Type, _ operation: (Element, Element) -> Element) {
    let source = updates.pointer(Element.self)
    let target = output.pointer(Element.self)
    for (index, offset) in offsets.enumerated() {
      for element in 0..<length {
        target[offset + element] = operation(target[offset + element], source[index * length + element])
      }
    }
  }
}

/// ScatterElements, and Scatter of opsets 9 and 10.
struct ScatterElements: Operator {
  let axis: Int
  let reduction: ScatterReduction
  var inPlaceInputs: [Int] { [0] }

  init(_ node: Node) throws {
    axis = try node.int("axis", default: 0)
    reduction = try ScatterReduction.make(node)
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "data")
    let indices = try inputs.info(at: 1, named: "indices")
    let updates = try inputs.info(at: 2, named: "updates")
    try ShapeRules.requireIndexType(indices, named: "indices")
    try ElementOffsets.check(data: data.shape, indices: indices.shape, axis: axis)
    guard updates.shape == indices.shape else {
      throw Failure(
        .shapeMismatch, "'updates' must have the shape of 'indices'", expected: "\(indices.shape)",
        actual: "\(updates.shape)")
    }
    try reduction.check(data, updates)
    return [ValueInfo(type: data.type, shape: data.shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let data = try inputs.tensor(at: 0)
    let offsets = try ElementOffsets(data: data.shape, indices: try inputs.tensor(at: 1), axis: axis).offsets
    guard let output = outputs.optionalTensor(at: 0) else { return }
    try reduction.apply(offsets: offsets, length: 1, data: data, updates: try inputs.tensor(at: 2), output: output)
  }
}

/// ScatterND: updates of whole slices.
struct ScatterND: Operator {
  let reduction: ScatterReduction
  var inPlaceInputs: [Int] { [0] }

  init(_ node: Node) throws { reduction = try ScatterReduction.make(node) }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "data")
    let indices = try inputs.info(at: 1, named: "indices")
    let updates = try inputs.info(at: 2, named: "updates")
    guard indices.type == .int64 else {
      throw Failure(.typeMismatch, "'indices' must be int64", actual: indices.type.name)
    }
    let depth = try SliceOffsets.depth(data: data.shape, indices: indices.shape, batch: 0)
    let expected = Array(indices.shape.dropLast()) + Array(data.shape[depth...])
    guard updates.shape == expected else {
      throw Failure(
        .shapeMismatch, "'updates' has the wrong shape", expected: "\(expected)", actual: "\(updates.shape)")
    }
    try reduction.check(data, updates)
    return [ValueInfo(type: data.type, shape: data.shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let data = try inputs.tensor(at: 0)
    let slices = try SliceOffsets(data: data.shape, indices: try inputs.tensor(at: 1), batch: 0)
    guard let output = outputs.optionalTensor(at: 0) else { return }
    try reduction.apply(
      offsets: slices.offsets, length: slices.length, data: data, updates: try inputs.tensor(at: 2), output: output)
  }
}

/// TensorScatter (opset 24): writes new entries into a key-value cache at a position per batch entry.
struct TensorScatter: Operator {
  let axis: Int
  let circular: Bool
  var inPlaceInputs: [Int] { [0] }

  init(_ node: Node) throws {
    axis = try node.int("axis", default: -2)
    circular = try node.word("mode", default: "linear", among: ["linear", "circular"]) == "circular"
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let cache = try inputs.info(at: 0, named: "past_cache")
    let update = try inputs.info(at: 1, named: "update")
    try ShapeRules.requireSameType(cache, update, named: "update")
    let axis = try ShapeRules.axis(axis, rank: cache.shape.count)
    guard axis > 0 else { throw Failure(.outOfRange, "axis must not be the batch axis") }
    let fits =
      update.shape.count == cache.shape.count
      && cache.shape.indices.allSatisfy {
        $0 == axis ? update.shape[$0] <= cache.shape[$0] : update.shape[$0] == cache.shape[$0]
      }
    guard fits else {
      throw Failure(
        .shapeMismatch, "'update' does not fit the cache", expected: "like \(cache.shape)", actual: "\(update.shape)")
    }
    if let indices = inputs.optionalInfo(at: 2) {
      guard indices.type == .int64, indices.shape == [cache.shape[0]] else {
        throw Failure(
          .shapeMismatch, "'write_indices' must hold one position per batch entry",
          expected: "int64 [\(cache.shape[0])]", actual: "\(indices.type.name) \(indices.shape)")
      }
    }
    return [ValueInfo(type: cache.type, shape: cache.shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let cache = try inputs.tensor(at: 0)
    let update = try inputs.tensor(at: 1)
    guard let output = outputs.optionalTensor(at: 0), output.count > 0 else { return }
    let axis = try ShapeRules.axis(axis, rank: cache.rank)
    let (size, length) = (cache.shape[axis], update.shape[axis])
    let starts = try inputs.optionalTensor(at: 2)?.integers() ?? [Int](repeating: 0, count: cache.shape[0])
    let inner = cache.shape[(axis + 1)...].reduce(1, *)
    let perBatch = cache.shape[1..<axis].reduce(1, *)
    var offsets: [Int] = []
    offsets.reserveCapacity(cache.shape[0] * perBatch * length)
    for (batch, start) in starts.enumerated() {
      guard start >= 0, start < size || (start == size && length == 0), circular || start + length <= size else {
        throw Failure(
          .outOfRange, "write index \(start) of batch entry \(batch) does not fit \(length) entries into \(size)")
      }
      for block in (batch * perBatch)..<((batch + 1) * perBatch) {
        for entry in 0..<length { offsets.append((block * size + (start + entry) % size) * inner) }
      }
    }
    try ScatterReduction.none.apply(offsets: offsets, length: inner, data: cache, updates: update, output: output)
  }
}
