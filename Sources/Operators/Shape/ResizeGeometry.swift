import Graph
import Support

/// How Resize maps one axis of the output to the input.
struct ResizeAxis {
  enum Transform: String, CaseIterable {
    case halfPixel = "half_pixel"
    case halfPixelSymmetric = "half_pixel_symmetric"
    case pyTorchHalfPixel = "pytorch_half_pixel"
    case alignCorners = "align_corners"
    case asymmetric = "asymmetric"
    case cropAndResize = "tf_crop_and_resize"
    /// Opset 11 only.
    case halfPixelForNearest = "tf_half_pixel_for_nn"
  }

  enum Rounding: String, CaseIterable {
    case preferFloor = "round_prefer_floor"
    case preferCeil = "round_prefer_ceil"
    case floor
    case ceil
    /// Opset 10: up when shrinking, else down.
    case simple = ""
  }

  var inputSize: Int
  var outputSize: Int
  /// The scale is `numerator / denominator`; kept apart so that sizes give exact coordinates.
  var numerator: Double
  var denominator: Double
  /// Region of interest, as fractions of the input's corners.
  var roi: (start: Double, end: Double) = (0, 1)

  var scale: Double { numerator / denominator }

  /// True when every output element is the input element at the same place.
  func isIdentity(_ transform: Transform) -> Bool {
    inputSize == outputSize && numerator == denominator && transform != .cropAndResize
      && transform != .halfPixelForNearest
  }

  /// The input coordinate of an output index; pixel centres are integers.
  func coordinate(_ index: Int, _ transform: Transform) -> Double {
    let x = Double(index)
    let last = Double(inputSize - 1)
    // The length before it is rounded down to whole pixels, as ONNX defines `length_resized`.
    let length = Double(inputSize) * numerator / denominator
    switch transform {
    case .halfPixel: return (x + 0.5) * denominator / numerator - 0.5
    case .pyTorchHalfPixel: return outputSize == 1 ? 0 : (x + 0.5) * denominator / numerator - 0.5
    case .halfPixelSymmetric:
      let adjustment = Double(outputSize) / length
      return Double(inputSize) / 2 * (1 - adjustment) + (x + 0.5) * denominator / numerator - 0.5
    case .alignCorners: return length == 1 ? 0 : x * last / (length - 1)
    case .asymmetric: return x * denominator / numerator
    case .halfPixelForNearest: return (x + 0.5) * denominator / numerator
    case .cropAndResize:
      if length == 1 { return (roi.start + roi.end) * last / 2 }
      return roi.start * last + x * (roi.end - roi.start) * last / (length - 1)
    }
  }

  /// Output indices whose coordinate lies outside the input, for `tf_crop_and_resize`.
  func isOutside(_ index: Int, _ transform: Transform) -> Bool {
    guard transform == .cropAndResize else { return false }
    let x = coordinate(index, transform)
    return !(x >= 0 && x <= Double(inputSize - 1))
  }

  func nearest(_ index: Int, _ transform: Transform, _ rounding: Rounding) -> Int {
    let x = coordinate(index, transform)
    let rounded: Double
    switch rounding {
    case .preferFloor: rounded = (x - 0.5).rounded(.up)
    case .preferCeil: rounded = (x + 0.5).rounded(.down)
    case .floor: rounded = x.rounded(.down)
    case .ceil: rounded = x.rounded(.up)
    case .simple: rounded = x.rounded(numerator < denominator ? .up : .down)
    }
    return Self.clamp(rounded, to: inputSize)
  }

  static func clamp(_ index: Double, to size: Int) -> Int {
    index >= Double(size - 1) ? size - 1 : index > 0 ? Int(index) : 0
  }

  /// For every output index the same number of input indices and weights.
  struct Taps {
    var count: Int
    var indices: [Int]
    var weights: [Double]
  }

  enum Kernel {
    case linear
    case cubic(a: Double)

    /// Half the width of the kernel at scale 1.
    var radius: Double {
      switch self {
      case .linear: 1
      case .cubic: 2
      }
    }

    /// Keys, "Cubic convolution interpolation for digital image processing", 1981; a = -0.75 by default.
    func weight(at distance: Double) -> Double {
      let x = distance.magnitude
      switch self {
      case .linear: return max(0, 1 - x)
      case .cubic(let a):
        if x <= 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
        return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0
      }
    }
  }

  func taps(_ kernel: Kernel, _ transform: Transform, antialias: Bool, excludeOutside: Bool) throws(Failure) -> Taps {
    let stretch = antialias ? min(scale, 1) : 1
    let reach = (kernel.radius / stretch).rounded(.up)
    guard reach <= 65_536 else { throw Failure(.outOfRange, "a scale of \(scale) is too small to be smoothed") }
    let first = 1 - Int(reach)
    let count = 2 * Int(reach)
    var taps = Taps(count: count, indices: [], weights: [])
    taps.indices.reserveCapacity(outputSize * count)
    taps.weights.reserveCapacity(outputSize * count)
    for index in 0..<outputSize {
      let x = coordinate(index, transform)
      let base = min(max(x.rounded(.down), -65_536), Double(inputSize) + 65_536)
      var sum = 0.0
      let start = taps.weights.count
      for tap in first..<(first + count) {
        let place = base + Double(tap)
        let outside = place < 0 || place > Double(inputSize - 1)
        let weight = outside && excludeOutside ? 0 : kernel.weight(at: (place - x) * stretch)
        sum += weight
        taps.indices.append(Self.clamp(place, to: inputSize))
        taps.weights.append(weight)
      }
      if (antialias || excludeOutside) && sum != 0 {
        for position in start..<taps.weights.count { taps.weights[position] /= sum }
      }
    }
    return taps
  }
}
