import Graph
import Support

/// Cast and CastLike between all element types but complex ones.
///
/// Floats round half to even; floats to integers go toward zero, and what lies beyond the integer's range is undefined in
/// ONNX (here: as x86 converts). Integers to narrower integers keep their low bits. Strings are read and written as
/// decimal numbers.
struct CastOperator: Operator {
  /// Nil: the type of input 1 (CastLike).
  private let target: DataType?
  private let rules: NarrowingRules

  init(_ node: Node, takesTypeFromInput: Bool) throws {
    target = takesTypeFromInput ? nil : try node.required(node.castTarget(), "to")
    let mode = try node.string("round_mode", default: "up")
    guard let rounding = PowerOfTwo.Rounding(rawValue: mode) else {
      throw Failure(.corrupt, "attribute 'round_mode' is '\(mode)'", expected: "nearest, up or down")
    }
    rules = NarrowingRules(saturate: try node.bool("saturate", default: true), powerOfTwoRounding: rounding)
  }

  var inPlaceInputs: [Int] { [0] }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x: ValueInfo = try inputs.operand(0)
    let type: DataType
    if let target {
      type = target
    } else {
      let like: ValueInfo = try inputs.operand(1)
      type = like.type
    }
    guard x.type == type || (!isComplex(x.type) && !isComplex(type)) else {
      throw Failure(.unsupported, "casts of complex numbers", actual: "\(x.type.name) to \(type.name)")
    }
    return [ValueInfo(type: type, shape: x.shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let result = outputs.optionalOperand(0) else { return }
    let x: Tensor = try inputs.operand(0)
    switch (x.type, result.type) {
    case (.string, .string): result.strings = x.strings
    case (.string, _): try parse(x.strings, result)
    case (_, .string): result.strings = format(x)
    case (let from, let to) where from == to:
      if x.bytes.baseAddress != result.bytes.baseAddress {
        result.bytes.copyMemory(from: UnsafeRawBufferPointer(x.bytes))
      }
    default: Cast.convert(x, result, rules: rules, pool: context.pool)
    }
  }

  private func isComplex(_ type: DataType) -> Bool { type == .complex64 || type == .complex128 }

  private func parse(_ strings: [String], _ result: Tensor) throws {
    let target = result.rawPointer
    let isInteger = ComputeKind(result.type).map { $0 == .int64 || $0 == .uint64 } ?? false
    // Eight at a time, so that types below one byte fill whole bytes.
    for start in stride(from: 0, to: strings.count, by: 8) {
      let group = strings[start..<min(start + 8, strings.count)]
      if isInteger, let integers = parsedIntegers(group) {
        Int64.narrow(result.type, integers, count: integers.count, into: target, at: start, rules: rules)
        continue
      }
      let numbers = try group.map { text throws(Failure) in
        guard let number = parsedNumber(text) else {
          throw Failure(.outOfRange, "a string is not a number", expected: "a number", actual: "'\(text)'")
        }
        return number
      }
      Double.narrow(result.type, numbers, count: numbers.count, into: target, at: start, rules: rules)
    }
  }

  /// Nil unless all are integers written without point and exponent.
  private func parsedIntegers(_ group: ArraySlice<String>) -> [Int64]? {
    var values: [Int64] = []
    for text in group {
      if let value = Int64(text) {
        values.append(value)
      } else if let value = UInt64(text) {
        values.append(Int64(bitPattern: value))
      } else {
        return nil
      }
    }
    return values
  }

  /// Decimal or scientific notation, and the special values in any case.
  private func parsedNumber(_ text: String) -> Double? {
    switch text.lowercased() {
    case "inf", "+inf", "infinity", "+infinity": .infinity
    case "-inf", "-infinity": -.infinity
    case "nan", "+nan", "-nan": .nan
    default: Double(text)
    }
  }

  /// The shortest decimal that reads back as the same number; integers and bools (1, 0) in decimal.
  private func format(_ x: Tensor) -> [String] {
    let source = UnsafeRawPointer(x.rawPointer)
    return (0..<x.count).map { index in
      switch ComputeKind(x.type) {
      case .int64?:
        var value: Int64 = 0
        Int64.widen(x.type, source, at: index, count: 1, into: &value)
        return "\(value)"
      case .uint64?, .bool?:
        var value: UInt64 = 0
        UInt64.widen(x.type, source, at: index, count: 1, into: &value)
        return "\(value)"
      case .float64?:
        var value = 0.0
        Double.widen(x.type, source, at: index, count: 1, into: &value)
        return "\(value)"
      case .float32?, nil:
        var value: Float = 0
        Float.widen(x.type, source, at: index, count: 1, into: &value)
        return x.type.isFloatingPoint ? "\(value)" : "\(Int(value))"
      }
    }
  }
}

/// Conversion of whole tensors between numeric types.
enum Cast {
  static func convert(_ x: Tensor, _ result: Tensor, rules: NarrowingRules = .standard, pool: ThreadPool) {
    switch (x.type, result.type) {
    // Float holds all three exactly and rounds to each of them once.
    case (.float32, .float16), (.float32, .bfloat16), (.float16, .float32), (.bfloat16, .float32),
      (.float16, .bfloat16), (.bfloat16, .float16):
      convert(x, result, through: Float.self, rules, pool)
    case (.float64, _), (.float32, _), (.float16, _), (.bfloat16, _), (.float8e4m3fn, _), (.float8e4m3fnuz, _),
      (.float8e5m2, _), (.float8e5m2fnuz, _), (.float8e8m0, _), (.float4e2m1, _):
      convert(x, result, through: Double.self, rules, pool)
    case (.uint64, _): convert(x, result, through: UInt64.self, rules, pool)
    default: convert(x, result, through: Int64.self, rules, pool)
    }
  }

