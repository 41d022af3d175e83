import Graph
import KernelTable
import Kernels
import Support

/// ONNX `Attention` (opset 23 and 24).
///
/// Plain float32 attention runs in `AttentionCore`; soft caps, score outputs and float64 take the path by definition.
struct AttentionOperator: Operator {
  let queryHeads: Int?
  let keyHeads: Int?
  let scale: Float?
  let softcap: Float
  let isCausal: Bool
  let scoreMode: Int

  init(_ node: Node) throws {
    queryHeads = try node.int("q_num_heads")
    keyHeads = try node.int("kv_num_heads")
    scale = try node.float("scale")
    softcap = try node.float("softcap", default: 0)
    isCausal = try node.bool("is_causal", default: false)
    scoreMode = try node.int("qk_matmul_output_mode", default: 0)
    guard (0...3).contains(scoreMode) else { throw Failure(.corrupt, "qk_matmul_output_mode \(scoreMode)") }
    guard queryHeads ?? 1 > 0, keyHeads ?? 1 > 0 else { throw Failure(.outOfRange, "numbers of heads") }
  }

  /// Sizes of one call.
  struct Sizes {
    var batch: Int
    var heads: Int
    var keyHeads: Int
    var queries: Int
    var newKeys: Int
    var pastKeys: Int
    var size: Int
    var valueSize: Int
    /// Inputs (and output) are (batch, position, heads · size).
    var joined: Bool

    var keys: Int { newKeys + pastKeys }
  }

  private func sizes(_ q: [Int], _ k: [Int], _ v: [Int], past: [Int]?, pastValue: [Int]?) throws -> Sizes {
    guard q.count == k.count, k.count == v.count, q.count == 3 || q.count == 4 else {
      throw Failure(.shapeMismatch, "ranks of Q, K, V", expected: "3 or 4", actual: "\(q), \(k), \(v)")
    }
    let joined = q.count == 3
    let heads: Int
    let keyHeads: Int
    if joined {
      heads = try required(queryHeads, "q_num_heads")
      keyHeads = try required(self.keyHeads, "kv_num_heads")
    } else {
      (heads, keyHeads) = (q[1], k[1])
    }
    guard heads > 0, keyHeads > 0, heads % keyHeads == 0 else {
      throw Failure(.shapeMismatch, "\(heads) query heads do not divide among \(keyHeads) key heads")
    }
    let (size, keySize, valueSize) =
      joined ? (q[2] / heads, k[2] / keyHeads, v[2] / keyHeads) : (q[3], k[3], v[3])
    let whole = !joined || (q[2] % heads == 0 && k[2] % keyHeads == 0 && v[2] % keyHeads == 0)
    let position = joined ? 1 : 2
    guard whole, size == keySize, k[position] == v[position], q[0] == k[0], k[0] == v[0], joined || v[1] == k[1] else {
      throw Failure(.shapeMismatch, "shapes of Q, K, V", actual: "\(q), \(k), \(v)")
    }
    var pastKeys = 0
    if let past {
      guard let pastValue, past.count == 4, pastValue.count == 4, past[0] == q[0], past[1] == keyHeads,
        past[3] == size, pastValue[0] == q[0], pastValue[1] == keyHeads, pastValue[2] == past[2],
        pastValue[3] == valueSize
      else { throw Failure(.shapeMismatch, "shapes of past key and value", actual: "\(past), \(pastValue ?? [])") }
      pastKeys = past[2]
    } else if pastValue != nil {
      throw Failure(.corrupt, "past_value without past_key")
    }
    return Sizes(
      batch: q[0], heads: heads, keyHeads: keyHeads, queries: q[position], newKeys: k[position], pastKeys: pastKeys,
      size: size, valueSize: valueSize, joined: joined)
  }

