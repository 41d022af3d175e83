import Support

/// Reductions along one strided row, by definition; y may be x.
enum RowMath {
  static func softmax<T: Real>(_ x: UnsafePointer<T>, _ y: UnsafeMutablePointer<T>, count: Int, stride: Int) {
    var top = -T.infinity
    for i in 0..<count { top = x[i * stride] > top ? x[i * stride] : top }
    var sum: T = 0
    for i in 0..<count {
      let e = T.exp(x[i * stride] - top)
      y[i * stride] = e
      sum += e
    }
    for i in 0..<count { y[i * stride] /= sum }
  }

  static func logSoftmax<T: Real>(_ x: UnsafePointer<T>, _ y: UnsafeMutablePointer<T>, count: Int, stride: Int) {
    var top = -T.infinity
    for i in 0..<count { top = x[i * stride] > top ? x[i * stride] : top }
    var sum: T = 0
    for i in 0..<count { sum += T.exp(x[i * stride] - top) }
    let logarithm = T.log(sum)
    for i in 0..<count { y[i * stride] = x[i * stride] - top - logarithm }
  }

  /// 1 at the first largest element, else 0.
  static func hardmax<T: Real>(_ x: UnsafePointer<T>, _ y: UnsafeMutablePointer<T>, count: Int, stride: Int) {
    var best = 0
    for i in 0..<count where x[i * stride] > x[best * stride] { best = i }
    for i in 0..<count { y[i * stride] = i == best ? 1 : 0 }
  }

  /// Mean and Σ (x − mean)² / count, in Double.
  static func moments<T: Real>(_ x: UnsafePointer<T>, count: Int) -> (mean: Double, variance: Double) {
    var sum = 0.0
    for i in 0..<count { sum += Double(x[i]) }
    let mean = sum / Double(max(1, count))
    var squares = 0.0
    for i in 0..<count {
      let d = Double(x[i]) - mean
      squares += d * d
    }
    return (mean, squares / Double(max(1, count)))
  }
}
