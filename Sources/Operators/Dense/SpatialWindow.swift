import Graph
import Support

/// Attributes that convolutions and pooling share, as a node gives them.
struct WindowAttributes: Sendable {
  enum Padding: Sendable { case explicit, sameUpper, sameLower, valid }

  var padding: Padding
  var kernel: [Int]?
  var strides: [Int]?
  var dilations: [Int]?
  var pads: [Int]?
  var ceilMode: Bool

  init(_ node: Node) throws {
    padding =
      switch try node.string("auto_pad", default: "NOTSET") {
      case "NOTSET", "": .explicit
      case "SAME_UPPER": .sameUpper
      case "SAME_LOWER": .sameLower
      case "VALID": .valid
      case let name: throw Failure(.corrupt, "auto_pad '\(name)' is not known")
      }
    kernel = try node.ints("kernel_shape")
    strides = try node.ints("strides")
    dilations = try node.ints("dilations")
    pads = try node.ints("pads")
    ceilMode = try node.bool("ceil_mode", default: false)
    for (name, values) in [("kernel_shape", kernel), ("strides", strides), ("dilations", dilations)] {
      guard values?.allSatisfy({ $0 > 0 && $0 <= Self.limit }) ?? true else {
        throw Failure(.outOfRange, "attribute '\(name)' must be positive", actual: "\(values ?? [])")
      }
    }
    guard pads?.allSatisfy({ abs($0) <= Self.limit }) ?? true else {
      throw Failure(.outOfRange, "attribute 'pads'", actual: "\(pads ?? [])")
    }
  }

  /// Beyond any real model; small enough that products of two fit easily.
  static let limit = 1 << 30

  private func list(_ values: [Int]?, _ rank: Int, _ name: String) throws(Failure) -> [Int] {
    let values = values ?? [Int](repeating: 1, count: rank)
    guard values.count == rank else {
      throw Failure(.shapeMismatch, "attribute '\(name)'", expected: "\(rank) numbers", actual: "\(values)")
    }
    return values
  }

  /// The window for an input with these spatial sizes; `kernel` comes from the weights where the attribute is absent.
  func window(spatial: [Int], kernel kernelSizes: [Int]) throws(Failure) -> SpatialWindow {
    let rank = spatial.count
    guard (1...3).contains(rank) else {
      throw Failure(.unsupported, "\(rank) spatial dimensions", expected: "1, 2 or 3")
    }
    guard kernelSizes.count == rank, kernel ?? kernelSizes == kernelSizes else {
      throw Failure(.shapeMismatch, "kernel shape", expected: "\(kernelSizes)", actual: "\(kernel ?? [])")
    }
    let stride = try list(strides, rank, "strides")
    let dilation = try list(dilations, rank, "dilations")
    let given = pads ?? [Int](repeating: 0, count: 2 * rank)
    guard given.count == 2 * rank else {
      throw Failure(.shapeMismatch, "attribute 'pads'", expected: "\(2 * rank) numbers", actual: "\(given)")
    }
    var window = SpatialWindow()
    for axis in 0..<rank {
      let at = axis + 3 - rank
      let input = spatial[axis]
      let extent = (kernelSizes[axis] - 1) * dilation[axis] + 1
      var (begin, end) = (0, 0)
      var output: Int
      switch padding {
      case .explicit, .valid:
        if padding == .explicit { (begin, end) = (given[axis], given[axis + rank]) }
        let room = input + begin + end - extent
        guard room >= 0 else {
          throw Failure(
            .shapeMismatch, "the window does not fit into the padded input", expected: "at least \(extent)",
            actual: "\(input + begin + end)")
        }
        output = (ceilMode ? room + stride[axis] - 1 : room) / stride[axis] + 1
        // A window that begins in the end padding does not count.
        if ceilMode && (output - 1) * stride[axis] >= input + begin { output -= 1 }
      case .sameUpper, .sameLower:
        output = (input + stride[axis] - 1) / stride[axis]
        let total = max(0, (output - 1) * stride[axis] + extent - input)
        begin = padding == .sameUpper ? total / 2 : total - total / 2
        end = total - begin
      }
      window.input[at] = input
      window.output[at] = output
      window.kernel[at] = kernelSizes[axis]
      window.stride[at] = stride[axis]
      window.dilation[at] = dilation[axis]
      window.padBegin[at] = begin
      window.padEnd[at] = end
    }
    return window
  }
}

/// One number per spatial dimension: depth, height, width.
struct Triple: Sendable, Equatable {
  var z: Int
  var y: Int
  var x: Int

  init(_ value: Int) { (z, y, x) = (value, value, value) }
  init(z: Int, y: Int, x: Int) { (self.z, self.y, self.x) = (z, y, x) }

  var product: Int { z * y * x }

  subscript(axis: Int) -> Int {
    get { axis == 0 ? z : axis == 1 ? y : x }
    set {
      switch axis {
      case 0: z = newValue
      case 1: y = newValue
      default: x = newValue
      }
    }
  }
}

/// A sliding window over up to three spatial dimensions; missing ones stand in front with size 1.
struct SpatialWindow: Sendable {
  var input = Triple(1)
  var output = Triple(1)
  var kernel = Triple(1)
  var stride = Triple(1)
  var dilation = Triple(1)
  var padBegin = Triple(0)
  var padEnd = Triple(0)

  var inputCount: Int { input.product }
  var outputCount: Int { output.product }
  var taps: Int { kernel.product }

  /// The last `rank` output sizes.
  func outputShape(rank: Int) -> [Int] { Array([output.z, output.y, output.x].suffix(rank)) }

  /// True when output and input pixels are the same and the window has one tap.
  var isPointwise: Bool {
    taps == 1 && stride == Triple(1) && padBegin == Triple(0) && padEnd == Triple(0)
  }
}
