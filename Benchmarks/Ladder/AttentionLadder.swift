import Glibc
import Graph

extension Ladder {
  /// Softmax(Q Kᵀ / √d) V for several heads that lie side by side in (length, heads · d).
  static func attention(small: Bool) throws -> Ladder {
    let (length, heads, d) = small ? (35, 2, 7) : (1024, 5, 64)
    let width = heads * d
    let q = numbers(length * width, seed: 1)
    let k = numbers(length * width, seed: 2)
    let v = numbers(length * width, seed: 3)
    let scale = 1 / Float(d).squareRoot()
    let shape = [1, length, width]
    let ours = try EngineOperator(
      "Attention", ["num_heads": .int(Int64(heads))],
      inputs: [try tensor(q, shape), try tensor(k, shape), try tensor(v, shape)], constants: [])
    return Ladder(
      name: "attention", operations: 4 * Double(length * length * width), bytes: 16 * Double(length * width),
      outputCount: length * width,
      rungs: [
        Rung(name: "naive", sentence: "The definition: a row of scores, its softmax, the weighted sum of values.") {
          y in
          var scores = [Float](repeating: 0, count: length)
          for head in 0..<heads {
            for i in 0..<length {
              for j in 0..<length {
                var sum: Float = 0
                for e in 0..<d { sum += q[i * width + head * d + e] * k[j * width + head * d + e] }
                scores[j] = sum * scale
              }
              let top = scores.max() ?? 0
              var total: Float = 0
              for j in 0..<length {
                scores[j] = expf(scores[j] - top)
                total += scores[j]
              }
              for e in 0..<d {
                var sum: Float = 0
                for j in 0..<length { sum += scores[j] * v[j * width + head * d + e] }
                y[i * width + head * d + e] = sum / total
              }
            }
          }
        },
        Rung(name: "online", sentence: "Keys in blocks with a running maximum and sum: no row of scores in memory.") {
          y in
          onlineAttention(q, k, v, &y, length: length, heads: heads, d: d, scale: scale)
        },
        Rung(
          name: "ours",
          sentence:
            "Blocks of 24 queries and 128 keys as packed products by Strassen's algorithm, vectorised passes over scores."
        ) { try ours.run(into: &$0) },
      ])
  }
}

private func onlineAttention(
  _ q: [Float], _ k: [Float], _ v: [Float], _ y: inout [Float], length: Int, heads: Int, d: Int, scale: Float
) {
  let width = heads * d
  let block = 64
  var scores = [Float](repeating: 0, count: block)
  for head in 0..<heads {
    for i in 0..<length {
      var (top, total) = (-Float.infinity, Float(0))
      let target = i * width + head * d
      for e in 0..<d { y[target + e] = 0 }
      for first in stride(from: 0, to: length, by: block) {
        let count = min(block, length - first)
        var blockTop = top
        for j in 0..<count {
          var sum: Float = 0
          for e in 0..<d { sum += q[target + e] * k[(first + j) * width + head * d + e] }
          scores[j] = sum * scale
          blockTop = max(blockTop, scores[j])
        }
        let shrink = expf(top - blockTop)
        top = blockTop
        total *= shrink
        for e in 0..<d { y[target + e] *= shrink }
        for j in 0..<count {
          let weight = expf(scores[j] - top)
          total += weight
          for e in 0..<d { y[target + e] += weight * v[(first + j) * width + head * d + e] }
        }
      }
      for e in 0..<d { y[target + e] /= total }
    }
  }
}
