import Glibc
import Graph

extension Ladder {
  /// GroupNorm with 32 groups and SiLU, channels last.
  static func groupNorm(small: Bool) throws -> Ladder {
    let (pixels, channels, groups) = small ? (35, 96, 32) : (4096, 320, 32)
    let x = numbers(pixels * channels, seed: 1)
    let scale = numbers(channels, seed: 2)
    let bias = numbers(channels, seed: 3)
    let size = channels / groups
    let epsilon: Float = 1e-5
    let ours = try EngineOperator(
      "GroupNormNHWC", ["num_groups": .int(Int64(groups)), "activation": .string("Silu")],
      inputs: [try tensor(x, [1, pixels, channels]), try tensor(scale, [channels]), try tensor(bias, [channels])],
      constants: [1, 2])
    func silu(_ x: Float) -> Float { x / (1 + expf(-x)) }
    return Ladder(
      name: "GroupNorm + SiLU", operations: nil, bytes: 12 * Double(pixels * channels), outputCount: pixels * channels,
      rungs: [
        Rung(name: "naive", sentence: "Group by group: mean, variance, result, each a pass with gaps.") { y in
          for group in 0..<groups {
            var (sum, squares) = (Float(0), Float(0))
            for p in 0..<pixels { for c in 0..<size { sum += x[p * channels + group * size + c] } }
            let mean = sum / Float(pixels * size)
            for p in 0..<pixels {
              for c in 0..<size {
                let difference = x[p * channels + group * size + c] - mean
                squares += difference * difference
              }
            }
            let factor = 1 / (squares / Float(pixels * size) + epsilon).squareRoot()
            for p in 0..<pixels {
              for c in (group * size)..<((group + 1) * size) {
                y[p * channels + c] = silu((x[p * channels + c] - mean) * factor * scale[c] + bias[c])
              }
            }
          }
        },
        Rung(name: "rows", sentence: "Pixel by pixel: sums per channel, then factors per channel, all memory in order.")
        {
          y in
          var sums = [Double](repeating: 0, count: channels)
          var squares = sums
          for p in 0..<pixels {
            for c in 0..<channels {
              let value = Double(x[p * channels + c])
              sums[c] += value
              squares[c] += value * value
            }
          }
          var factors = [Float](repeating: 0, count: channels)
          var shifts = factors
          for group in 0..<groups {
            let range = (group * size)..<((group + 1) * size)
            let count = Double(pixels * size)
            let mean = range.reduce(0) { $0 + sums[$1] } / count
            let variance = range.reduce(0) { $0 + squares[$1] } / count - mean * mean
            for c in range {
              factors[c] = scale[c] / Float(variance + Double(epsilon)).squareRoot()
              shifts[c] = bias[c] - Float(mean) * factors[c]
            }
          }
          for p in 0..<pixels {
            for c in 0..<channels { y[p * channels + c] = silu(x[p * channels + c] * factors[c] + shifts[c]) }
          }
        },
        Rung(
          name: "ours", sentence: "Moments of 64-row blocks in vectors, merged exactly; result and SiLU in one pass."
        ) {
          try ours.run(into: &$0)
        },
      ])
  }

  /// Exact GELU.
  static func activation(small: Bool) throws -> Ladder {
    let count = small ? 1003 : 1 << 20
    let x = numbers(count, seed: 1).map { $0 * 4 }
    let ours = try EngineOperator("Gelu", inputs: [try tensor(x, [count])], constants: [])
    return Ladder(
      name: "GELU", operations: nil, bytes: 8 * Double(count), outputCount: count,
      rungs: [
        Rung(name: "naive", sentence: "The definition with the C library's erf.") { y in
          for i in 0..<count { y[i] = 0.5 * x[i] * (1 + erff(x[i] * 0.707_106_78)) }
        },
        Rung(
          name: "ours", sentence: "erfc as e^(−x²) times a polynomial, sixteen, eight or four elements at a time."
        ) { try ours.run(into: &$0) },
      ])
  }
}
