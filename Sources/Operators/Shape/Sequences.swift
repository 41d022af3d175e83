import Graph
import Support

/// Checked access to the values a dynamic operator receives.
extension [Value?] {
  func value(at index: Int, named name: String) throws(Failure) -> Value {
    guard index < count, let value = self[index] else {
      throw Failure(.corrupt, "required input \(index) '\(name)' is missing")
    }
    return value
  }

  func tensorValue(at index: Int, named name: String) throws(Failure) -> Tensor {
    guard case .tensor(let tensor) = try value(at: index, named: name) else {
      throw Failure(.typeMismatch, "input '\(name)' must be a tensor")
    }
    return tensor
  }

  func optionalTensorValue(at index: Int, named name: String) throws(Failure) -> Tensor? {
    guard index < count, self[index] != nil else { return nil }
    return try tensorValue(at: index, named: name)
  }

  func sequence(at index: Int, named name: String) throws(Failure) -> [Value] {
    guard case .sequence(let values) = try value(at: index, named: name) else {
      throw Failure(.typeMismatch, "input '\(name)' must be a sequence")
    }
    return values
  }

  /// The only element of an optional integer input.
  func integer(at index: Int, named name: String) throws(Failure) -> Int? {
    guard let tensor = try optionalTensorValue(at: index, named: name) else { return nil }
    guard tensor.type.isInteger, tensor.count == 1 else {
      throw Failure(.typeMismatch, "input '\(name)' must be one integer", actual: "\(tensor.type.name) \(tensor.shape)")
    }
    return try tensor.integers()[0]
  }
}

/// An operator on values that a plain function computes.
struct ValueFunction: DynamicOperator {
  let body: @Sendable ([Value?], RunContext) throws -> Value?

  func evaluate(_ inputs: [Value?], context: RunContext) throws -> [Value?] { [try body(inputs, context)] }
}

enum SequenceFunctions {
  static func construct(_ inputs: [Value?], _ context: RunContext) throws -> Value? {
    let elements = try inputs.indices.map { try inputs.tensorValue(at: $0, named: "inputs") }
    guard elements.allSatisfy({ $0.type == elements[0].type }) else {
      throw Failure(.typeMismatch, "the tensors of a sequence must have one element type")
    }
    return .sequence(elements.map { .tensor($0) })
  }

  static func length(_ inputs: [Value?], _ context: RunContext) throws -> Value? {
    let count = try inputs.sequence(at: 0, named: "input_sequence").count
    return .tensor(try Tensor(type: .int64, shape: [], values: [Int64(count)]))
  }

  static func at(_ inputs: [Value?], _ context: RunContext) throws -> Value? {
    let elements = try inputs.sequence(at: 0, named: "input_sequence")
    _ = try inputs.value(at: 1, named: "position")
    let position = try inputs.integer(at: 1, named: "position") ?? 0
    return elements[try place(position, in: elements.count)]
  }

  static func insert(_ inputs: [Value?], _ context: RunContext) throws -> Value? {
    var elements = try inputs.sequence(at: 0, named: "input_sequence")
    let tensor = try inputs.tensorValue(at: 1, named: "tensor")
    if case .tensor(let first)? = elements.first, first.type != tensor.type {
      throw Failure(
        .typeMismatch, "the tensors of a sequence must have one element type", expected: first.type.name,
        actual: tensor.type.name)
    }
    let position = try inputs.integer(at: 2, named: "position") ?? elements.count
    let count = elements.count
    guard position >= -count, position <= count else {
      throw Failure(.outOfRange, "position \(position) lies outside a sequence of \(count)")
    }
    elements.insert(.tensor(tensor), at: position < 0 ? position + count : position)
    return .sequence(elements)
  }

  static func erase(_ inputs: [Value?], _ context: RunContext) throws -> Value? {
    var elements = try inputs.sequence(at: 0, named: "input_sequence")
    let position = try inputs.integer(at: 1, named: "position") ?? -1
    elements.remove(at: try place(position, in: elements.count))
    return .sequence(elements)
  }

  private static func place(_ position: Int, in count: Int) throws(Failure) -> Int {
    guard position >= -count, position < count else {
      throw Failure(.outOfRange, "position \(position) lies outside a sequence of \(count)")
    }
    return position < 0 ? position + count : position
  }

  static func hasElement(_ inputs: [Value?], _ context: RunContext) throws -> Value? {
    let present: Bool
    switch inputs.first ?? nil {
    case nil, .optional(nil)?: present = false
    default: present = true
    }
    return .tensor(try Tensor(type: .bool, shape: [], values: [present]))
  }