  private func required(_ value: Int?, _ name: String) throws -> Int {
    guard let value else { throw Failure(.corrupt, "attribute '\(name)' is required for three-dimensional inputs") }
    return value
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let q = try inputs.input(0, named: "Q")
    let k = try inputs.input(1, named: "K")
    let v = try inputs.input(2, named: "V")
    try q.expectType(realTypes, named: "Q")
    let others =
      [(k, "K"), (v, "V")]
      + [(4, "past_key"), (5, "past_value")].compactMap { index, name in
        inputs.optionalInput(index).map { ($0, name) }
      }
    for (info, name) in others { try info.expectType([q.type], named: name) }
    let s = try sizes(
      q.shape, k.shape, v.shape, past: inputs.optionalInput(4)?.shape, pastValue: inputs.optionalInput(5)?.shape)
    if let mask = inputs.optionalInput(3) {
      try mask.expectType([q.type, .bool], named: "attn_mask")
      let full = [s.batch, s.heads, s.queries, s.keys]
      var shape = mask.shape
      if let last = shape.last, last != 1, last < s.keys { shape[shape.count - 1] = s.keys }
      guard shape.count <= 4, try MatMulShape.broadcast(shape, full) == full else {
        throw Failure(
          .shapeMismatch, "shape of 'attn_mask'", expected: "broadcastable to \(full)", actual: "\(mask.shape)")
      }
    }
    if let valid = inputs.optionalInput(6) {
      try valid.expectType([.int64], named: "nonpad_kv_seqlen")
      try valid.expectShape([s.batch], named: "nonpad_kv_seqlen")
    }
    let y = s.joined ? [s.batch, s.queries, s.heads * s.valueSize] : [s.batch, s.heads, s.queries, s.valueSize]
    return [
      ValueInfo(type: q.type, shape: y),
      ValueInfo(type: q.type, shape: [s.batch, s.keyHeads, s.keys, s.size]),
      ValueInfo(type: q.type, shape: [s.batch, s.keyHeads, s.keys, s.valueSize]),
      ValueInfo(type: q.type, shape: [s.batch, s.heads, s.queries, s.keys]),
    ]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let q = try inputs.tensor(0, named: "Q")
    if q.type == .float64 {
      try compute(Double.self, inputs, outputs, context: context)
    } else {
      try compute(Float.self, inputs, outputs, context: context)
    }
  }

