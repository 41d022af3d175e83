import Graph
import Support

/// An operator whose output is its first input's memory under another shape.
protocol ViewOperator: Operator {}

extension ViewOperator {
  var isView: Bool { true }
  var inPlaceInputs: [Int] { [0] }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let output = outputs.optionalTensor(at: 0) else { return }
    try copyElements(from: inputs.tensor(at: 0), to: output)
  }
}

/// Reshape. The target shape is an attribute before opset 5, an input since.
struct Reshape: ViewOperator {
  let attributeShape: [Int]?
  let allowZero: Bool

  init(_ node: Node) throws {
    attributeShape = node.version < 5 ? try node.required(node.ints("shape"), "shape") : nil
    allowZero = node.version >= 14 ? try node.bool("allowzero", default: false) : false
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "data")
    if attributeShape == nil && inputs.isUnknown(at: 1) { return nil }
    let target = try attributeShape ?? inputs.requiredIntegers(at: 1, named: "shape")
    return [ValueInfo(type: data.type, shape: try Self.resolve(target, from: data.shape, allowZero: allowZero))]
  }

  /// 0 copies the input's dimension (unless `allowZero`), one -1 takes what remains.
  static func resolve(_ target: [Int], from shape: [Int], allowZero: Bool) throws(Failure) -> [Int] {
    let mismatch = Failure(.shapeMismatch, "a tensor of shape \(shape) cannot be reshaped to \(target)")
    var result = target
    var open: Int?
    for (axis, size) in target.enumerated() {
      if size == 0 && !allowZero {
        guard axis < shape.count else { throw mismatch }
        result[axis] = shape[axis]
      } else if size == -1 {
        guard open == nil else { throw mismatch }
        open = axis
        result[axis] = 1
      } else if size < 0 {
        throw mismatch
      }
    }
    let count = try CheckedSize.product(shape, of: "tensor shape")
    let known = try CheckedSize.product(result, of: "target shape")
    if let open {
      guard known != 0, count % known == 0 else { throw mismatch }
      result[open] = count / known
    } else {
      guard known == count else { throw mismatch }
    }
    return result
  }
}

/// Flatten to a matrix: axes before `axis` become rows.
struct Flatten: ViewOperator {
  let axis: Int

  init(_ node: Node) throws { axis = try node.int("axis", default: 1) }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "input")
    let rank = data.shape.count
    guard axis >= -rank, axis <= rank else {
      throw Failure(.outOfRange, "axis \(axis) does not exist in a tensor of rank \(rank)")
    }
    let split = axis < 0 ? axis + rank : axis
    let rows = try CheckedSize.product(Array(data.shape[..<split]), of: "rows")
    let columns = try CheckedSize.product(Array(data.shape[split...]), of: "columns")
    return [ValueInfo(type: data.type, shape: [rows, columns])]
  }
}

/// Squeeze. Axes are an attribute before opset 13, an input since; without any, every axis of size 1 goes.
struct Squeeze: ViewOperator {
  let attributeAxes: [Int]?
  let readsInput: Bool

  init(_ node: Node) throws {
    readsInput = node.version >= 13
    attributeAxes = readsInput ? nil : try node.ints("axes")
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "data")
    if readsInput && inputs.isUnknown(at: 1) { return nil }
    let given = readsInput ? try inputs.integers(at: 1, named: "axes") : attributeAxes
    let axes: Set<Int>
    if let given {
      axes = Set(try ShapeRules.axes(given, rank: data.shape.count))
      for axis in axes where data.shape[axis] != 1 {
        throw Failure(.shapeMismatch, "axis \(axis) of shape \(data.shape) cannot be squeezed", expected: "size 1")
      }
    } else {
      axes = Set(data.shape.indices.filter { data.shape[$0] == 1 })
    }
    return [ValueInfo(type: data.type, shape: data.shape.indices.filter { !axes.contains($0) }.map { data.shape[$0] })]
  }
}

/// Unsqueeze. Axes refer to the result; an attribute before opset 13, an input since.
struct Unsqueeze: ViewOperator {
  let attributeAxes: [Int]?

  init(_ node: Node) throws {
    attributeAxes = node.version < 13 ? try node.required(node.ints("axes"), "axes") : nil
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "data")
    if attributeAxes == nil && inputs.isUnknown(at: 1) { return nil }
    let given = try attributeAxes ?? inputs.requiredIntegers(at: 1, named: "axes")
    let rank = data.shape.count + given.count
    let axes = Set(try ShapeRules.axes(given, rank: rank))
    var rest = data.shape.makeIterator()
    let shape = (0..<rank).map { axes.contains($0) ? 1 : rest.next() ?? 1 }
    return [ValueInfo(type: data.type, shape: shape)]
  }
}

/// Identity. Also carries sequences and optionals, which have no planned memory.
struct Identity: ViewOperator, DynamicOperator {
  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    [try inputs.info(at: 0, named: "input")]
  }

  func evaluate(_ inputs: [Value?], context: RunContext) throws -> [Value?] { [inputs.first ?? nil] }
}

/// Shape, with `start` and `end` since opset 15. Known before anything runs.
struct ShapeOperator: Operator {
  let start: Int
  let end: Int?

  init(_ node: Node) throws {
    start = node.version >= 15 ? try node.int("start", default: 0) : 0
    end = node.version >= 15 ? try node.int("end") : nil
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let values = slice(of: try inputs.info(at: 0, named: "data").shape)
    return [ValueInfo(type: .int64, shape: [values.count], constant: try Tensor(int64: values))]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let shape = try inputs.tensor(at: 0).shape
    guard let output = outputs.optionalTensor(at: 0) else { return }
    try copyElements(from: Tensor(int64: slice(of: shape)), to: output)
  }

  private func slice(of shape: [Int]) -> [Int64] {
    func clamp(_ index: Int) -> Int { min(max(index < 0 ? index + shape.count : index, 0), shape.count) }
    let first = clamp(start)
    let last = max(first, end.map(clamp) ?? shape.count)
    return shape[first..<last].map { Int64($0) }
  }
}

/// Size: the number of elements, as an int64 scalar. Known before anything runs.
struct SizeOperator: Operator {
  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let count = try CheckedSize.product(try inputs.info(at: 0, named: "data").shape, of: "tensor shape")
    return [ValueInfo(type: .int64, shape: [], constant: try Tensor(type: .int64, shape: [], values: [Int64(count)]))]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let count = try inputs.tensor(at: 0).count
    outputs.optionalTensor(at: 0)?.pointer(Int64.self)[0] = Int64(count)
  }
}
