import Graph
import KernelTable
import Kernels
import Support

/// ONNX `MatMulInteger` (int32 result) and `QLinearMatMul` (8-bit result).
struct QuantizedMatMul: Operator {
  /// True: inputs a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point.
  let linear: Bool

  private var bIndex: Int { linear ? 3 : 1 }
  private var aZeroIndex: Int { 2 }
  private var bZeroIndex: Int { linear ? 5 : 3 }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let a = try inputs.input(0, named: "a")
    let b = try inputs.input(bIndex, named: "b")
    try a.expectType(byteTypes, named: "a")
    try b.expectType(byteTypes, named: "b")
    let shape = try MatMulShape(a.shape, b.shape)
    if let zero = inputs.optionalInput(aZeroIndex) {
      try zero.expectType([a.type], named: "a_zero_point")
      try check(zero, shape.m, rows: true, batch: shape.aBatch, "a_zero_point")
    }
    if let zero = inputs.optionalInput(bZeroIndex) {
      try zero.expectType([b.type], named: "b_zero_point")
      try check(zero, shape.n, rows: false, batch: shape.bBatch, "b_zero_point")
    }
    guard linear else { return [ValueInfo(type: .int32, shape: shape.output)] }
    let zero = try inputs.input(7, named: "y_zero_point")
    try zero.expectType(byteTypes, named: "y_zero_point")
    try check(try inputs.input(1, named: "a_scale"), shape.m, rows: true, batch: shape.aBatch, "a_scale")
    try check(try inputs.input(4, named: "b_scale"), shape.n, rows: false, batch: shape.bBatch, "b_scale")
    let scale = try inputs.input(6, named: "y_scale")
    guard scale.elementCount == 1, zero.elementCount == 1 else {
      throw Failure(.unsupported, "y_scale and y_zero_point must be scalars here", actual: "\(scale.shape)")
    }
    return [ValueInfo(type: zero.type, shape: shape.output)]
  }

  /// One value, or one per row of A / column of B. Values per batch entry are not supported.
  private func check(_ info: ValueInfo, _ count: Int, rows: Bool, batch: [Int], _ name: String) throws {
    let size = info.elementCount
    if size == 1 { return }
    let single = batch.allSatisfy { $0 == 1 }
    guard size == count, info.shape.count == 1 || single || info.shape.dropLast(2).allSatisfy({ $0 == 1 }) else {
      throw Failure(.unsupported, "shape of '\(name)'", expected: "one value or \(count)", actual: "\(info.shape)")
    }
  }

  func scratchByteCount(for inputs: [ValueInfo?], threads: Int) -> Int {
    guard let a = inputs.optionalInput(0), let b = inputs.optionalInput(bIndex),
      let shape = try? MatMulShape(a.shape, b.shape)
    else { return 0 }
    let kernels = Kernels.current
    return ScratchMemory.byteCount(floats: PackedMatrix.floatCount(depth: shape.k, columns: shape.n, kernels))
      + ScratchMemory.byteCount(floats: shape.k * kernels.gemm.tileColumns)
      + ByteProduct.scratchByteCount(threads: threads, kernels)
      + (linear ? ScratchMemory.byteCount(floats: shape.batchCount * shape.m * shape.n) : 0)
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let y = outputs.optionalTensor(0), y.count > 0 else { return }
    let a = try inputs.tensor(0, named: "a")
    let b = try inputs.tensor(bIndex, named: "b")
    let shape = try MatMulShape(a.shape, b.shape)
    let kernels = Kernels.current
    let slots = context.pool.threads
    var scratch = ScratchMemory(context.scratch)
    defer { withExtendedLifetime(scratch) {} }
    let matrix = PackedMatrix(
      depth: shape.k, columns: shape.n, kernels: kernels,
      panels: try scratch.takeFloats(PackedMatrix.floatCount(depth: shape.k, columns: shape.n, kernels)))
    let row = try scratch.takeFloats(shape.k * kernels.gemm.tileColumns)
    let blocks = try scratch.takeFloats(slots * ByteProduct.slotFloatCount(kernels))
    let products =
      linear
      ? UnsafeMutableRawPointer(try scratch.takeFloats(y.count)).assumingMemoryBound(to: Int32.self)
      : y.pointer(Int32.self)
    let aZero = ByteSource.values(inputs.optionalTensor(aZeroIndex))
    let bZero = ByteSource.values(inputs.optionalTensor(bZeroIndex))
    let aIndex = shape.operandIndices(shape.aBatch)
    let bIndices = shape.operandIndices(shape.bBatch)
    let left = ByteSource(a)
    var packedIndex = -1
    for item in aIndex.indices {
      if bIndices[item] != packedIndex {
        packedIndex = bIndices[item]
        pack(ByteSource(b), start: packedIndex * shape.k * shape.n, zero: bZero, into: matrix, row: row)
      }
      let product = ByteProduct(
        rows: shape.m, b: matrix, c: products + item * shape.m * shape.n, cStride: shape.n)
      let base = aIndex[item] * shape.m * shape.k
      let distance = kernels.gemm.rowStride
      try product.run(context: context, slots: slots, scratch: blocks) { _, start, rows, k, depth, target in
        for r in 0..<rows {
          let zero = aZero.count == 1 ? aZero[0] : aZero[start + r]
          left.copy(base + (start + r) * shape.k + k, depth, minus: zero, to: target + r * distance)
        }
      }
    }
    if linear { try requantize(products, shape, inputs, y) }
  }

  private func pack(
    _ b: ByteSource, start: Int, zero: [Int32], into matrix: PackedMatrix, row: UnsafeMutablePointer<Float>
  ) {
    let tile = matrix.kernels.gemm.tileColumns
    for panel in 0..<matrix.panelCount {
      let first = panel * tile
      let width = min(tile, matrix.columns - first)
      for k in 0..<matrix.depth {
        let source = start + k * matrix.columns + first
        for j in 0..<width {
          row[k * width + j] = Float(b.value(source + j) &- (zero.count == 1 ? zero[0] : zero[first + j]))
        }
      }
      matrix.kernels.packPanel(row, width, matrix.depth, width, matrix.panels + panel * matrix.panelStride)
    }
  }

  private func requantize(_ products: UnsafePointer<Int32>, _ shape: MatMulShape, _ inputs: [Tensor?], _ y: Tensor)
    throws
  {
    let aScale = try scaleValues(try inputs.tensor(1, named: "a_scale"))
    let bScale = try scaleValues(try inputs.tensor(4, named: "b_scale"))
    let yScale = try scaleValues(try inputs.tensor(6, named: "y_scale")).first ?? 1
    let yZero = ByteSource.values(inputs.optionalTensor(7)).first ?? 0
    let target = Requantizer(y)
    for item in 0..<shape.batchCount {
      for i in 0..<shape.m {
        let left = aScale.count == 1 ? aScale[0] : aScale[i]
        for j in 0..<shape.n {
          let right = bScale.count == 1 ? bScale[0] : bScale[j]
          let index = (item * shape.m + i) * shape.n + j
          target.store(Double(products[index]) * (left * right / yScale), zero: yZero, at: index)
        }
      }
    }
  }
}

/// Rounds to nearest even, adds the zero point and saturates to uint8 or int8.
struct Requantizer: @unchecked Sendable {
  let target: UnsafeMutablePointer<UInt8>
  let signed: Bool

  init(_ tensor: Tensor) {
    target = tensor.pointer(UInt8.self)
    signed = tensor.type == .int8
  }

  @inline(__always)
  func store(_ value: Double, zero: Int32, at index: Int) {
    let (low, high) = signed ? (-128.0, 127.0) : (0.0, 255.0)
    let shifted = value.rounded(.toNearestOrEven) + Double(zero)
    // NaN has no place among integers; it becomes the zero point.
    let bounded = shifted.isNaN ? Double(zero) : max(low, min(high, shifted))
    target[index] = UInt8(truncatingIfNeeded: Int32(bounded))
  }
}
