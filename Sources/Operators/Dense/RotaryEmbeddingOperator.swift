import Graph
import Support

/// ONNX `RotaryEmbedding`: turns pairs of elements of every head by angles that depend on the position.
struct RotaryEmbeddingOperator: Operator {
  let interleaved: Bool
  let rotaryDimension: Int
  let heads: Int

  init(_ node: Node) throws {
    interleaved = try node.bool("interleaved", default: false)
    rotaryDimension = try node.int("rotary_embedding_dim", default: 0)
    heads = try node.int("num_heads", default: 0)
  }

  private struct Sizes {
    var batch: Int
    var heads: Int
    var positions: Int
    var size: Int
    var rotated: Int
  }

  private func sizes(_ x: [Int]) throws -> Sizes {
    let result: Sizes
    if x.count == 4 {
      result = Sizes(batch: x[0], heads: x[1], positions: x[2], size: x[3], rotated: 0)
    } else {
      guard x.count == 3, heads > 0, x[2] % heads == 0 else {
        throw Failure(.shapeMismatch, "input shape \(x) with num_heads \(heads)", expected: "rank 3 or 4")
      }
      result = Sizes(batch: x[0], heads: heads, positions: x[1], size: x[2] / heads, rotated: 0)
    }
    let rotated = rotaryDimension == 0 ? result.size : rotaryDimension
    guard rotated > 0, rotated <= result.size, rotated % 2 == 0 else {
      throw Failure(.shapeMismatch, "rotary_embedding_dim \(rotated) of heads of size \(result.size)")
    }
    return Sizes(
      batch: result.batch, heads: result.heads, positions: result.positions, size: result.size, rotated: rotated)
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x = try inputs.input(0, named: "X")
    try x.expectType(realTypes, named: "X")
    let s = try sizes(x.shape)
    for index in 1...2 {
      let name = index == 1 ? "cos_cache" : "sin_cache"
      let cache = try inputs.input(index, named: name)
      try cache.expectType([x.type], named: name)
      if inputs.optionalInput(3) != nil {
        guard cache.shape.count == 2, cache.shape[1] == s.rotated / 2 else {
          throw Failure(
            .shapeMismatch, "shape of '\(name)'", expected: "(n, \(s.rotated / 2))", actual: "\(cache.shape)")
        }
      } else {
        try cache.expectShape([s.batch, s.positions, s.rotated / 2], named: name)
      }
    }
    if let positions = inputs.optionalInput(3) {
      try positions.expectType([.int64], named: "position_ids")
      try positions.expectShape([s.batch, s.positions], named: "position_ids")
    }
    return [ValueInfo(type: x.type, shape: x.shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let y = outputs.optionalTensor(0), y.count > 0 else { return }
    if y.type == .float64 { try compute(Double.self, inputs, y) } else { try compute(Float.self, inputs, y) }
  }

  private func compute<T: Real>(_: T.Type, _ inputs: [Tensor?], _ y: Tensor) throws {
    let x = try inputs.tensor(0, named: "X")
    let cosine = try inputs.tensor(1, named: "cos_cache")
    let sine = try inputs.tensor(2, named: "sin_cache").pointer(T.self)
    let places = inputs.optionalTensor(3)?.pointer(Int64.self)
    let s = try sizes(x.shape)
    let half = s.rotated / 2
    let (positionStride, headStride) =
      x.rank == 4 ? (s.size, s.positions * s.size) : (s.heads * s.size, s.size)
    for batch in 0..<s.batch {
      for position in 0..<s.positions {
        var row = batch * s.positions + position
        if let places {
          row = Int(places[row])
          guard row >= 0, row < cosine.shape[0] else {
            throw Failure(.outOfRange, "position id \(row) of a cache of \(cosine.shape[0]) positions")
          }
        }
        let c = cosine.pointer(T.self) + row * half
        let sn = sine + row * half
        for head in 0..<s.heads {
          let start = batch * s.positions * s.heads * s.size + position * positionStride + head * headStride
          let from = x.pointer(T.self) + start
          let to = y.pointer(T.self) + start
          for i in 0..<half {
            let (first, second) = interleaved ? (2 * i, 2 * i + 1) : (i, i + half)
            let (a, b) = (from[first], from[second])
            to[first] = c[i] * a - sn[i] * b
            to[second] = sn[i] * a + c[i] * b
          }
          for i in s.rotated..<s.size { to[i] = from[i] }
        }
      }
    }
  }
}
