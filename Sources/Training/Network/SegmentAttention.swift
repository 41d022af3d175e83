import Glibc
import Kernels
import Support

/// Self-attention inside each prompt of a batch whose tokens are stacked without padding.
struct SegmentAttention {
  /// Row of the first token of every prompt, and the number of all rows.
  var offsets: [Int]
  var heads: Int
  var headWidth: Int
  var pool: ThreadPool

  private var width: Int { heads * headWidth }
  private var prompts: Int { offsets.count - 1 }

  /// Where each prompt's weights begin: heads × length × length floats.
  var weightOffsets: [Int] {
    var result = [0]
    for prompt in 0..<prompts {
      let length = offsets[prompt + 1] - offsets[prompt]
      result.append(result[prompt] + heads * length * length)
    }
    return result
  }

  /// context = softmax(q kᵀ / √headWidth) v; `qkv` holds the three side by side, (rows, 3 · width).
  func forward(
    qkv: UnsafePointer<Float>, weights: UnsafeMutablePointer<Float>, context: UnsafeMutablePointer<Float>
  ) {
    let scale = 1 / Float(headWidth).squareRoot()
    let starts = weightOffsets
    let softmax = Kernels.current.softmaxRow
    let (width, headWidth) = (width, headWidth)
    pool.forRanges(prompts, grain: 1) { range in
      for prompt in range {
        let (first, length) = (offsets[prompt], offsets[prompt + 1] - offsets[prompt])
        for head in 0..<heads {
          let base = weights + starts[prompt] + head * length * length
          let q = qkv + first * 3 * width + head * headWidth
          for i in 0..<length {
            let row = base + i * length
            for j in 0..<length {
              row[j] = scale * RowOperations.dot(q + i * 3 * width, q + width + j * 3 * width, headWidth)
            }
            softmax(row, row, length)
            let out = context + (first + i) * width + head * headWidth
            out.update(repeating: 0, count: headWidth)
            for j in 0..<length {
              RowOperations.accumulate(q + 2 * width + j * 3 * width, row[j], into: out, headWidth)
            }
          }
        }
      }
    }
  }

  /// From the gradient of the context to that of `qkv`, which is overwritten.
  func backward(
    dContext: UnsafePointer<Float>, qkv: UnsafePointer<Float>, weights: UnsafePointer<Float>,
    dQKV: UnsafeMutablePointer<Float>
  ) {
    let scale = 1 / Float(headWidth).squareRoot()
    let starts = weightOffsets
    let (width, headWidth) = (width, headWidth)
    pool.forRanges(prompts, grain: 1) { range in
      var slopes: [Float] = []
      for prompt in range {
        let (first, length) = (offsets[prompt], offsets[prompt + 1] - offsets[prompt])
        (dQKV + first * 3 * width).update(repeating: 0, count: length * 3 * width)
        slopes = Array(repeating: 0, count: length)
        for head in 0..<heads {
          let base = weights + starts[prompt] + head * length * length
          let q = qkv + first * 3 * width + head * headWidth
          let dq = dQKV + first * 3 * width + head * headWidth
          for i in 0..<length {
            let dOut = dContext + (first + i) * width + head * headWidth
            let row = base + i * length
            var mean: Float = 0
            for j in 0..<length {
              let slope = RowOperations.dot(dOut, q + 2 * width + j * 3 * width, headWidth)
              slopes[j] = slope
              mean += row[j] * slope
              RowOperations.accumulate(dOut, row[j], into: dq + 2 * width + j * 3 * width, headWidth)
            }
            for j in 0..<length {
              let slope = scale * row[j] * (slopes[j] - mean)
              RowOperations.accumulate(q + width + j * 3 * width, slope, into: dq + i * 3 * width, headWidth)
              RowOperations.accumulate(q + i * 3 * width, slope, into: dq + width + j * 3 * width, headWidth)
            }
          }
        }
      }
    }
  }
}
