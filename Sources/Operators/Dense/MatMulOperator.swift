import Graph
import KernelTable
import Kernels
import Support

/// ONNX `MatMul`, and `adadiff:MatMulBias`: activation(A · B + bias + residual).
struct MatMulOperator: Operator {
  /// True for `adadiff:MatMulBias`: inputs 2 and 3 are bias (n) and residual (the output's shape), both optional.
  var fused = false
  var activation = Activation.none
  /// Of a constant B, packed.
  var format = ElementFormat.float32
  /// B, where it was a constant when the plan was made.
  var packed: PackedMatrix?

  static let types: [DataType] = [.float32, .float64, .int32, .int64, .uint32, .uint64]

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let a = try inputs.input(0, named: "A")
    let b = try inputs.input(1, named: "B")
    try a.expectType(fused ? [.float32] : Self.types, named: "A")
    try b.expectType([a.type], named: "B")
    let shape = try MatMulShape(a.shape, b.shape)
    if fused {
      if let bias = inputs.optionalInput(2) {
        try bias.expectType([a.type], named: "bias")
        try bias.expectShape([shape.n], named: "bias")
      }
      if let residual = inputs.optionalInput(3) {
        try residual.expectType([a.type], named: "residual")
        try residual.expectShape(shape.output, named: "residual")
      }
    }
    return [ValueInfo(type: a.type, shape: shape.output)]
  }

  func scratchByteCount(for inputs: [ValueInfo?], threads: Int) -> Int {
    guard let a = inputs.optionalInput(0), let b = inputs.optionalInput(1), a.type == .float32,
      let shape = try? MatMulShape(a.shape, b.shape)
    else { return 0 }
    if let packed {
      return MatrixProduct.scratchByteCount(
        rows: packed.depth == 0 ? 0 : a.shape.reduce(1, *) / packed.depth, depth: packed.depth,
        columns: packed.columns, format: packed.format, threads: threads, packed.kernels)
    }
    if shape.bCount == 1 {
      return MatrixProduct.scratchByteCountPacking(
        rows: shape.batchCount * shape.m, depth: shape.k, columns: shape.n, threads: threads, Kernels.current)
    }
    return BatchedProduct.scratchByteCount(
      n: shape.n, k: shape.k, bCount: shape.bCount, threads: threads, Kernels.current)
  }

  func prepared(for inputs: [ValueInfo?], threads: Int) throws -> (any Operator)? {
    guard packed == nil, let b = inputs.optionalInput(1), let constant = b.constant, b.type == .float32,
      b.shape.count == 2, constant.count > 0
    else { return nil }
    var copy = self
    copy.packed = try PackedMatrix.packed(
      constant.floats, depth: b.shape[0], columns: b.shape[1], rowStride: b.shape[1], format: format)
    return copy
  }

  /// Packing depends on the weights alone.
  func preparationKey(for inputs: [ValueInfo?], threads: Int) -> String? { "" }

  var consumedInputs: [Int] { packed == nil ? [] : [1] }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let y = outputs.optionalTensor(0) else { return }
    let a = try inputs.tensor(0, named: "A")
    if let packed {
      var scratch = ScratchMemory(context.scratch)
      defer { withExtendedLifetime(scratch) {} }
      let rows = packed.depth == 0 ? 0 : a.count / packed.depth
      try product(rows: rows, packed, a, inputs, y, context: context, scratch: &scratch)
      return
    }
    let b = try inputs.tensor(1, named: "B")
    let shape = try MatMulShape(a.shape, b.shape)
    guard y.count > 0 else { return }
    switch a.type {
    case .float32: try runFloat(shape, a, b, inputs, y, context: context)
    case .float64: try PlainProduct.doubles(shape, a.pointer(), b.pointer(), y.pointer(), context: context)
    case .int32: try PlainProduct.integers(shape, a.pointer(Int32.self), b.pointer(), y.pointer(), context: context)
    case .int64: try PlainProduct.integers(shape, a.pointer(Int64.self), b.pointer(), y.pointer(), context: context)
    case .uint32: try PlainProduct.integers(shape, a.pointer(UInt32.self), b.pointer(), y.pointer(), context: context)
    case .uint64: try PlainProduct.integers(shape, a.pointer(UInt64.self), b.pointer(), y.pointer(), context: context)
    default: throw Failure(.internalError, "unchecked element type \(a.type)")
    }
  }

  private func runFloat(
    _ shape: MatMulShape, _ a: Tensor, _ b: Tensor, _ inputs: [Tensor?], _ y: Tensor, context: RunContext
  ) throws {
    var scratch = ScratchMemory(context.scratch)
    defer { withExtendedLifetime(scratch) {} }
    let kernels = Kernels.current
    if shape.bCount == 1 {
      // One B for every row: a single tall product.
      let panels = PackedMatrix.floatCount(depth: shape.k, columns: shape.n, kernels)
      let matrix = PackedMatrix(
        depth: shape.k, columns: shape.n, kernels: kernels, panels: try scratch.takeFloats(panels))
      try runTasks(matrix.panelCount, slots: context.pool.threads, context: context) { _, panel in
        matrix.pack(panel: panel, from: b.floats, rowStride: shape.n, transposed: false)
      }
      try product(
        rows: shape.batchCount * shape.m, matrix, a, inputs, y, context: context, scratch: &scratch)
      return
    }
    let batched = BatchedProduct(
      m: shape.m, n: shape.n, k: shape.k, a: a.floats, aIndex: shape.operandIndices(shape.aBatch), b: b.floats,
      bIndex: shape.operandIndices(shape.bBatch), bCount: shape.bCount, c: y.floats, kernels: kernels)
    try batched.run(context: context, scratch: &scratch)
    let bias = inputs.optionalTensor(2)
    let residual = inputs.optionalTensor(3)
    if bias != nil || residual != nil || activation != .none {
      kernels.epilogue(
        y.count / max(1, shape.n), shape.n, y.floats, shape.n, bias.map { UnsafePointer($0.floats) },
        residual.map { UnsafePointer($0.floats) }, shape.n, activation.rawValue)
    }
  }

  private func product(
    rows: Int, _ matrix: PackedMatrix, _ a: Tensor, _ inputs: [Tensor?], _ y: Tensor, context: RunContext,
    scratch: inout ScratchMemory
  ) throws {
    let product = MatrixProduct(
      rows: rows, b: matrix, c: y.floats, cStride: matrix.columns,
      bias: inputs.optionalTensor(2).map { UnsafePointer($0.floats) },
      residual: inputs.optionalTensor(3).map { UnsafePointer($0.floats) }, residualStride: matrix.columns,
      activation: activation)
    try product.run(context: context, scratch: &scratch, rowsOf: a.floats, stride: matrix.depth)
  }

  /// The activation that an attribute names.
  static func activation(_ node: Node) throws -> Activation {
    switch try node.string("activation", default: "") {
    case "": .none
    case "Silu": .silu
    case "Relu": .relu
    case "Gelu": .gelu
    case "GeluTanh": .geluTanh
    case "QuickGelu": .quickGelu
    case let name: throw Failure(.unsupported, "activation '\(name)'")
    }
  }
}
