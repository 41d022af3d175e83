import Graph
import Support

/// GridSample: reads an image of any rank at normalised coordinates, linearly, by the nearest pixel or cubically.
struct GridSample: Operator {
  enum Mode { case nearest, linear, cubic }
  enum Padding: String { case zeros, border, reflection }

  let mode: Mode
  let padding: Padding
  let alignCorners: Bool

  init(_ node: Node) throws {
    // Opset 16 says bilinear and bicubic, opset 20 linear and cubic.
    switch try node.word("mode", default: "linear", among: ["linear", "bilinear", "nearest", "cubic", "bicubic"]) {
    case "nearest": mode = .nearest
    case "cubic", "bicubic": mode = .cubic
    default: mode = .linear
    }
    let word = try node.word("padding_mode", default: "zeros", among: ["zeros", "border", "reflection"])
    padding = Padding(rawValue: word) ?? .zeros
    alignCorners = try node.bool("align_corners", default: false)
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "X")
    let grid = try inputs.info(at: 1, named: "grid")
    let axes = data.shape.count - 2
    let fits =
      axes >= 1 && grid.shape.count == axes + 2 && grid.shape.first == data.shape.first && grid.shape.last == axes
    guard fits else {
      throw Failure(
        .shapeMismatch, "'grid' does not fit the image", expected: "[N, …, \(max(axes, 1))] for X \(data.shape)",
        actual: "\(grid.shape)")
    }
    guard !data.shape[2...].contains(0) || grid.shape.contains(0) else {
      throw Failure(.shapeMismatch, "an image without pixels cannot be sampled", actual: "\(data.shape)")
    }
    try data.type.requireComputable(named: "X")
    guard grid.type.isFloatingPoint else {
      throw Failure(.typeMismatch, "'grid' must hold floats", actual: grid.type.name)
    }
    try grid.type.requireComputable(named: "grid")
    let shape = Array(data.shape[..<2]) + Array(grid.shape[1..<(axes + 1)])
    _ = try CheckedSize.product(shape, of: "sampled shape")
    return [ValueInfo(type: data.type, shape: shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let data = try inputs.tensor(at: 0)
    let grid = try inputs.tensor(at: 1).numbers().map { Float($0) }
    guard let output = outputs.optionalTensor(at: 0), output.count > 0 else { return }
    let sampling = Sampling(operation: self, data: data, grid: grid, output: output, pool: context.pool)
    try withNumericElement(of: data.type, sampling)
  }

  /// Input index of a tap, or nil where zeros lie.
  private func place(_ index: Int, size: Int) -> Int? {
    if index >= 0 && index < size { return index }
    switch padding {
    case .zeros: return nil
    case .border: return min(max(index, 0), size - 1)
    case .reflection: return min(max(Int(reflect(Float(index), size: size)), 0), size - 1)
    }
  }

  private func reflect(_ x: Float, size: Int) -> Float {
    let low: Float = alignCorners ? 0 : -0.5
    let high = Float(size) - (alignCorners ? 1 : 0.5)
    let span = high - low
    guard span > 0 else { return low }
    if x >= low && x <= high { return x }
    let distance = x < low ? low - x : x - high
    let turns = (distance / span).rounded(.down)
    let rest = distance - turns * span
    let fromNearSide = turns.truncatingRemainder(dividingBy: 2) == 0
    return (x < low) == fromNearSide ? low + rest : high - rest
  }

  /// Indices and weights along one axis for a normalised coordinate.
  private func taps(_ normalised: Float, size: Int, _ body: (Int?, Float) -> Void) {
    var x = alignCorners ? (normalised + 1) / 2 * Float(size - 1) : ((normalised + 1) * Float(size) - 1) / 2
    // Far outside, and NaN: any place beyond the border gives the same answer.
    x = x.isNaN ? -1e6 : min(max(x, -1e9), 1e9)
    if mode == .nearest { x.round(.toNearestOrEven) }
    let low: Float = alignCorners ? 0 : -0.5
    // As in PyTorch and ONNX Runtime: a cubic sample pads each of its taps, the others first move the place itself.
    if mode != .cubic, x < low || x > Float(size) - (alignCorners ? 1 : 0.5) {
      if padding == .border { x = min(max(x, 0), Float(size - 1)) }
      if padding == .reflection { x = reflect(x, size: size) }
    }
    let base = Int(x.rounded(.down))
    let ratio = x - Float(base)
    switch mode {
    case .nearest: body(place(Int(x), size: size), 1)
    case .linear:
      body(place(base, size: size), 1 - ratio)
      body(place(base + 1, size: size), ratio)
    case .cubic:
      let kernel = ResizeAxis.Kernel.cubic(a: -0.75)
      for tap in -1...2 { body(place(base + tap, size: size), Float(kernel.weight(at: Double(Float(tap) - ratio)))) }
    }
  }

  private struct Sampling: NumericComputation {
    let operation: GridSample
    let data: Tensor
    let grid: [Float]
    let output: Tensor
    let pool: ThreadPool

    func run<Element: NumericElement>(_: Element.Type) {
      let sizes = Array(data.shape[2...])
      let strides = ShapeRules.strides(of: sizes)
      let channels = data.shape[1]
      let imageSize = sizes.reduce(1, *)
      let points = output.shape[2...].reduce(1, *)
      let source = data.pointer(Element.self)
      let target = output.pointer(Element.self)
      pool.forRanges(data.shape[0] * points, grain: max(1, 2_048 / max(1, channels))) { range in
        var taps: [(offset: Int, weight: Float)] = []
        var next: [(offset: Int, weight: Float)] = []
        for position in range {
          let (batch, point) = position.quotientAndRemainder(dividingBy: points)
          taps = [(0, 1)]
          for axis in sizes.indices {
            next.removeAll(keepingCapacity: true)
            // The grid lists coordinates from the last axis to the first.
            let coordinate = grid[(position + 1) * sizes.count - 1 - axis]
            operation.taps(coordinate, size: sizes[axis]) { index, weight in
              guard let index else { return }
              for tap in taps { next.append((tap.offset + index * strides[axis], tap.weight * weight)) }
            }
            swap(&taps, &next)
          }
          for channel in 0..<channels {
            let image = source + (batch * channels + channel) * imageSize
            var sum = 0.0
            for tap in taps { sum += Double(tap.weight) * image[tap.offset].asDouble }
            target[(batch * channels + channel) * points + point] = Element(rounding: sum)
          }
        }
      }
    }
  }
}

/// AffineGrid: normalised coordinates of every pixel, transformed by one affine matrix per batch entry.
struct AffineGrid: Operator {
  let alignCorners: Bool