  private static func convert<Compute: ComputeElement>(
    _ x: Tensor, _ result: Tensor, through _: Compute.Type, _ rules: NarrowingRules, _ pool: ThreadPool
  ) {
    let source = UnsafeRawPointer(x.rawPointer)
    let target = result.rawPointer
    pool.forAlignedRanges(x.count, grain: Grain.heavy) { range in
      withChunk(of: Compute.self) { chunk in
        forChunks(range) { start, count in
          Compute.widen(x.type, source, at: start, count: count, into: chunk)
          Compute.narrow(result.type, chunk, count: count, into: target, at: start, rules: rules)
        }
      }
    }
  }
}

extension Node {
  /// The target type: a number, or before opset 6 its name.
  fileprivate func castTarget() throws -> DataType? {
    guard case .string(let name)? = attributes["to"] else { return try dataType("to") }
    let names: [String: DataType] = [
      "FLOAT": .float32, "UINT8": .uint8, "INT8": .int8, "UINT16": .uint16, "INT16": .int16, "INT32": .int32,
      "INT64": .int64, "STRING": .string, "BOOL": .bool, "FLOAT16": .float16, "DOUBLE": .float64, "UINT32": .uint32,
      "UINT64": .uint64,
    ]
    guard let type = names[name.uppercased()] else {
      throw Failure(.unsupported, "attribute 'to' names element type '\(name)', which is not known")
    }
    return type
  }
}

/// BitCast: the same bytes under another type of the same width.
struct BitCastOperator: Operator {
  private let target: DataType

  init(_ node: Node) throws {
    target = try node.required(node.dataType("to"), "to")
  }

  var inPlaceInputs: [Int] { [0] }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x: ValueInfo = try inputs.operand(0)
    guard x.type != .string, x.type.bitWidth == target.bitWidth else {
      throw Failure(.typeMismatch, "types differ in width", expected: target.name, actual: x.type.name)
    }
    return [ValueInfo(type: target, shape: x.shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let result = outputs.optionalOperand(0) else { return }
    let x: Tensor = try inputs.operand(0)
    if x.bytes.baseAddress != result.bytes.baseAddress {
      result.bytes.copyMemory(from: UnsafeRawBufferPointer(x.bytes))
    }
  }
}
