import Graph
import Support

/// Constant. Its value is known before anything runs.
struct Constant: Operator {
  let value: Tensor

  init(_ node: Node) throws {
    let names = ["value", "value_float", "value_floats", "value_int", "value_ints", "value_string", "value_strings"]
    if node.attributes["sparse_value"] != nil {
      throw Failure(.unsupported, "sparse constants are not implemented")
    }
    guard names.filter({ node.attributes[$0] != nil }).count == 1 else {
      throw Failure(.corrupt, "exactly one of the attributes \(names.joined(separator: ", ")) is required")
    }
    if let tensor = try node.tensor("value") {
      value = tensor
    } else if let number = try node.float("value_float") {
      value = try Tensor(type: .float32, shape: [], values: [number])
    } else if let numbers = try node.floats("value_floats") {
      value = try Tensor(type: .float32, shape: [numbers.count], values: numbers)
    } else if let number = try node.int("value_int") {
      value = try Tensor(type: .int64, shape: [], values: [Int64(number)])
    } else if let numbers = try node.ints("value_ints") {
      value = try Tensor(int64: numbers.map { Int64($0) })
    } else if let text = try node.string("value_string") {
      value = Tensor(strings: [text], shape: [])
    } else {
      let texts = try node.strings("value_strings") ?? []
      value = Tensor(strings: texts, shape: [texts.count])
    }
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    [ValueInfo(type: value.type, shape: value.shape, constant: value)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    if let output = outputs.optionalTensor(at: 0) { try copyElements(from: value, to: output) }
  }
}

/// ConstantOfShape: one value everywhere, float32 zero by default.
struct ConstantOfShape: Operator {
  let value: Tensor

  init(_ node: Node) throws {
    value = try node.tensor("value") ?? Tensor.scalar(.float32, 0)
    guard value.count == 1 else {
      throw Failure(.shapeMismatch, "attribute 'value' must be one element", actual: "\(value.shape)")
    }
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    _ = try inputs.info(at: 0, named: "input")
    if inputs.isUnknown(at: 0) { return nil }
    let shape = try inputs.requiredIntegers(at: 0, named: "input")
    _ = try CheckedSize.product(shape, of: "constant's shape")
    return [ValueInfo(type: value.type, shape: shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    try outputs.optionalTensor(at: 0)?.fill(with: value, pool: context.pool)
  }
}

/// Range: start, start + delta, … before limit.
struct RangeOperator: Operator {
  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let start = try inputs.info(at: 0, named: "start")
    for (index, name) in [(1, "limit"), (2, "delta")] {
      try ShapeRules.requireSameType(start, try inputs.info(at: index, named: name), named: name)
    }
    guard [.float32, .float64, .int16, .int32, .int64].contains(start.type) else {
      throw Failure(.unsupported, "a range of this element type is not implemented", actual: start.type.name)
    }
    if inputs.isUnknown(at: 0, 1, 2) { return nil }
    return [ValueInfo(type: start.type, shape: [try count(for: inputs)])]
  }

  private func count(for inputs: [ValueInfo?]) throws -> Int {
    if inputs.optionalInfo(at: 0)?.type.isInteger ?? false {
      let start = try inputs.integer(at: 0, named: "start") ?? 0
      let limit = try inputs.integer(at: 1, named: "limit") ?? 0
      let delta = try inputs.integer(at: 2, named: "delta") ?? 1
      guard delta != 0 else { throw Failure(.outOfRange, "a range's delta must not be 0") }
      guard delta > 0 ? limit > start : limit < start else { return 0 }
      let span = limit >= start ? UInt(bitPattern: limit &- start) : UInt(bitPattern: start &- limit)
      return try Self.checked(Double((span - 1) / delta.magnitude) + 1)
    }
    let start = try inputs.number(at: 0, named: "start") ?? 0
    let limit = try inputs.number(at: 1, named: "limit") ?? 0
    let delta = try inputs.number(at: 2, named: "delta") ?? 1
    guard delta != 0 else { throw Failure(.outOfRange, "a range's delta must not be 0") }
    return try Self.checked(((limit - start) / delta).rounded(.up))
  }

  private static func checked(_ count: Double) throws(Failure) -> Int {
    guard count.isFinite, count.magnitude <= Double(CheckedSize.maximumBytes) else {
      throw Failure(.outOfMemory, "a range of \(count) elements is too long")
    }
    return max(0, Int(count))
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let output = outputs.optionalTensor(at: 0), output.count > 0 else { return }
    let fill = Fill(start: try inputs.tensor(at: 0), delta: try inputs.tensor(at: 2), output: output)
    try withNumericElement(of: output.type, fill)
  }

  private struct Fill: NumericComputation {
    let start: Tensor
    let delta: Tensor
    let output: Tensor
    func run<Element: NumericElement>(_: Element.Type) {
      let (first, step) = (start.pointer(Element.self)[0], delta.pointer(Element.self)[0])
      for index in 0..<output.count {
        let distance = Element.product(Element(rounding: Double(index)), step)
        output.pointer(Element.self)[index] = Element.sum(first, distance)
      }
    }
  }
}
