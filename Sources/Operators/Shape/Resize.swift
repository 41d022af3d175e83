import Graph
import Support

/// Resize of opsets 10 to 19, and Upsample as its special case.
struct Resize: Operator {
  enum Mode: String { case nearest, linear, cubic }
  private enum AspectRatio: String { case stretch, notLarger = "not_larger", notSmaller = "not_smaller" }
  /// Where scales come from.
  private enum Source {
    case attribute([Float])
    case input(scales: Int)
    case inputs(roi: Int, scales: Int, sizes: Int)
  }

  let mode: Mode
  let transform: ResizeAxis.Transform
  let rounding: ResizeAxis.Rounding
  let cubicCoefficient: Double
  let excludeOutside: Bool
  let extrapolationValue: Double
  let antialias: Bool
  private let aspectRatio: AspectRatio
  private let axes: [Int]?
  private let source: Source

  init(_ node: Node) throws {
    guard node.version >= 10 else { throw Failure(.unsupported, "Resize does not exist in opset \(node.version)") }
    let modes = node.version >= 11 ? ["nearest", "linear", "cubic"] : ["nearest", "linear"]
    mode = Mode(rawValue: try node.word("mode", default: "nearest", among: modes)) ?? .nearest
    guard node.version >= 11 else {
      (transform, rounding, source) = (.asymmetric, .simple, .input(scales: 1))
      (cubicCoefficient, excludeOutside, extrapolationValue, antialias) = (-0.75, false, 0, false)
      (aspectRatio, axes) = (.stretch, nil)
      return
    }
    let transforms = ResizeAxis.Transform.allCases.map(\.rawValue)
    let transformName = try node.word("coordinate_transformation_mode", default: "half_pixel", among: transforms)
    transform = ResizeAxis.Transform(rawValue: transformName) ?? .halfPixel
    let roundings = ResizeAxis.Rounding.allCases.map(\.rawValue).filter { !$0.isEmpty }
    let roundingName = try node.word("nearest_mode", default: "round_prefer_floor", among: roundings)
    rounding = ResizeAxis.Rounding(rawValue: roundingName) ?? .preferFloor
    cubicCoefficient = Double(try node.float("cubic_coeff_a", default: -0.75))
    excludeOutside = try node.bool("exclude_outside", default: false)
    extrapolationValue = Double(try node.float("extrapolation_value", default: 0))
    antialias = try node.bool("antialias", default: false)
    let policies = ["stretch", "not_larger", "not_smaller"]
    let policy = try node.word("keep_aspect_ratio_policy", default: "stretch", among: policies)
    aspectRatio = AspectRatio(rawValue: policy) ?? .stretch
    axes = try node.ints("axes")
    source = .inputs(roi: 1, scales: 2, sizes: 3)
  }

  /// Upsample: attributes before opset 9, an input in opset 9; asymmetric coordinates rounded down.
  init(upsample node: Node) throws {
    let modes = ["nearest", "linear", "bilinear"]
    mode = try node.word("mode", default: "nearest", among: modes) == "nearest" ? .nearest : .linear
    (transform, rounding, aspectRatio, axes) = (.asymmetric, .floor, .stretch, nil)
    (cubicCoefficient, excludeOutside, extrapolationValue, antialias) = (-0.75, false, 0, false)
    if node.version >= 9 {
      source = .input(scales: 1)
    } else if node.version >= 7 {
      source = .attribute(try node.required(node.floats("scales"), "scales"))
    } else {
      let height = try node.required(node.float("height_scale"), "height_scale")
      let width = try node.required(node.float("width_scale"), "width_scale")
      source = .attribute([1, 1, height, width])
    }
  }

