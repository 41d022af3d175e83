import Graph
import KernelTable
import Kernels
import Support

/// Runs a float32 (or float64) operator on float16 and bfloat16 tensors: computes in float32 and rounds the results.
struct WidenedOperator: Operator {
  let base: any Operator
  /// Outputs that stay float32 whatever the inputs are (statistics).
  var float32Outputs: Set<Int> = []

  static func isNarrow(_ type: DataType) -> Bool { type == .float16 || type == .bfloat16 }

  private func narrowType(_ types: [DataType?]) -> DataType? {
    types.lazy.compactMap { $0 }.first(where: Self.isNarrow)
  }

  private func widened(_ inputs: [ValueInfo?]) -> [ValueInfo?] {
    inputs.map { info in
      guard let info, Self.isNarrow(info.type) else { return info }
      return ValueInfo(type: .float32, shape: info.shape)
    }
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    guard let narrow = narrowType(inputs.map { $0?.type }) else { return try base.outputs(for: inputs) }
    guard var outputs = try base.outputs(for: widened(inputs)) else { return nil }
    for index in outputs.indices where outputs[index].type == .float32 && !float32Outputs.contains(index) {
      outputs[index].type = narrow
    }
    return outputs
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard narrowType(inputs.map { $0?.type }) != nil || narrowType(outputs.map { $0?.type }) != nil else {
      return try base.run(inputs: inputs, outputs: outputs, context: context)
    }
    let wideInputs = try inputs.map { tensor -> Tensor? in
      guard let tensor, Self.isNarrow(tensor.type) else { return tensor }
      return try widen(tensor, pool: context.pool)
    }
    let wideOutputs = try outputs.map { tensor -> Tensor? in
      guard let tensor, Self.isNarrow(tensor.type) else { return tensor }
      return try Tensor(type: .float32, shape: tensor.shape)
    }
    try base.run(inputs: wideInputs, outputs: wideOutputs, context: context)
    for (wide, tensor) in zip(wideOutputs, outputs) {
      if let wide, let tensor, Self.isNarrow(tensor.type) { narrow(wide, into: tensor, pool: context.pool) }
    }
  }

  func scratchByteCount(for inputs: [ValueInfo?], threads: Int) -> Int {
    base.scratchByteCount(for: widened(inputs), threads: threads)
  }

  func prepared(for inputs: [ValueInfo?], threads: Int) throws -> (any Operator)? {
    guard narrowType(inputs.map { $0?.type }) != nil else { return try base.prepared(for: inputs, threads: threads) }
    let wide = try inputs.map { info -> ValueInfo? in
      guard let info, Self.isNarrow(info.type) else { return info }
      let constant = try info.constant.map { try widen($0, pool: ThreadPool(threads: 1)) }
      return ValueInfo(type: .float32, shape: info.shape, constant: constant)
    }
    guard let prepared = try base.prepared(for: wide, threads: threads) else { return nil }
    return WidenedOperator(base: prepared, float32Outputs: float32Outputs)
  }

  /// Without narrow inputs nothing is left to widen.
  func bound(to inputs: [ValueInfo?], threads: Int) throws -> (any Operator)? {
    guard narrowType(inputs.map { $0?.type }) == nil else { return nil }
    return try base.bound(to: inputs, threads: threads) ?? base
  }

  func preparationKey(for inputs: [ValueInfo?], threads: Int) -> String? {
    base.preparationKey(for: inputs, threads: threads)
  }

  var consumedInputs: [Int] { base.consumedInputs }
}

/// A float32 copy of a float16 or bfloat16 tensor.
func widen(_ tensor: Tensor, pool: ThreadPool) throws -> Tensor {
  let wide = try Tensor(type: .float32, shape: tensor.shape)
  let source = tensor.pointer(UInt16.self)
  let target = wide.floats
  let kernels = Kernels.current
  let convert = tensor.type == .float16 ? kernels.fromFloat16 : kernels.fromBFloat16
  pool.forRanges(tensor.count, grain: 1 << 16) { convert(source + $0.lowerBound, target + $0.lowerBound, $0.count) }
  return wide
}

/// Rounds a float32 tensor into a float16 or bfloat16 one.
func narrow(_ wide: Tensor, into tensor: Tensor, pool: ThreadPool) {
  let source = wide.floats
  let target = tensor.pointer(UInt16.self)
  let kernels = Kernels.current
  let convert = tensor.type == .float16 ? kernels.toFloat16 : kernels.toBFloat16
  pool.forRanges(tensor.count, grain: 1 << 16) { convert(source + $0.lowerBound, target + $0.lowerBound, $0.count) }
}

extension OperatorEntry {
  /// An entry whose operator computes in float32 and float64; float16 and bfloat16 are widened around it.
  static func widened(
    _ name: String, domain: String = "", versions: ClosedRange<Int> = 1...99, float32Outputs: Set<Int> = [],
    make: @escaping @Sendable (Node) throws -> any Operator
  ) -> OperatorEntry {
    OperatorEntry(name, domain: domain, versions: versions) { node in
      WidenedOperator(base: try make(node), float32Outputs: float32Outputs)
    }
  }
}
