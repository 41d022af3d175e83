import Graph
import Support

/// OneHot: `values[1]` at the indexed place of a new axis, `values[0]` elsewhere. Indices out of range select nothing.
struct OneHot: Operator {
  let axis: Int

  init(_ node: Node) throws { axis = try node.int("axis", default: -1) }

  private func depth(for inputs: [ValueInfo?]) throws -> Int {
    guard let number = try inputs.number(at: 1, named: "depth"), let depth = Int(exactly: number.rounded(.towardZero)),
      depth >= 0
    else {
      throw Failure(.outOfRange, "'depth' must be a number of classes")
    }
    return depth
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let indices = try inputs.info(at: 0, named: "indices")
    let values = try inputs.info(at: 2, named: "values")
    try indices.type.requireComputable(named: "indices")
    guard values.shape == [2] else {
      throw Failure(.shapeMismatch, "'values' must hold off and on", expected: "[2]", actual: "\(values.shape)")
    }
    if inputs.isUnknown(at: 1) { return nil }
    var shape = indices.shape
    shape.insert(try depth(for: inputs), at: try ShapeRules.axis(axis, rank: shape.count + 1))
    _ = try CheckedSize.product(shape, of: "output shape")
    return [ValueInfo(type: values.type, shape: shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let indices = try inputs.tensor(at: 0)
    let depth = try depth(for: inputs.infos)
    guard let output = outputs.optionalTensor(at: 0) else { return }
    let axis = try ShapeRules.axis(axis, rank: output.rank)
    let inner = output.shape[(axis + 1)...].reduce(1, *)
    let places = try indices.numbers().enumerated().compactMap { position, number -> Int? in
      guard let index = Int(exactly: number.rounded(.towardZero)), index >= -depth, index < depth else { return nil }
      let resolved = index < 0 ? index + depth : index
      return (position / inner * depth + resolved) * inner + position % inner
    }
    try moveElements(Marks(count: output.count, places: places), from: [try inputs.tensor(at: 2)], to: [output])
  }

  private struct Marks: ElementMovement {
    let count: Int
    let places: [Int]

    func move<Element>(_ sources: [UnsafePointer<Element>], _ destinations: [UnsafeMutablePointer<Element>]) {
      destinations[0].update(repeating: sources[0][0], count: count)
      for place in places { destinations[0][place] = sources[0][1] }
    }
  }
}
