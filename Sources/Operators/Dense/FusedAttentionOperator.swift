import Graph
import KernelTable
import Kernels
import Support

/// `adadiff:Attention`: Q (B, Lq, H·D), K (B, Lk, H·D), V (B, Lk, H·Dv), mask? broadcastable to (B, H, Lq, Lk) →
/// (B, Lq, H·Dv).
struct FusedAttentionOperator: Operator {
  let heads: Int
  let scale: Float?
  /// That the model asks for.
  let format: ElementFormat

  init(_ node: Node) throws {
    heads = try node.required(node.int("num_heads"), "num_heads")
    scale = try node.float("scale")
    format = try node.elementFormat()
    guard heads > 0 else { throw Failure(.outOfRange, "num_heads must be positive", actual: "\(heads)") }
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let q = try inputs.input(0, named: "Q")
    let k = try inputs.input(1, named: "K")
    let v = try inputs.input(2, named: "V")
    for (info, name) in [(q, "Q"), (k, "K"), (v, "V")] {
      try info.expectType([.float32], named: name)
      try info.expectRank(3...3, named: name)
      guard info.shape[2] % heads == 0, info.shape[0] == q.shape[0] else {
        throw Failure(.shapeMismatch, "input '\(name)' does not split into \(heads) heads", actual: "\(info.shape)")
      }
    }
    guard k.shape[2] == q.shape[2], k.shape[1] == v.shape[1] else {
      throw Failure(.shapeMismatch, "shapes of Q, K, V", actual: "\(q.shape), \(k.shape), \(v.shape)")
    }
    if let mask = inputs.optionalInput(3) {
      try mask.expectType([.float32, .bool], named: "mask")
      let full = [q.shape[0], heads, q.shape[1], k.shape[1]]
      guard mask.shape.count <= 4, try MatMulShape.broadcast(mask.shape, full) == full else {
        throw Failure(.shapeMismatch, "shape of 'mask'", expected: "broadcastable to \(full)", actual: "\(mask.shape)")
      }
    }
    return [ValueInfo(type: .float32, shape: [q.shape[0], q.shape[1], v.shape[2]])]
  }

  func scratchByteCount(for inputs: [ValueInfo?], threads: Int) -> Int {
    guard let q = inputs.optionalInput(0)?.shape, let k = inputs.optionalInput(1)?.shape,
      let v = inputs.optionalInput(2)?.shape, q.count == 3, k.count == 3, v.count == 3
    else { return 0 }
    let (size, valueSize) = (k[2] / heads, v[2] / heads)
    let formats = AttentionFormats(
      format, keys: k[1], size: size, isMasked: inputs.optionalInput(3) != nil, Kernels.current)
    return AttentionCore.scratchByteCount(
      batch: k[0], keyHeads: heads, keys: k[1], size: size, valueSize: valueSize, threads: threads, Kernels.current,
      formats: formats,
      strassen: StrassenAttention(
        queries: q[1], keys: k[1], size: size, valueSize: valueSize, isMasked: inputs.optionalInput(3) != nil, formats,
        Kernels.current))
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let y = outputs.optionalTensor(0), y.count > 0 else { return }
    let q = try inputs.tensor(0, named: "Q")
    let k = try inputs.tensor(1, named: "K")
    let v = try inputs.tensor(2, named: "V")
    func view(_ tensor: Tensor) -> HeadView {
      HeadView(
        base: UnsafePointer(tensor.floats), batchStride: tensor.shape[1] * tensor.shape[2],
        headStride: tensor.shape[2] / heads, positionStride: tensor.shape[2])
    }
    let size = q.shape[2] / heads
    var core = AttentionCore(
      batch: q.shape[0], heads: heads, keyHeads: heads, queries: q.shape[1], keys: k.shape[1], size: size,
      valueSize: v.shape[2] / heads, scale: scale ?? 1 / Float(size).squareRoot(), q: view(q), k: view(k), v: view(v),
      y: view(y),
      formats: AttentionFormats(
        format, keys: k.shape[1], size: size, isMasked: inputs.optionalTensor(3) != nil, Kernels.current))
    if let mask = inputs.optionalTensor(3) { core.mask.set(mask) }
    var scratch = ScratchMemory(context.scratch)
    defer { withExtendedLifetime(scratch) {} }
    try core.run(context: context, scratch: &scratch)
  }
}
