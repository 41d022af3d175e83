import Graph
import Support

/// The range of an integer type that values are quantised to, nil for other types.
private func integerRange(_ type: DataType) -> ClosedRange<Float>? {
  switch type {
  case .uint8: 0...255
  case .int8: -128...127
  case .uint16: 0...65535
  case .int16: -32768...32767
  case .uint4: 0...15
  case .int4: -8...7
  case .uint2: 0...3
  case .int2: -2...1
  default: nil
  }
}

private func isQuantizedFloat(_ type: DataType) -> Bool {
  switch type {
  case .float8e4m3fn, .float8e4m3fnuz, .float8e5m2, .float8e5m2fnuz, .float4e2m1: true
  default: false
  }
}

/// A tensor of few elements, all in Float.
private func floats(_ tensor: Tensor) throws(Failure) -> Tensor {
  let wide = try Tensor(type: .float32, shape: tensor.shape)
  Float.widen(tensor.type, tensor.rawPointer, at: 0, count: tensor.count, into: wide.pointer())
  return wide
}

/// QuantizeLinear: saturate(round half to even(x / scale) + zero point); float targets are cast without rounding first.
struct QuantizeLinear: Operator {
  private let axis: Int
  private let blockSize: Int
  private let saturate: Bool
  private let outputType: DataType?
  private let precision: DataType?

