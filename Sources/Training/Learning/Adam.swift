import Glibc
import Support

/// Adam (Kingma and Ba 2015) with decoupled weight decay (Loshchilov and Hutter 2019) on one flat vector.
final class Adam {
  static let (beta1, beta2): (Float, Float) = (0.9, 0.999)
  static let epsilon: Float = 1e-8

  let first: FloatBuffer
  let second: FloatBuffer
  var steps = 0

  init(count: Int) throws(Failure) {
    first = try FloatBuffer(count: count)
    second = try FloatBuffer(count: count)
  }

  func step(_ parameters: FloatBuffer, gradients: FloatBuffer, rate: Double, weightDecay: Double, pool: ThreadPool) {
    steps += 1
    let correction1 = Float(1 - pow(Double(Self.beta1), Double(steps)))
    let correction2 = Float(1 - pow(Double(Self.beta2), Double(steps)))
    let (rate, decay) = (Float(rate), Float(1 - rate * weightDecay))
    let (p, g, m, v) = (parameters.pointer, gradients.pointer, first.pointer, second.pointer)
    pool.forRanges(parameters.count, grain: 1 << 15) { range in
      for index in range {
        m[index] = Self.beta1 * m[index] + (1 - Self.beta1) * g[index]
        v[index] = Self.beta2 * v[index] + (1 - Self.beta2) * g[index] * g[index]
        let update = (m[index] / correction1) / ((v[index] / correction2).squareRoot() + Self.epsilon)
        p[index] = decay * p[index] - rate * update
      }
    }
  }
}
