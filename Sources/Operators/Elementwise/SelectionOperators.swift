import Graph
import Support

/// PRelu: x, or slope times x below zero; the slope broadcasts to x but not the other way round.
struct PReluOperator: Operator {
  /// Before opset 7 a slope of several elements belongs to axis 1.
  let perChannel: Bool

  var inPlaceInputs: [Int] { [0] }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x: ValueInfo = try inputs.operand(0)
    let slope: ValueInfo = try inputs.operand(1)
    try slope.requireSameType(as: x)
    try x.requireType(ComputeKind(x.type).map(BinaryFunction.prelu.supports) ?? false, "a numeric type")
    let aligned = slopeShape(slope.shape, rank: x.shape.count)
    guard try Broadcast.shape(of: [x.shape, aligned]) == x.shape else {
      throw Failure(.shapeMismatch, "the slope is larger than x", expected: "\(x.shape)", actual: "\(slope.shape)")
    }
    return [ValueInfo(type: x.type, shape: x.shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let result = outputs.optionalOperand(0) else { return }
    let x: Tensor = try inputs.operand(0)
    let slope: Tensor = try inputs.operand(1)
    guard let kind = ComputeKind(x.type) else {
      throw Failure(.internalError, "element type \(x.type) was not checked")
    }
    let broadcast = try Broadcast([x.shape, slopeShape(slope.shape, rank: x.rank)])
    try BinaryRun.apply(.prelu, kind: kind, broadcast, x, slope, result, pool: context.pool)
  }

  private func slopeShape(_ shape: [Int], rank: Int) -> [Int] {
    guard perChannel, shape.count == 1, rank > 2 else { return shape }
    return shape + [Int](repeating: 1, count: rank - 2)
  }
}

/// Where(condition, x, y): bytes are moved, never interpreted, so NaN payloads survive.
struct WhereOperator: Operator {
  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let condition: ValueInfo = try inputs.operand(0)
    let x: ValueInfo = try inputs.operand(1)
    let y: ValueInfo = try inputs.operand(2)
    try condition.requireType(condition.type == .bool, "bool")
    try y.requireSameType(as: x)
    guard [0, 8, 16, 32, 64].contains(x.type.bitWidth) else {
      throw Failure(.unsupported, "elements of this width", actual: x.type.name)
    }
    return [ValueInfo(type: x.type, shape: try Broadcast.shape(of: [condition.shape, x.shape, y.shape]))]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let result = outputs.optionalOperand(0) else { return }
    let condition: Tensor = try inputs.operand(0)
    let x: Tensor = try inputs.operand(1)
    let y: Tensor = try inputs.operand(2)
    let broadcast = try Broadcast([condition.shape, x.shape, y.shape])
    switch x.type.bitWidth {
    case 0: try selectStrings(broadcast, condition, x, y, result)
    case 8: select(UInt8.self, broadcast, condition, x, y, result, context.pool)
    case 16: select(UInt16.self, broadcast, condition, x, y, result, context.pool)
    case 32: select(UInt32.self, broadcast, condition, x, y, result, context.pool)
    case 64: select(UInt64.self, broadcast, condition, x, y, result, context.pool)
    default: throw Failure(.internalError, "element type \(x.type) was not checked")
    }
  }

  private func select<Element: FixedWidthInteger & BitwiseCopyable>(
    _: Element.Type, _ broadcast: Broadcast, _ condition: Tensor, _ x: Tensor, _ y: Tensor, _ result: Tensor,
    _ pool: ThreadPool
  ) {
    let choices = condition.pointer(UInt8.self)
    let first = x.pointer(Element.self)
    let second = y.pointer(Element.self)
    let target = result.pointer(Element.self)
    let (stepC, stepX, stepY) = (broadcast.rowStrides[0], broadcast.rowStrides[1], broadcast.rowStrides[2])
    pool.forRanges(broadcast.count, grain: Grain.light) { range in
      broadcast.forEachRow(range) { offset, inputs, count in
        if stepC == 1, stepX == 1, stepY == 1 {
          for i in 0..<count {
            // All ones or all zeros: without a branch the loop becomes a vector blend.
            let mask = 0 &- Element(truncatingIfNeeded: choices[inputs.0 + i] != 0 ? 1 : 0)
            let other = second[inputs.2 + i]
            target[offset + i] = other ^ ((first[inputs.1 + i] ^ other) & mask)
          }
        } else {
          for i in 0..<count {
            target[offset + i] =
              choices[inputs.0 + i * stepC] != 0 ? first[inputs.1 + i * stepX] : second[inputs.2 + i * stepY]
          }
        }
      }
    }
  }