  static func getElement(_ inputs: [Value?], _ context: RunContext) throws -> Value? {
    switch try inputs.value(at: 0, named: "input") {
    case .optional(nil): throw Failure(.invalidArgument, "the optional has no element")
    case .optional(let element?): return element
    case let value: return value
    }
  }

  static func optional(_ inputs: [Value?], _ context: RunContext) throws -> Value? { .optional(inputs.first ?? nil) }
}

/// SplitToSequence: equal parts of a scalar size, given sizes, or single slices.
struct SplitToSequence: DynamicOperator {
  let axis: Int
  let keepAxis: Bool

  init(_ node: Node) throws {
    axis = try node.int("axis", default: 0)
    keepAxis = try node.bool("keepdims", default: true)
  }

  func evaluate(_ inputs: [Value?], context: RunContext) throws -> [Value?] {
    let data = try inputs.tensorValue(at: 0, named: "input")
    let axis = try ShapeRules.axis(axis, rank: data.rank)
    let split = try inputs.optionalTensorValue(at: 1, named: "split")
    let sizes =
      try split.map { try Self.sizes($0, of: data.shape[axis]) } ?? [Int](repeating: 1, count: data.shape[axis])
    let strides = ShapeRules.strides(of: data.shape)
    var offset = 0
    var elements: [Value] = []
    for size in sizes {
      var shape = data.shape
      shape[axis] = size
      var part = try Tensor(type: data.type, shape: shape)
      let copy = StridedCopy(
        shape: shape, sourceStrides: strides, sourceOffset: offset * strides[axis],
        destinationStrides: ShapeRules.strides(of: shape), pool: context.pool)
      try moveElements(copy, from: [data], to: [part])
      offset += size
      if split == nil && !keepAxis {
        shape.remove(at: axis)
        part = part.reshaped(shape)
      }
      elements.append(.tensor(part))
    }
    return [.sequence(elements)]
  }

  private static func sizes(_ split: Tensor, of dimension: Int) throws(Failure) -> [Int] {
    guard split.type.isInteger, split.rank <= 1 else {
      throw Failure(.typeMismatch, "'split' must hold integers", actual: "\(split.type.name) \(split.shape)")
    }
    let values = try split.integers()
    if split.rank == 0 {
      guard values[0] > 0 else { throw Failure(.outOfRange, "split size \(values[0]) must be positive") }
      return stride(from: 0, to: dimension, by: min(values[0], max(1, dimension))).map {
        min(values[0], dimension - $0)
      }
    }
    var total = 0
    for value in values {
      guard value >= 0 else { throw Failure(.outOfRange, "split size \(value) is negative") }
      total = try CheckedSize.sum(total, value, of: "split sizes")
    }
    guard total == dimension else {
      throw Failure(.shapeMismatch, "split sizes \(values) do not fit", expected: "the sum \(dimension)")
    }
    return values
  }
}

/// ConcatFromSequence: joins along an existing axis, or stacks along a new one.
struct ConcatFromSequence: DynamicOperator {
  let axis: Int
  let newAxis: Bool

  init(_ node: Node) throws {
    axis = try node.required(node.int("axis"), "axis")
    newAxis = try node.bool("new_axis", default: false)
  }

  func evaluate(_ inputs: [Value?], context: RunContext) throws -> [Value?] {
    var parts: [Tensor] = []
    for value in try inputs.sequence(at: 0, named: "input_sequence") {
      guard case .tensor(let tensor) = value else {
        throw Failure(.typeMismatch, "a sequence of tensors is required")
      }
      parts.append(tensor)
    }
    guard let first = parts.first else { throw Failure(.shapeMismatch, "an empty sequence cannot be joined") }
    var axis = axis
    if newAxis {
      axis = try ShapeRules.axis(axis, rank: first.rank + 1)
      parts = parts.map { part in
        var shape = part.shape
        shape.insert(1, at: min(axis, shape.count))
        return part.reshaped(shape)
      }
    }
    let join = Concat(axis: axis)
    guard let info = try join.outputs(for: parts.map { ValueInfo(type: $0.type, shape: $0.shape) })?.first else {
      throw Failure(.internalError, "the joined shape is not known")
    }
    let output = try Tensor(type: info.type, shape: info.shape)
    try join.run(inputs: parts, outputs: [output], context: context)
    return [.tensor(output)]
  }
}
