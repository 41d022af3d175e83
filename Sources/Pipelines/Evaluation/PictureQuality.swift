import Glibc
import Graph

/// A mean with the half width of its 95 % interval (normal approximation).
public struct MeanInterval: Sendable, Equatable {
  public var mean: Double
  public var halfWidth: Double

  /// 1.96 standard errors; infinite values are left out of both, as torchmetrics leaves identical pictures out.
  public init(_ values: [Double]) {
    let finite = values.filter { $0.isFinite }
    let count = Double(finite.count)
    guard count > 0 else {
      mean = values.first ?? .nan
      halfWidth = 0
      return
    }
    let average = finite.reduce(0, +) / count
    mean = average
    let squares = finite.reduce(0) { $0 + ($1 - average) * ($1 - average) }
    halfWidth = count > 1 ? 1.96 * (squares / (count - 1) / count).squareRoot() : 0
  }
}

/// How close one result is to another.
public enum PictureQuality {
  /// Peak signal-to-noise ratio of uint8 pictures of equal shape in dB; infinite for equal ones.
  public static func psnr(_ a: Tensor, _ b: Tensor) -> Double {
    guard a.shape == b.shape, a.type == .uint8, b.type == .uint8, a.count > 0 else { return .nan }
    let error = withExtendedLifetime((a, b)) {
      var sum = 0
      for (x, y) in zip(a.bytes, b.bytes) {
        let difference = Int(x) - Int(y)
        sum += difference * difference
      }
      return Double(sum) / Double(a.count)
    }
    return error == 0 ? .infinity : 10 * log10(255 * 255 / error)
  }

  /// ‖a - b‖ / ‖b‖ of float32 tensors of equal shape.
  public static func relativeError(_ a: Tensor, _ b: Tensor) -> Double {
    guard a.shape == b.shape, a.type == .float32, b.type == .float32 else { return .nan }
    return withExtendedLifetime((a, b)) {
      var (difference, size) = (0.0, 0.0)
      for (x, y) in zip(a.buffer(Float.self), b.buffer(Float.self)) {
        difference += Double(x - y) * Double(x - y)
        size += Double(y) * Double(y)
      }
      return size > 0 ? (difference / size).squareRoot() : 0
    }
  }
}
