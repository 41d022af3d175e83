import Graph
import KernelTable
import Kernels
import Support

/// ONNX `Gemm`: Y = alpha · op(A) · op(B) + beta · C, C broadcast to (m, n).
struct GemmOperator: Operator {
  let alpha: Float
  let beta: Float
  let transposeA: Bool
  let transposeB: Bool
  /// Opset 6 and older broadcast C only where `broadcast` is set.
  let broadcasts: Bool
  /// Of a constant B, packed.
  let format: ElementFormat
  var packed: PackedMatrix?

  init(_ node: Node) throws {
    alpha = try node.float("alpha", default: 1)
    beta = try node.float("beta", default: 1)
    transposeA = try node.bool("transA", default: false)
    transposeB = try node.bool("transB", default: false)
    broadcasts = try node.version >= 7 || node.bool("broadcast", default: false)
    // A transposed A is packed in float32 only.
    format = transposeA ? .float32 : try node.elementFormat()
  }

  private func sizes(_ a: [Int], _ b: [Int]) -> (m: Int, n: Int, k: Int, kB: Int) {
    (transposeA ? a[1] : a[0], transposeB ? b[0] : b[1], transposeA ? a[0] : a[1], transposeB ? b[1] : b[0])
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let a = try inputs.input(0, named: "A")
    let b = try inputs.input(1, named: "B")
    try a.expectType(MatMulOperator.types, named: "A")
    try b.expectType([a.type], named: "B")
    try a.expectRank(2...2, named: "A")
    try b.expectRank(2...2, named: "B")
    let (m, n, k, kB) = sizes(a.shape, b.shape)
    guard k == kB else {
      throw Failure(.shapeMismatch, "inner dimensions differ", actual: "\(a.shape) and \(b.shape)")
    }
    if let c = inputs.optionalInput(2) {
      try c.expectType([a.type], named: "C")
      let whole = try c.shape.count <= 2 && MatMulShape.broadcast(c.shape, [m, n]) == [m, n]
      guard whole, broadcasts || c.shape == [m, n] else {
        throw Failure(.shapeMismatch, "input 'C' does not broadcast", expected: "\([m, n])", actual: "\(c.shape)")
      }
    }
    return [ValueInfo(type: a.type, shape: [m, n])]
  }

  func scratchByteCount(for inputs: [ValueInfo?], threads: Int) -> Int {
    guard let a = inputs.optionalInput(0), let b = inputs.optionalInput(1), a.type == .float32, a.shape.count == 2,
      b.shape.count == 2
    else { return 0 }
    let (m, n, k, _) = sizes(a.shape, b.shape)
    if let packed {
      return MatrixProduct.scratchByteCount(
        rows: m, depth: packed.depth, columns: n, format: packed.format, threads: threads, packed.kernels)
    }
    return MatrixProduct.scratchByteCountPacking(rows: m, depth: k, columns: n, threads: threads, Kernels.current)
  }

  func prepared(for inputs: [ValueInfo?], threads: Int) throws -> (any Operator)? {
    guard packed == nil, let b = inputs.optionalInput(1), let constant = b.constant, b.type == .float32,
      b.shape.count == 2, constant.count > 0
    else { return nil }
    let (n, k) = transposeB ? (b.shape[0], b.shape[1]) : (b.shape[1], b.shape[0])
    var copy = self
    copy.packed = try PackedMatrix.packed(
      constant.floats, depth: k, columns: n, rowStride: b.shape[1], transposed: transposeB, format: format)
    return copy
  }

  /// Packing depends on the weights alone.
  func preparationKey(for inputs: [ValueInfo?], threads: Int) -> String? { "" }

