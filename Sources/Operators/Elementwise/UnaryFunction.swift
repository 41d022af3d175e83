import Graph
import Support

/// One contiguous row: `result[i] = f(x[i])`; `result` may be `x`.
typealias UnaryRow<Element> = @Sendable (UnsafePointer<Element>, UnsafeMutablePointer<Element>, Int) -> Void

/// An elementwise function of one input in the types it is defined for.
struct UnaryFunction: Sendable {
  /// float64, and the narrower types where `float32` is nil: computed in Double, rounded once.
  var real: (@Sendable (Double) -> Double)?
  /// float32, and float16 and bfloat16 through it.
  var float32: UnaryRow<Float>?
  /// Signed integers, sign-extended; the low bits of the result are kept.
  var signed: (@Sendable (Int64) -> Int64)?
  /// Unsigned integers.
  var unsigned: (@Sendable (UInt64) -> UInt64)?
  var bool: (@Sendable (UInt8) -> UInt8)?

  func supports(_ type: DataType) -> Bool {
    switch ComputeKind(type) {
    case .float32?: float32 != nil || real != nil
    case .float64?: real != nil
    case .int64?: signed != nil
    case .uint64?: unsigned != nil
    case .bool?: bool != nil
    case nil: false
    }
  }

  /// `count` elements of `type`, from and to the same offset of two tensors.
  func apply(
    _ type: DataType, _ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer, range: Range<Int>
  ) {
    switch ComputeKind(type) {
    case .float32?:
      if let float32 {
        if type == .float32 {
          float32(
            source.assumingMemoryBound(to: Float.self) + range.lowerBound,
            target.assumingMemoryBound(to: Float.self) + range.lowerBound, range.count)
        } else {
          converted(type, source, target, range) { (chunk: UnsafeMutablePointer<Float>, count) in
            float32(chunk, chunk, count)
          }
        }
      } else if let real {
        converted(type, source, target, range) { (chunk: UnsafeMutablePointer<Double>, count) in
          for i in 0..<count { chunk[i] = real(chunk[i]) }
        }
      }
    case .float64?:
      guard let real else { return }
      let x = source.assumingMemoryBound(to: Double.self)
      let y = target.assumingMemoryBound(to: Double.self)
      for i in range { y[i] = real(x[i]) }
    case .int64?:
      guard let signed else { return }
      converted(type, source, target, range) { (chunk: UnsafeMutablePointer<Int64>, count) in
        for i in 0..<count { chunk[i] = signed(chunk[i]) }
      }
    case .uint64?:
      guard let unsigned else { return }
      converted(type, source, target, range) { (chunk: UnsafeMutablePointer<UInt64>, count) in
        for i in 0..<count { chunk[i] = unsigned(chunk[i]) }
      }
    case .bool?:
      guard let bool else { return }
      let x = source.assumingMemoryBound(to: UInt8.self)
      let y = target.assumingMemoryBound(to: UInt8.self)
      for i in range { y[i] = bool(x[i]) }
    case nil: break
    }
  }

  private func converted<Compute: ComputeElement>(
    _ type: DataType, _ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer, _ range: Range<Int>,
    _ body: (UnsafeMutablePointer<Compute>, Int) -> Void
  ) {
    withChunk(of: Compute.self) { chunk in
      forChunks(range) { start, count in
        Compute.widen(type, source, at: start, count: count, into: chunk)
        body(chunk, count)
        Compute.narrow(type, chunk, count: count, into: target, at: start, rules: .standard)
      }
    }
  }
}

/// A row of an element function, compiled with `f` in the loop.
@inline(__always)
func mapElements<Element: BitwiseCopyable>(
  _ x: UnsafePointer<Element>, _ y: UnsafeMutablePointer<Element>, _ count: Int, _ f: (Element) -> Element
) {
  for i in 0..<count { y[i] = f(x[i]) }
}

/// An elementwise operator of one input with the type and shape of its input.
struct UnaryOperator: Operator {
  let function: UnaryFunction
  let grain: Int

  var inPlaceInputs: [Int] { [0] }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x: ValueInfo = try inputs.operand(0)
    try x.requireType(function.supports(x.type), "a type of this operator")
    return [ValueInfo(type: x.type, shape: x.shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let result = outputs.optionalOperand(0) else { return }
    let x: Tensor = try inputs.operand(0)
    let source = UnsafeRawPointer(x.rawPointer)
    let target = result.rawPointer
    context.pool.forRanges(x.count, grain: grain) { range in
      function.apply(x.type, source, target, range: range)
    }
  }
}

/// IsNaN, IsInf: bool results from floating-point inputs.
struct PredicateOperator: Operator {
  let predicate: @Sendable (Double) -> Bool

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x: ValueInfo = try inputs.operand(0)
    try x.requireType(x.type.isFloatingPoint, "a floating-point type")
    return [ValueInfo(type: .bool, shape: x.shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let result = outputs.optionalOperand(0) else { return }
    let x: Tensor = try inputs.operand(0)
    let source = UnsafeRawPointer(x.rawPointer)
    let target = result.pointer(UInt8.self)
    context.pool.forRanges(x.count, grain: Grain.heavy) { range in
      withChunk(of: Double.self) { chunk in
        forChunks(range) { start, count in
          Double.widen(x.type, source, at: start, count: count, into: chunk)
          for i in 0..<count { target[start + i] = predicate(chunk[i]) ? 1 : 0 }
        }
      }
    }
  }
}