  init(_ node: Node) throws {
    axis = try node.int("axis", default: 1)
    blockSize = try node.int("block_size", default: 0)
    saturate = try node.bool("saturate", default: true)
    outputType = try node.int("output_dtype", default: 0) == 0 ? nil : node.dataType("output_dtype")
    precision = try node.int("precision", default: 0) == 0 ? nil : node.dataType("precision")
    if let precision, ![.float32, .float16, .bfloat16].contains(precision) {
      throw Failure(
        .unsupported, "attribute 'precision'", expected: "float32, float16, bfloat16", actual: precision.name)
    }
    guard blockSize >= 0 else { throw Failure(.corrupt, "attribute 'block_size' is \(blockSize)") }
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x: ValueInfo = try inputs.operand(0)
    let scale: ValueInfo = try inputs.operand(1)
    let allowed: [DataType] = [.float32, .float16, .bfloat16, .int32]
    try x.requireType(allowed.contains(x.type), "float32, float16, bfloat16 or int32")
    try scale.requireType(
      [.float32, .float16, .bfloat16, .float8e8m0, .int32].contains(scale.type), "a floating-point type")
    var type = outputType ?? .uint8
    if let zeroPoint: ValueInfo = inputs.optionalOperand(2) {
      guard outputType == nil || outputType == zeroPoint.type else {
        throw Failure(
          .typeMismatch, "output_dtype contradicts the zero point", expected: type.name, actual: zeroPoint.type.name)
      }
      type = zeroPoint.type
      guard
        zeroPoint.shape == scale.shape || (zeroPoint.shape.allSatisfy { $0 == 1 } && scale.shape.allSatisfy { $0 == 1 })
      else {
        throw Failure(
          .shapeMismatch, "scale and zero point differ in shape", expected: "\(scale.shape)",
          actual: "\(zeroPoint.shape)")
      }
    }
    guard integerRange(type) != nil || isQuantizedFloat(type) else {
      throw Failure(.typeMismatch, "not a type to quantise to", actual: type.name)
    }
    _ = try QuantizationLayout(shape: x.shape, scale: scale.shape, axis: axis, blockSize: blockSize)
    return [ValueInfo(type: type, shape: x.shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let result = outputs.optionalOperand(0) else { return }
    let x: Tensor = try inputs.operand(0)
    let scale: Tensor = try inputs.operand(1)
    let layout = try QuantizationLayout(shape: x.shape, scale: scale.shape, axis: axis, blockSize: blockSize)
    let scales = try floats(scale)
    round(scales.pointer(), scales.count, to: precision)
    let zeroPoints: Tensor? = try (inputs.optionalOperand(2) as Tensor?).map { try floats($0) }
    if x.count > 0 {
      try quantize(x, scales, zeroPoints, result, layout, quotientType(x.type, scale.type), context.pool)
    }
  }

  /// The type that x / scale is rounded to: numpy's, unless the model asks for another.
  private func quotientType(_ x: DataType, _ scale: DataType) -> DataType {
    precision ?? (x == scale && (x == .float16 || x == .bfloat16) ? x : .float32)
  }

  private func quantize(
    _ x: Tensor, _ scales: Tensor, _ zeroPoints: Tensor?, _ result: Tensor, _ layout: QuantizationLayout,
    _ quotientType: DataType, _ pool: ThreadPool
  ) throws {
    let zero = try Tensor(type: .float32, shape: [], values: [Float(0)])
    let source = UnsafeRawPointer(x.rawPointer)
    let target = result.rawPointer
    let factors = UnsafePointer(scales.pointer(Float.self))
    let offsets = UnsafePointer((zeroPoints ?? zero).pointer(Float.self))
    let range = integerRange(result.type)
    let rules = NarrowingRules(saturate: saturate)
    // The pointers above do not keep their tensors alive.
    defer { withExtendedLifetime((scales, zeroPoints, zero)) {} }
    pool.forAlignedRanges(x.count, grain: Grain.heavy) { elements in
      withChunk(of: Float.self) { chunk in
        forChunks(elements) { start, count in
          Float.widen(x.type, source, at: start, count: count, into: chunk)
          round(chunk, count, to: precision)
          layout.forEachRun(start..<start + count) { first, length, scaleIndex, step in
            let piece = chunk + (first - start)
            for i in 0..<length { piece[i] = piece[i] / factors[scaleIndex + i * step] }
            round(piece, length, to: quotientType)
            let offset = zeroPoints == nil ? offsets : offsets + scaleIndex
            let offsetStep = zeroPoints == nil ? 0 : step
            guard let range else {
              for i in 0..<length { piece[i] += offset[i * offsetStep] }
              return
            }
            let (lowest, highest) = (range.lowerBound, range.upperBound)
            for i in 0..<length {
              let shifted = roundHalfEven(piece[i]) + offset[i * offsetStep]
              let low = shifted > lowest ? shifted : lowest
              let limited = low < highest ? low : highest
              // NaN has no integer; the zero point stands for it.
              piece[i] = shifted != shifted ? offset[i * offsetStep] : limited
            }
          }
          Float.narrow(result.type, chunk, count: count, into: target, at: start, rules: rules)
        }
      }
    }
  }

  /// Rounds up to one chunk of values to a narrower type; nothing for nil and float32.
  private func round(_ values: UnsafeMutablePointer<Float>, _ count: Int, to type: DataType?) {
    guard let type, type != .float32 else { return }
    withChunk(of: UInt16.self) { narrow in
      forChunks(0..<count) { start, length in
        Float.narrow(type, values + start, count: length, into: narrow, at: 0, rules: .standard)
        Float.widen(type, narrow, at: 0, count: length, into: values + start)
      }
    }
  }
}

/// DequantizeLinear: (x - zero point) * scale, computed in Float and rounded to the output type.
struct DequantizeLinear: Operator {
  private let axis: Int
  private let blockSize: Int
  private let outputType: DataType?

  init(_ node: Node) throws {
    axis = try node.int("axis", default: 1)
    blockSize = try node.int("block_size", default: 0)
    outputType = try node.int("output_dtype", default: 0) == 0 ? nil : node.dataType("output_dtype")
    guard blockSize >= 0 else { throw Failure(.corrupt, "attribute 'block_size' is \(blockSize)") }
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x: ValueInfo = try inputs.operand(0)
    let scale: ValueInfo = try inputs.operand(1)
    try x.requireType(
      integerRange(x.type) != nil || isQuantizedFloat(x.type) || x.type == .int32, "a quantised type")
    if let zeroPoint: ValueInfo = inputs.optionalOperand(2) {
      try zeroPoint.requireSameType(as: x)
      guard
        zeroPoint.shape == scale.shape || (zeroPoint.shape.allSatisfy { $0 == 1 } && scale.shape.allSatisfy { $0 == 1 })
      else {
        throw Failure(
          .shapeMismatch, "scale and zero point differ in shape", expected: "\(scale.shape)",
          actual: "\(zeroPoint.shape)")
      }
    }
    let type = outputType ?? scale.type
    guard [.float32, .float16, .bfloat16].contains(type) else {
      throw Failure(
        .typeMismatch, "not a type to dequantise to", expected: "float32, float16, bfloat16", actual: type.name)
    }
    _ = try QuantizationLayout(shape: x.shape, scale: scale.shape, axis: axis, blockSize: blockSize)
    return [ValueInfo(type: type, shape: x.shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let result = outputs.optionalOperand(0) else { return }
    let x: Tensor = try inputs.operand(0)
    let scale: Tensor = try inputs.operand(1)
    guard x.count > 0 else { return }
    let layout = try QuantizationLayout(shape: x.shape, scale: scale.shape, axis: axis, blockSize: blockSize)
    let scales = try floats(scale)
    let zeroPoints: Tensor? = try (inputs.optionalOperand(2) as Tensor?).map { try floats($0) }
    let source = UnsafeRawPointer(x.rawPointer)
    let target = result.rawPointer
    let factors = UnsafePointer(scales.pointer(Float.self))
    let offsets = zeroPoints.map { UnsafePointer($0.pointer(Float.self)) }
    // The pointers above do not keep their tensors alive.
    defer { withExtendedLifetime((scales, zeroPoints)) {} }
    context.pool.forAlignedRanges(x.count, grain: Grain.heavy) { elements in
      withChunk(of: Float.self) { chunk in
        forChunks(elements) { start, count in
          Float.widen(x.type, source, at: start, count: count, into: chunk)
          layout.forEachRun(start..<start + count) { first, length, scaleIndex, step in
            let piece = chunk + (first - start)
            if let offsets {
              for i in 0..<length {
                piece[i] = (piece[i] - offsets[scaleIndex + i * step]) * factors[scaleIndex + i * step]
              }
            } else {
              for i in 0..<length { piece[i] = piece[i] * factors[scaleIndex + i * step] }
            }
          }
          Float.narrow(result.type, chunk, count: count, into: target, at: start, rules: .standard)
        }
      }
    }
  }
}

/// DynamicQuantizeLinear: float32 to uint8 with the scale and zero point that map [min(x, 0), max(x, 0)] to 0...255.
struct DynamicQuantizeLinear: Operator {
  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x: ValueInfo = try inputs.operand(0)
    try x.requireType(x.type == .float32, "float32")
    return [
      ValueInfo(type: .uint8, shape: x.shape), ValueInfo(type: .float32, shape: []), ValueInfo(type: .uint8, shape: []),
    ]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let x: Tensor = try inputs.operand(0)
    let values = UnsafePointer(x.pointer(Float.self))
    let count = x.count
    var lowest: Float = 0
    var highest: Float = 0
    for i in 0..<count {
      lowest = values[i] < lowest ? values[i] : lowest
      highest = values[i] > highest ? values[i] : highest
    }
    guard (highest - lowest).isFinite else {
      throw Failure(.notFinite, "the range of x is not finite", actual: "\(lowest)...\(highest)")
    }
    // All zeros: any scale will do.
    let scale = highest == lowest ? 1 : (highest - lowest) / 255
    let zeroPoint = min(max((0 - lowest / scale).rounded(.toNearestOrEven), 0), 255)
    if let result: Tensor = outputs.optionalOperand(0) {
      let target = result.pointer(UInt8.self)
      context.pool.forRanges(count, grain: Grain.light) { range in
        for i in range {
          let shifted = roundHalfEven(values[i] / scale) + zeroPoint
          let low = shifted > 0 ? shifted : 0
          // Whole numbers up to 255 stand in the low bits after adding 2^23. NaN became 0.
          target[i] = UInt8(truncatingIfNeeded: ((low < 255 ? low : 255) + 0x1p23).bitPattern)
        }
      }
    }
    if let result: Tensor = outputs.optionalOperand(1) { result.pointer(Float.self)[0] = scale }
    if let result: Tensor = outputs.optionalOperand(2) {
      result.pointer(UInt8.self)[0] = UInt8(truncatingIfNeeded: int32Bits(Double(zeroPoint)))
    }
  }
}