  var consumedInputs: [Int] { packed == nil ? [] : [1] }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let y = outputs.optionalTensor(0), y.count > 0 else { return }
    let a = try inputs.tensor(0, named: "A")
    let c = inputs.optionalTensor(2)
    let (m, n) = (y.shape[0], y.shape[1])
    let k = transposeA ? a.shape[0] : a.shape[1]
    switch a.type {
    case .float32: try runFloat(m, n, k, a, inputs, c, y, context: context)
    case .float64: try runDouble(m, n, k, a, try inputs.tensor(1, named: "B"), c, y)
    case .int32: try runInteger(Int32.self, m, n, k, a, try inputs.tensor(1, named: "B"), c, y)
    case .int64: try runInteger(Int64.self, m, n, k, a, try inputs.tensor(1, named: "B"), c, y)
    case .uint32: try runInteger(UInt32.self, m, n, k, a, try inputs.tensor(1, named: "B"), c, y)
    case .uint64: try runInteger(UInt64.self, m, n, k, a, try inputs.tensor(1, named: "B"), c, y)
    default: throw Failure(.internalError, "unchecked element type \(a.type)")
    }
  }

  /// Distances of C's rows and columns; 0 where it broadcasts.
  private func strides(_ c: Tensor, _ m: Int, _ n: Int) -> (row: Int, column: Int) {
    let columns = c.shape.last ?? 1
    let rows = c.shape.count == 2 ? c.shape[0] : 1
    return (rows == 1 ? 0 : columns, columns == 1 ? 0 : 1)
  }

  private func runFloat(
    _ m: Int, _ n: Int, _ k: Int, _ a: Tensor, _ inputs: [Tensor?], _ c: Tensor?, _ y: Tensor, context: RunContext
  ) throws {
    var scratch = ScratchMemory(context.scratch)
    defer { withExtendedLifetime(scratch) {} }
    let slots = context.pool.threads
    let matrix: PackedMatrix
    if let packed {
      matrix = packed
    } else {
      let b = try inputs.tensor(1, named: "B")
      let kernels = Kernels.current
      let panels = try scratch.takeFloats(PackedMatrix.floatCount(depth: k, columns: n, kernels))
      matrix = PackedMatrix(depth: k, columns: n, kernels: kernels, panels: panels)
      try runTasks(matrix.panelCount, slots: slots, context: context) { _, panel in
        matrix.pack(panel: panel, from: b.floats, rowStride: transposeB ? k : n, transposed: transposeB)
      }
    }
    let plain = alpha == 1 && (c == nil || beta == 1)
    let (cRow, cColumn) = c.map { strides($0, m, n) } ?? (0, 0)
    var product = MatrixProduct(rows: m, b: matrix, c: y.floats, cStride: n)
    let source = c.map { UnsafePointer($0.floats) }
    if plain, let source, cColumn == 1 {
      if cRow == 0 {
        product.bias = source
      } else {
        product.residual = source
        product.residualStride = cRow
      }
    }
    if transposeA {
      try product.run(context: context, scratch: &scratch, columnsOf: a.floats, stride: m)
    } else {
      try product.run(context: context, scratch: &scratch, rowsOf: a.floats, stride: k)
    }
    if product.bias != nil || product.residual != nil { return }
    let target = y.floats
    if alpha != 1 { matrix.kernels.multiplyScalar(target, alpha, target, m * n) }
    if let source, beta != 0 {
      for i in 0..<m { for j in 0..<n { target[i * n + j] += beta * source[i * cRow + j * cColumn] } }
    }
  }

  private func runDouble(_ m: Int, _ n: Int, _ k: Int, _ a: Tensor, _ b: Tensor, _ c: Tensor?, _ y: Tensor) throws {
    let left = transposeA ? try transposed(a) : a
    let right = transposeB ? try transposed(b) : b
    defer { withExtendedLifetime((left, right)) {} }
    let target = y.pointer(Double.self)
    BLAS.product(m: m, n: n, k: k, a: left.pointer(), aStride: k, b: right.pointer(), bStride: n, c: target, cStride: n)
    let (cRow, cColumn) = c.map { strides($0, m, n) } ?? (0, 0)
    let source = c?.pointer(Double.self)
    for i in 0..<m {
      for j in 0..<n {
        let extra = source.map { Double(beta) * $0[i * cRow + j * cColumn] } ?? 0
        target[i * n + j] = Double(alpha) * target[i * n + j] + extra
      }
    }
  }

  private func transposed(_ x: Tensor) throws -> Tensor {
    let (rows, columns) = (x.shape[0], x.shape[1])
    let result = try Tensor(type: .float64, shape: [columns, rows])
    let source = x.pointer(Double.self)
    let target = result.pointer(Double.self)
    for i in 0..<rows { for j in 0..<columns { target[j * rows + i] = source[i * columns + j] } }
    return result
  }

  private func runInteger<T: FixedWidthInteger & BitwiseCopyable>(
    _: T.Type, _ m: Int, _ n: Int, _ k: Int, _ a: Tensor, _ b: Tensor, _ c: Tensor?, _ y: Tensor
  ) throws {
    let pa = a.pointer(T.self)
    let pb = b.pointer(T.self)
    let pc = c?.pointer(T.self)
    let py = y.pointer(T.self)
    let (cRow, cColumn) = c.map { strides($0, m, n) } ?? (0, 0)
    for i in 0..<m {
      for j in 0..<n {
        var sum: T = 0
        for x in 0..<k {
          sum &+= pa[transposeA ? x * m + i : i * k + x] &* pb[transposeB ? j * k + x : x * n + j]
        }
        let extra = pc?[i * cRow + j * cColumn] ?? 0
        if alpha == 1 && beta == 1 {
          py[i * n + j] = sum &+ extra
        } else {
          let value = Double(alpha) * Double(sum) + Double(beta) * Double(extra)
          py[i * n + j] = T(exactly: value.rounded(.towardZero)) ?? (value < 0 ? T.min : T.max)
        }
      }
    }
  }
}
