import Glibc
import KernelTable
import Kernels
import Support

/// Row-wise pieces of the network, forward and backward. Sums over rows run in row order: equal bits for any pool.
enum RowOperations {
  static let normEpsilon: Float = 1e-5

  /// y = xhat · scale + bias with xhat = (x − mean) / √(variance + ε); keeps xhat and 1 / √(…) for the way back.
  static func normalize(
    _ x: UnsafePointer<Float>, rows: Int, width: Int, scale: UnsafePointer<Float>, bias: UnsafePointer<Float>,
    xhat: UnsafeMutablePointer<Float>, inverse: UnsafeMutablePointer<Float>, into y: UnsafeMutablePointer<Float>,
    pool: ThreadPool
  ) {
    let kernels = Kernels.current
    pool.forRanges(rows, grain: max(1, (1 << 14) / width)) { range in
      for row in range {
        let start = row * width
        let mean = Float(kernels.sum(x + start, width) / Double(width))
        let variance = kernels.squaredDeviations(x + start, mean, width) / Double(width)
        let factor = Float(1 / (variance + Double(normEpsilon)).squareRoot())
        inverse[row] = factor
        kernels.normalizeRow(x + start, mean, factor, nil, nil, xhat + start, width)
        for index in 0..<width { y[start + index] = xhat[start + index] * scale[index] + bias[index] }
      }
    }
  }

  /// From the gradient of y: adds to those of scale and bias, and adds the gradient of x to `dx`; nil skips the latter.
  static func normalizeBackward(
    _ dy: UnsafePointer<Float>, rows: Int, width: Int, scale: UnsafePointer<Float>, xhat: UnsafePointer<Float>,
    inverse: UnsafePointer<Float>, dScale: UnsafeMutablePointer<Float>, dBias: UnsafeMutablePointer<Float>,
    dx: UnsafeMutablePointer<Float>?, pool: ThreadPool
  ) {
    for row in 0..<rows {
      let (g, h) = (dy + row * width, xhat + row * width)
      for index in 0..<width {
        dScale[index] += g[index] * h[index]
        dBias[index] += g[index]
      }
    }
    guard let dx else { return }
    pool.forRanges(rows, grain: max(1, (1 << 14) / width)) { range in
      for row in range {
        let (g, h, out) = (dy + row * width, xhat + row * width, dx + row * width)
        var (sum, product): (Float, Float) = (0, 0)
        for index in 0..<width {
          let value = g[index] * scale[index]
          sum += value
          product += value * h[index]
        }
        let (mean, slope) = (sum / Float(width), product / Float(width))
        let factor = inverse[row]
        for index in 0..<width { out[index] += factor * (g[index] * scale[index] - mean - h[index] * slope) }
      }
    }
  }

  /// dBias += column sums of dy.
  static func addColumnSums(
    _ dy: UnsafePointer<Float>, rows: Int, width: Int, stride: Int, into dBias: UnsafeMutablePointer<Float>
  ) {
    for row in 0..<rows {
      let source = dy + row * stride
      for index in 0..<width { dBias[index] += source[index] }
    }
  }

  static func relu(_ x: UnsafeMutablePointer<Float>, count: Int) {
    for index in 0..<count { x[index] = max(x[index], 0) }
  }

  /// Zero where the activation was not positive.
  static func reluBackward(_ dx: UnsafeMutablePointer<Float>, activation: UnsafePointer<Float>, count: Int) {
    for index in 0..<count { dx[index] = activation[index] > 0 ? dx[index] : 0 }
  }

  /// Σ a · b in eight partial sums.
  @inline(__always)
  static func dot(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ count: Int) -> Float {
    var lanes = SIMD8<Float>(repeating: 0)
    var index = 0
    while index + 8 <= count {
      let left = UnsafeRawPointer(a + index).loadUnaligned(as: SIMD8<Float>.self)
      let right = UnsafeRawPointer(b + index).loadUnaligned(as: SIMD8<Float>.self)
      lanes += left * right
      index += 8
    }
    let half = lanes.lowHalf + lanes.highHalf
    let quarter = half.lowHalf + half.highHalf
    var sum = quarter[0] + quarter[1]
    while index < count {
      sum += a[index] * b[index]
      index += 1
    }
    return sum
  }

  /// y += s · x.
  @inline(__always)
  static func accumulate(
    _ x: UnsafePointer<Float>, _ s: Float, into y: UnsafeMutablePointer<Float>, _ count: Int
  ) {
    for index in 0..<count { y[index] += s * x[index] }
  }
}
