import KernelTable
import Support

/// Whether a layer's weights survive Winograd's transforms: the error on random data, measured when the layer is prepared.
enum WinogradAccuracy {
  /// Relative L2 error that a layer may have against arithmetic in Double. Well-behaved weights stay below 3e-6; a
  /// direct sum in float32 has 3e-7. The whole network may have 1e-4.
  static let limit = 1e-5
  /// Filters that are tried, spread over the layer, on one window of random inputs.
  private static let filterCount = 4
  /// Channels that are tried, the first ones; the relative error hardly depends on their number.
  private static let channelCount = 256

  /// `weights`: (filters, channels, 3, 3).
  static func relativeError(_ weights: UnsafePointer<Float>, filters: Int, channels: Int) -> Double {
    // Deterministic, roughly normal inputs with a mean, as activations after SiLU have.
    var state: UInt64 = 0x9E37_79B9_7F4A_7C15
    func uniform() -> Float {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Float(state >> 40) / Float(1 << 24)
    }
    let tried = min(filters, filterCount)
    var products = [Float](repeating: 0, count: tried * 36)
    var expected = [Double](repeating: 0, count: tried * 16)
    var window = [Float](repeating: 0, count: 36)
    for channel in 0..<min(channels, channelCount) {
      for i in 0..<36 { window[i] = (uniform() + uniform() + uniform() + uniform()) * 1.7 - 3.1 }
      let v = transformed(window, side: 6, input)
      for index in 0..<tried {
        let filter = index * filters / tried
        let source = weights + (filter * channels + channel) * 9
        let u = transformed((0..<9).map { source[$0] }, side: 3, kernel)
        for i in 0..<36 { products[index * 36 + i] += v[i] * u[i] }
        for y in 0..<4 {
          for x in 0..<4 {
            var sum = 0.0
            for tap in 0..<9 { sum += Double(window[(y + tap / 3) * 6 + x + tap % 3]) * Double(source[tap]) }
            expected[index * 16 + y * 4 + x] += sum
          }
        }
      }
    }
    var error = 0.0
    var norm = 0.0
    for index in 0..<tried {
      let y = transformed(Array(products[(index * 36)..<(index * 36 + 36)]), side: 6, output)
      for i in 0..<16 {
        let difference = Double(y[i]) - expected[index * 16 + i]
        error += difference * difference
        norm += expected[index * 16 + i] * expected[index * 16 + i]
      }
    }
    guard error.isFinite, norm.isFinite else { return .infinity }
    guard norm > 0 else { return error > 0 ? .infinity : 0 }
    return (error / norm).squareRoot()
  }

  /// A square matrix transformed by rows and then by columns.
  private static func transformed(_ x: [Float], side: Int, _ f: ([Float]) -> [Float]) -> [Float] {
    let rows = (0..<side).map { row in f(Array(x[(row * side)..<(row * side + side)])) }
    let width = rows.first?.count ?? 0
    let columns = (0..<width).map { column in f(rows.map { $0[column] }) }
    return (0..<width).flatMap { row in columns.map { $0[row] } }
  }

  private static let a = Float(0.5).squareRoot()
  private static let b = Float(2).squareRoot()

  private static func input(_ d: [Float]) -> [Float] {
    let (e1, o1) = (d[4] - 2 * d[2], d[3] - 2 * d[1])
    let (e2, o2) = (d[4] - 0.5 * d[2], d[3] - 0.5 * d[1])
    return [
      d[0] + d[4] - 2.5 * d[2], e1 + a * o1, e1 - a * o1, e2 + b * o2, e2 - b * o2, d[1] + d[5] - 2.5 * d[3],
    ]
  }

  private static func kernel(_ g: [Float]) -> [Float] {
    let (e1, o1) = (-(2 * g[0] + g[2]) / 3, -2 * a / 3 * g[1])
    let (e2, o2) = ((g[0] + 2 * g[2]) / 6, b / 6 * g[1])
    return [g[0], e1 + o1, e1 - o1, e2 + o2, e2 - o2, g[2]]
  }

  private static func output(_ m: [Float]) -> [Float] {
    let (s1, d1, s2, d2) = (m[1] + m[2], m[1] - m[2], m[3] + m[4], m[3] - m[4])
    return [m[0] + s1 + s2, a * d1 + b * d2, 0.5 * s1 + 2 * s2, 0.5 * a * d1 + 2 * b * d2 + m[5]]
  }
}