  /// Distances of (batch, head, position) in a tensor of rank 3 or 4.
  private func strides(_ tensor: Tensor, heads: Int) -> (Int, Int, Int) {
    let shape = tensor.shape
    return tensor.rank == 3
      ? (shape[1] * shape[2], shape[2] / heads, shape[2])
      : (shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3])
  }

  /// past and new positions in one (batch, heads, keys, size) tensor.
  private func join<T: Real>(
    _: T.Type, _ past: Tensor?, _ new: Tensor, into target: Tensor, heads: Int, size: Int
  ) {
    let pastCount = past?.shape[2] ?? 0
    let total = target.shape[2]
    let (batchStride, headStride, positionStride) = strides(new, heads: heads)
    let from = new.pointer(T.self)
    let to = target.pointer(T.self)
    for batch in 0..<target.shape[0] {
      for head in 0..<heads {
        let row = to + (batch * heads + head) * total * size
        if let past {
          row.update(from: past.pointer(T.self) + (batch * heads + head) * pastCount * size, count: pastCount * size)
        }
        for position in 0..<(total - pastCount) {
          (row + (pastCount + position) * size).update(
            from: from + batch * batchStride + head * headStride + position * positionStride, count: size)
        }
      }
    }
  }

  private func compute<T: Real>(
    _: T.Type, _ inputs: [Tensor?], _ outputs: [Tensor?], context: RunContext
  ) throws {
    let q = try inputs.tensor(0, named: "Q")
    var k = try inputs.tensor(1, named: "K")
    var v = try inputs.tensor(2, named: "V")
    defer { withExtendedLifetime((k, v)) {} }
    let (pastKey, pastValue) = (inputs.optionalTensor(4), inputs.optionalTensor(5))
    let s = try sizes(q.shape, k.shape, v.shape, past: pastKey?.shape, pastValue: pastValue?.shape)
    if pastKey != nil || outputs.optionalTensor(1) != nil || outputs.optionalTensor(2) != nil {
      let allKeys =
        try outputs.optionalTensor(1) ?? Tensor(type: T.dataType, shape: [s.batch, s.keyHeads, s.keys, s.size])
      let allValues =
        try outputs.optionalTensor(2) ?? Tensor(type: T.dataType, shape: [s.batch, s.keyHeads, s.keys, s.valueSize])
      join(T.self, pastKey, k, into: allKeys, heads: s.keyHeads, size: s.size)
      join(T.self, pastValue, v, into: allValues, heads: s.keyHeads, size: s.valueSize)
      (k, v) = (allKeys, allValues)
    }
    // float64 masks are narrowed: they hold 0, −∞ or small biases; scores stay float64.
    var mask = AttentionMask()
    var narrowed: Tensor?
    defer { withExtendedLifetime(narrowed) {} }
    if let tensor = inputs.optionalTensor(3) {
      if tensor.type == .float64 {
        let copy = try Tensor(type: .float32, shape: tensor.shape)
        for (i, value) in tensor.buffer(Double.self).enumerated() { copy.floats[i] = Float(value) }
        narrowed = copy
      }
      mask.set(narrowed ?? tensor)
    }
    if isCausal { mask.causalOffset = s.pastKeys }
    mask.validKeys = inputs.optionalTensor(6).map { UnsafePointer($0.pointer(Int64.self)) }
    let factor = scale ?? 1 / Float(s.size).squareRoot()
    if T.self == Float.self, softcap == 0, outputs.optionalTensor(3) == nil, let y = outputs.optionalTensor(0) {
      func view(_ tensor: Tensor, _ heads: Int) -> HeadView {
        let (batch, head, position) = strides(tensor, heads: heads)
        return HeadView(
          base: UnsafePointer(tensor.floats), batchStride: batch, headStride: head, positionStride: position)
      }
      let core = AttentionCore(
        batch: s.batch, heads: s.heads, keyHeads: s.keyHeads, queries: s.queries, keys: s.keys, size: s.size,
        valueSize: s.valueSize, scale: factor, q: view(q, s.heads), k: view(k, s.keyHeads), v: view(v, s.keyHeads),
        y: view(y, s.heads), mask: mask)
      var scratch = ScratchMemory(context.scratch)
      defer { withExtendedLifetime(scratch) {} }
      return try core.run(context: context, scratch: &scratch)
    }
    try direct(T.self, s, q, k, v, mask, T(factor), outputs, context: context)
  }

  /// By definition, one row of scores at a time.
  private func direct<T: Real>(
    _: T.Type, _ s: Sizes, _ q: Tensor, _ k: Tensor, _ v: Tensor, _ mask: AttentionMask, _ factor: T,
    _ outputs: [Tensor?], context: RunContext
  ) throws {
    let y = outputs.optionalTensor(0)
    let scoreOutput = outputs.optionalTensor(3)?.pointer(T.self)
    let (qs, ks, vs) = (strides(q, heads: s.heads), strides(k, heads: s.keyHeads), strides(v, heads: s.keyHeads))
    let ys = y.map { strides($0, heads: s.heads) } ?? (0, 0, 0)
    let (pq, pk, pv) = (q.pointer(T.self), k.pointer(T.self), v.pointer(T.self))
    let py = y?.pointer(T.self)
    let rows = try Tensor(type: T.dataType, shape: [s.batch * s.heads, max(1, s.keys)])
    let additions = try Tensor(type: .float32, shape: [s.batch * s.heads, max(1, s.keys)])
    defer { withExtendedLifetime((rows, additions)) {} }
    try runTasks(s.batch * s.heads, slots: context.pool.threads, context: context) { _, task in
      let (batch, head) = task.quotientAndRemainder(dividingBy: s.heads)
      let keyHead = head / (s.heads / s.keyHeads)
      let scores = rows.pointer(T.self) + task * s.keys
      let addition = additions.floats + task * s.keys
      for query in 0..<s.queries {
        let row = pq + batch * qs.0 + head * qs.1 + query * qs.2
        let saved = scoreOutput.map { $0 + (task * s.queries + query) * s.keys }
        addition.update(repeating: 0, count: s.keys)
        if !mask.isEmpty {
          mask.apply(addition, batch: batch, head: head, query: query, first: 0, count: s.keys, total: s.keys)
        }
        for key in 0..<s.keys {
          let other = pk + batch * ks.0 + keyHead * ks.1 + key * ks.2
          var sum: T = 0
          for i in 0..<s.size { sum += row[i] * other[i] }
          scores[key] = sum * factor
          if scoreMode == 0 { saved?[key] = scores[key] }
          scores[key] += T(addition[key])
          if scoreMode == 1 { saved?[key] = scores[key] }
          if softcap > 0 { scores[key] = T(softcap) * T.tanh(scores[key] / T(softcap)) }
          if scoreMode == 2 { saved?[key] = scores[key] }
        }
        RowMath.softmax(scores, scores, count: s.keys, stride: 1)
        if scoreMode == 3 { for key in 0..<s.keys { saved?[key] = scores[key] } }
        guard let py else { continue }
        let target = py + batch * ys.0 + head * ys.1 + query * ys.2
        target.update(repeating: 0, count: s.valueSize)
        for key in 0..<s.keys {
          let value = pv + batch * vs.0 + keyHead * vs.1 + key * vs.2
          for i in 0..<s.valueSize { target[i] += scores[key] * value[i] }
        }
      }
    }
  }
}