  private func selectStrings(
    _ broadcast: Broadcast, _ condition: Tensor, _ x: Tensor, _ y: Tensor, _ result: Tensor
  ) throws {
    let choices = condition.pointer(UInt8.self)
    let (first, second) = (x.strings, y.strings)
    guard first.count == x.count, second.count == y.count else {
      throw Failure(.internalError, "string tensors without their elements")
    }
    let steps = broadcast.rowStrides
    var selected: [String] = []
    selected.reserveCapacity(broadcast.count)
    broadcast.forEachRow(0..<broadcast.count) { _, inputs, count in
      for i in 0..<count {
        let chosen = choices[inputs.0 + i * steps[0]] != 0
        selected.append(chosen ? first[inputs.1 + i * steps[1]] : second[inputs.2 + i * steps[2]])
      }
    }
    result.strings = selected
  }
}

/// Clip: limits from attributes before opset 11, from scalar inputs since. A limit that is missing does not limit.
struct ClipOperator: Operator {
  /// Nil since opset 11.
  private let attributeLimits: (lower: Float, upper: Float)?

  init(_ node: Node) throws {
    guard node.version < 11 else {
      attributeLimits = nil
      return
    }
    // Opset 6 names the largest finite numbers as defaults, so infinities are limited.
    attributeLimits = (
      try node.float("min", default: -.greatestFiniteMagnitude),
      try node.float("max", default: .greatestFiniteMagnitude)
    )
  }

  var inPlaceInputs: [Int] { [0] }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x: ValueInfo = try inputs.operand(0)
    let supported = ComputeKind(x.type).map { $0 != .bool } ?? false
    try x.requireType(supported, "a numeric type")
    for index in 1...2 {
      guard attributeLimits == nil, let limit: ValueInfo = inputs.optionalOperand(index) else { continue }
      try limit.requireSameType(as: x)
      guard limit.shape.allSatisfy({ $0 == 1 }) else {
        throw Failure(.shapeMismatch, "limits are scalars", expected: "[]", actual: "\(limit.shape)")
      }
    }
    return [ValueInfo(type: x.type, shape: x.shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let result = outputs.optionalOperand(0) else { return }
    let x: Tensor = try inputs.operand(0)
    let lower: Tensor? = attributeLimits == nil ? inputs.optionalOperand(1) : nil
    let upper: Tensor? = attributeLimits == nil ? inputs.optionalOperand(2) : nil
    switch ComputeKind(x.type) {
    case .float32?:
      clip(x, result, lower, upper, attributeLimits?.lower ?? -.infinity, attributeLimits?.upper ?? .infinity, context)
    case .float64?:
      let limits = attributeLimits.map { (Double($0.lower), Double($0.upper)) } ?? (-.infinity, .infinity)
      clip(x, result, lower, upper, limits.0, limits.1, context)
    case .int64?:
      let limits = attributeLimits.map { (saturated($0.lower), saturated($0.upper)) } ?? (Int64.min, Int64.max)
      clip(x, result, lower, upper, limits.0, limits.1, context)
    case .uint64?:
      let limits = attributeLimits.map {
        (UInt64(max(saturated($0.lower), 0)), $0.upper >= 0x1p64 ? UInt64.max : uint64Bits(Double(max($0.upper, 0))))
      }
      clip(x, result, lower, upper, limits?.0 ?? 0, limits?.1 ?? .max, context)
    case .bool?, nil: throw Failure(.internalError, "element type \(x.type) was not checked")
    }
  }

  private func saturated(_ value: Float) -> Int64 {
    value >= 0x1p63 ? .max : value <= -0x1p63 ? .min : Int64(value.isNaN ? 0 : value)
  }

  private func clip<Compute: ComputeElement & Comparable>(
    _ x: Tensor, _ result: Tensor, _ lower: Tensor?, _ upper: Tensor?, _ lowest: Compute, _ highest: Compute,
    _ context: RunContext
  ) {
    var low = lowest
    var high = highest
    if let lower { Compute.widen(lower.type, lower.rawPointer, at: 0, count: 1, into: &low) }
    if let upper { Compute.widen(upper.type, upper.rawPointer, at: 0, count: 1, into: &high) }
    let (minimum, maximum) = (low, high)
    let source = UnsafeRawPointer(x.rawPointer)
    let target = result.rawPointer
    // The upper limit wins where they contradict each other; NaN passes.
    if x.type == .float32, let minimum = minimum as? Float, let maximum = maximum as? Float {
      let first = UnsafePointer(x.pointer(Float.self))
      let last = result.pointer(Float.self)
      context.pool.forRanges(x.count, grain: Grain.light) { range in
        mapElements(first + range.lowerBound, last + range.lowerBound, range.count) {
          let raised = $0 < minimum ? minimum : $0
          return raised > maximum ? maximum : raised
        }
      }
      return
    }
    context.pool.forRanges(x.count, grain: Grain.heavy) { range in
      withChunk(of: Compute.self) { chunk in
        forChunks(range) { start, count in
          Compute.widen(x.type, source, at: start, count: count, into: chunk)
          for i in 0..<count {
            if chunk[i] < minimum { chunk[i] = minimum }
            if chunk[i] > maximum { chunk[i] = maximum }
          }
          Compute.narrow(x.type, chunk, count: count, into: target, at: start, rules: .standard)
        }
      }
    }
  }
}