  init(_ node: Node) throws { alignCorners = try node.bool("align_corners", default: false) }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let theta = try inputs.info(at: 0, named: "theta")
    if inputs.isUnknown(at: 1) { return nil }
    let size = try inputs.requiredIntegers(at: 1, named: "size")
    let axes = size.count - 2
    guard axes == 2 || axes == 3, theta.shape == [size[0], axes, axes + 1] else {
      throw Failure(
        .shapeMismatch, "'theta' does not fit 'size' \(size)", expected: "[N, 2, 3] or [N, 3, 4]",
        actual: "\(theta.shape)")
    }
    guard theta.type.isFloatingPoint else {
      throw Failure(.typeMismatch, "'theta' must hold floats", actual: theta.type.name)
    }
    try theta.type.requireComputable(named: "theta")
    let shape = [size[0]] + Array(size[2...]) + [axes]
    _ = try CheckedSize.product(shape, of: "grid")
    return [ValueInfo(type: theta.type, shape: shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let theta = try inputs.tensor(at: 0).numbers()
    guard let output = outputs.optionalTensor(at: 0) else { return }
    let axes = output.rank - 2
    let sizes = Array(output.shape[1...axes])
    let points = sizes.reduce(1, *)
    var grid = [Double](repeating: 0, count: output.count)
    var coordinates = [Double](repeating: 1, count: axes + 1)
    for batch in 0..<output.shape[0] {
      for point in 0..<points {
        var rest = point
        for axis in stride(from: axes - 1, through: 0, by: -1) {
          let (size, index) = (Double(sizes[axis]), Double(rest % sizes[axis]))
          rest /= sizes[axis]
          let place = alignCorners ? (size == 1 ? 0 : 2 * index / (size - 1) - 1) : (2 * index + 1) / size - 1
          // x, the last axis, comes first.
          coordinates[axes - 1 - axis] = place
        }
        for row in 0..<axes {
          let weights = (batch * axes + row) * (axes + 1)
          var sum = 0.0
          for column in 0...axes { sum += theta[weights + column] * coordinates[column] }
          grid[(batch * points + point) * axes + row] = sum
        }
      }
    }
    try output.store(grid)
  }
}