  /// One entry per axis of the input, or nil while scales and sizes are not known.
  private func geometry(for inputs: [ValueInfo?], readsRegion: Bool) throws -> [ResizeAxis]? {
    let data = try inputs.info(at: 0, named: "X")
    let rank = data.shape.count
    let axes = try axes.map { try ShapeRules.axes($0, rank: rank) } ?? Array(0..<rank)
    var result = data.shape.map { ResizeAxis(inputSize: $0, outputSize: $0, numerator: 1, denominator: 1) }
    var sizes: [Int] = []
    var scales: [Double] = []
    switch source {
    case .attribute(let values): scales = values.map { Double($0) }
    case .input(let scalesIndex):
      if inputs.isUnknown(at: scalesIndex) { return nil }
      scales = try inputs.numbers(at: scalesIndex, named: "scales") ?? []
    case .inputs(let roiIndex, let scalesIndex, let sizesIndex):
      if inputs.isUnknown(at: scalesIndex, sizesIndex) { return nil }
      scales = try inputs.numbers(at: scalesIndex, named: "scales") ?? []
      sizes = try inputs.integers(at: sizesIndex, named: "sizes") ?? []
      if transform == .cropAndResize && readsRegion {
        let roi = try inputs.numbers(at: roiIndex, named: "roi") ?? []
        guard roi.count == 2 * axes.count, roi.allSatisfy({ $0.isFinite }) else {
          throw Failure(
            .shapeMismatch, "'roi' must hold starts and ends", expected: "\(2 * axes.count)", actual: "\(roi.count)")
        }
        for (index, axis) in axes.enumerated() { result[axis].roi = (roi[index], roi[axes.count + index]) }
      }
    }
    guard sizes.isEmpty != scales.isEmpty || axes.isEmpty else {
      throw Failure(.invalidArgument, "exactly one of 'scales' and 'sizes' must be given")
    }
    guard max(sizes.count, scales.count) == axes.count else {
      throw Failure(
        .shapeMismatch, "one scale or size per axis is required", expected: "\(axes.count)",
        actual: "\(max(sizes.count, scales.count))")
    }
    for (index, axis) in axes.enumerated() {
      let size = result[axis].inputSize
      if sizes.isEmpty {
        guard scales[index].isFinite, scales[index] > 0 else {
          throw Failure(.outOfRange, "scale \(scales[index]) of axis \(axis) must be positive")
        }
        result[axis].numerator = scales[index]
        // In single precision, as exporters and ONNX Runtime compute it.
        let length = (Float(size) * Float(scales[index])).rounded(.down)
        guard length.isFinite, length <= Float(CheckedSize.maximumBytes) else {
          throw Failure(.outOfMemory, "scale \(scales[index]) makes axis \(axis) too large")
        }
        result[axis].outputSize = Int(length)
      } else {
        guard sizes[index] >= 0, sizes[index] <= CheckedSize.maximumBytes else {
          throw Failure(.outOfRange, "size \(sizes[index]) of axis \(axis) is not usable")
        }
        result[axis].outputSize = sizes[index]
        result[axis].numerator = Double(sizes[index])
        result[axis].denominator = Double(max(1, size))
      }
    }
    if !sizes.isEmpty && aspectRatio != .stretch {
      let ratios = axes.map { result[$0].scale }
      let scale = (aspectRatio == .notLarger ? ratios.min() : ratios.max()) ?? 1
      for axis in axes {
        result[axis].numerator = scale
        result[axis].denominator = 1
        result[axis].outputSize = Int((scale * Double(result[axis].inputSize) + 0.5).rounded(.down))
      }
    }
    for (axis, entry) in result.enumerated() where entry.inputSize == 0 && entry.outputSize > 0 {
      throw Failure(.shapeMismatch, "axis \(axis) has no elements to resize")
    }
    return result
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "X")
    if mode != .nearest { try data.type.requireComputable(named: "X") }
    guard let axes = try geometry(for: inputs, readsRegion: false) else { return nil }
    let shape = axes.map(\.outputSize)
    _ = try CheckedSize.product(shape, of: "resized shape")
    return [ValueInfo(type: data.type, shape: shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let data = try inputs.tensor(at: 0)
    guard let output = outputs.optionalTensor(at: 0), output.count > 0,
      let axes = try geometry(for: inputs.infos, readsRegion: true)
    else { return }
    if mode == .nearest {
      let maps = axes.map { axis in
        (0..<axis.outputSize).map { index in
          if axis.isIdentity(transform) { return index }
          return axis.isOutside(index, transform) ? -1 : axis.nearest(index, transform, rounding)
        }
      }
      let movement = AxisMaps(sourceShape: data.shape, maps: maps, pool: context.pool)
      let outside = maps.contains { $0.contains(-1) } ? extrapolationValue : 0
      return try moveElements(movement, from: [data, Tensor.scalar(data.type, outside)], to: [output])
    }
    let kernel: ResizeAxis.Kernel = mode == .linear ? .linear : .cubic(a: cubicCoefficient)
    var passes: [(axis: Int, taps: ResizeAxis.Taps)] = []
    for (index, axis) in axes.enumerated() where !axis.isIdentity(transform) {
      passes.append(
        (index, try axis.taps(kernel, transform, antialias: antialias, excludeOutside: excludeOutside)))
    }
    // The axes that shrink most come first: later passes then have less to do.
    passes.sort { axes[$0.axis].scale < axes[$1.axis].scale }
    switch data.type {
    case .float32, .float16, .bfloat16, .int8, .uint8, .int16, .uint16, .bool:
      try Interpolation<Float>(passes: passes, pool: context.pool).run(from: data, to: output)
    default:
      try Interpolation<Double>(passes: passes, pool: context.pool).run(from: data, to: output)
    }
    if transform == .cropAndResize {
      let value = try Tensor.scalar(output.type, extrapolationValue)
      for (axis, entry) in axes.enumerated() {
        for index in 0..<entry.outputSize where entry.isOutside(index, transform) {
          try output.fillSlice(axis: axis, index: index, with: value, pool: context.pool)
        }
      }
    }
  }
}

extension Tensor {
  /// Sets every element at `index` of `axis` to the only element of `value`.
  fileprivate func fillSlice(axis: Int, index: Int, with value: Tensor, pool: ThreadPool) throws {
    let inner = shape[(axis + 1)...].reduce(1, *)
    let copy = StridedCopy(
      shape: [shape[..<axis].reduce(1, *), inner], sourceStrides: [0, 0],
      destinationStrides: [shape[axis] * inner, 1], destinationOffset: index * inner, pool: pool)
    try moveElements(copy, from: [value], to: [self])
  }
}
