import Graph
import Support

/// Pad with constant, reflected, edge or wrapped elements; negative pads crop.
///
/// Pads are an attribute before opset 11, an input since; opset 18 added `axes`, opset 19 `wrap`.
struct Pad: Operator {
  enum Mode: String { case constant, reflect, edge, wrap }

  let mode: Mode
  let attributePads: [Int]?
  let attributeValue: Float

  init(_ node: Node) throws {
    let known = node.version >= 19 ? ["constant", "reflect", "edge", "wrap"] : ["constant", "reflect", "edge"]
    mode = Mode(rawValue: try node.word("mode", default: "constant", among: known)) ?? .constant
    let name = node.version < 2 ? "paddings" : "pads"
    attributePads = node.version < 11 ? try node.required(node.ints(name), name) : nil
    attributeValue = node.version < 11 ? try node.float("value", default: 0) : 0
  }

  /// (before, after) of every axis.
  private func pads(for inputs: [ValueInfo?]) throws -> [(before: Int, after: Int)] {
    let rank = try inputs.info(at: 0, named: "data").shape.count
    let given = try attributePads ?? inputs.requiredIntegers(at: 1, named: "pads")
    let listed = attributePads == nil ? try inputs.integers(at: 3, named: "axes") : nil
    let axes = try listed.map { try ShapeRules.axes($0, rank: rank) } ?? Array(0..<rank)
    guard given.count == 2 * axes.count else {
      throw Failure(
        .shapeMismatch, "pads must hold a start and an end of every axis", expected: "\(2 * axes.count)",
        actual: "\(given.count)")
    }
    guard given.allSatisfy({ $0.magnitude <= CheckedSize.maximumBytes }) else {
      throw Failure(.outOfRange, "pads \(given) are too large")
    }
    var pads = [(before: Int, after: Int)](repeating: (0, 0), count: rank)
    for (index, axis) in axes.enumerated() { pads[axis] = (given[index], given[axes.count + index]) }
    return pads
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "data")
    if attributePads == nil {
      if inputs.isUnknown(at: 1, 3) { return nil }
      if let value = inputs.optionalInfo(at: 2) {
        try ShapeRules.requireSameType(data, value, named: "constant_value")
        guard value.shape.reduce(1, *) == 1 else {
          throw Failure(.shapeMismatch, "constant_value must be one element", actual: "\(value.shape)")
        }
      }
    }
    var shape: [Int] = []
    for (size, pad) in zip(data.shape, try pads(for: inputs)) {
      let padded = try CheckedSize.sum(
        CheckedSize.sum(size, pad.before, of: "padded axis"), pad.after, of: "padded axis")
      guard padded >= 0 else {
        throw Failure(.shapeMismatch, "pads (\(pad.before), \(pad.after)) remove more than the \(size) elements")
      }
      if size == 0, padded > 0, mode != .constant {
        throw Failure(.shapeMismatch, "mode '\(mode)' cannot pad an axis without elements")
      }
      shape.append(padded)
    }
    _ = try CheckedSize.product(shape, of: "padded shape")
    return [ValueInfo(type: data.type, shape: shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let data = try inputs.tensor(at: 0)
    guard let output = outputs.optionalTensor(at: 0), output.count > 0 else { return }
    let pads = try pads(for: inputs.infos)
    let given = attributePads == nil ? inputs.optionalTensor(at: 2) : nil
    let value = try given ?? Tensor.scalar(data.type, Double(attributeValue))
    let maps = zip(data.shape, pads).map { size, pad in
      (0..<(size + pad.before + pad.after)).map { source(of: $0 - pad.before, size: size) }
    }
    let movement = AxisMaps(sourceShape: data.shape, maps: maps, pool: context.pool)
    try moveElements(movement, from: [data, value], to: [output])
  }

  /// The input index that an index outside `0..<size` repeats, or -1 for the constant.
  private func source(of index: Int, size: Int) -> Int {
    if index >= 0 && index < size { return index }
    switch mode {
    case .constant: return -1
    case .edge: return min(max(index, 0), size - 1)
    case .wrap: return (index % size + size) % size
    case .reflect:
      guard size > 1 else { return 0 }
      let period = 2 * (size - 1)
      let phase = (index % period + period) % period
      return phase < size ? phase : period - phase
    }
  }
}

/// Output (i0, i1, …) is source (maps[0][i0], maps[1][i1], …), or the second source's only element where a map says -1.
struct AxisMaps: ElementMovement {
  private let maps: [[Int]]
  private let strides: [Int]
  private let pool: ThreadPool
  private let shape: [Int]

  init(sourceShape: [Int], maps: [[Int]], pool: ThreadPool) {
    self.maps = maps.isEmpty ? [[0]] : maps
    strides = sourceShape.isEmpty ? [1] : ShapeRules.strides(of: sourceShape)
    shape = self.maps.map(\.count)
    self.pool = pool
  }

  func move<Element>(_ sources: [UnsafePointer<Element>], _ destinations: [UnsafeMutablePointer<Element>]) {
    let last = shape.count - 1
    let length = shape[last]
    let rows = shape.dropLast().reduce(1, *)
    guard rows > 0, length > 0 else { return }
    let columns = maps[last]
    let runs = Self.runs(of: columns)
    let (source, destination) = (sources[0], destinations[0])
    pool.forRanges(rows, grain: max(1, 32_768 / length)) { range in
      for row in range {
        let output = destination + row * length
        guard let base = rowOffset(row) else {
          output.update(repeating: sources[1][0], count: length)
          continue
        }
        let input = source + base
        for run in runs {
          if run.source < 0 {
            (output + run.start).update(repeating: sources[1][0], count: run.count)
          } else if run.step == 1 {
            (output + run.start).update(from: input + run.source, count: run.count)
          } else {
            for index in 0..<run.count { output[run.start + index] = input[columns[run.start + index]] }
          }
        }
      }
    }
  }

  private func rowOffset(_ row: Int) -> Int? {
    var rest = row
    var offset = 0
    for axis in stride(from: shape.count - 2, through: 0, by: -1) {
      let index = maps[axis][rest % shape[axis]]
      guard index >= 0 else { return nil }
      offset += index * strides[axis]
      rest /= shape[axis]
    }
    return offset
  }

  private struct Run {
    var start: Int
    var source: Int
    var count: Int
    /// 1: consecutive elements; 0: arbitrary ones (or the constant).
    var step: Int
  }

  /// Splits a map into stretches that are consecutive, constant, or neither.
  private static func runs(of map: [Int]) -> [Run] {
    var runs: [Run] = []
    var index = 0
    while index < map.count {
      var end = index + 1
      if map[index] < 0 {
        while end < map.count && map[end] < 0 { end += 1 }
        runs.append(Run(start: index, source: -1, count: end - index, step: 0))
      } else {
        while end < map.count && map[end] == map[end - 1] + 1 { end += 1 }
        if end - index >= 8 {
          runs.append(Run(start: index, source: map[index], count: end - index, step: 1))
        } else if let last = runs.last, last.step == 0, last.source >= 0 {
          runs[runs.count - 1].count += end - index
        } else {
          runs.append(Run(start: index, source: map[index], count: end - index, step: 0))
        }
      }
      index = end
    }
    return runs
  }
}

/// CenterCropPad: crops or zero-pads axes to a given size, the odd element at the end.
struct CenterCropPad: Operator {
  let axes: [Int]?

  init(_ node: Node) throws { axes = try node.ints("axes") }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "input_data")
    if inputs.isUnknown(at: 1) { return nil }
    let target = try inputs.requiredIntegers(at: 1, named: "shape")
    let rank = data.shape.count
    let axes = try axes.map { try ShapeRules.axes($0, rank: rank) } ?? Array(0..<rank)
    guard target.count == axes.count else {
      throw Failure(
        .shapeMismatch, "one size per axis is required", expected: "\(axes.count)", actual: "\(target.count)")
    }
    var shape = data.shape
    for (axis, size) in zip(axes, target) { shape[axis] = size }
    _ = try CheckedSize.product(shape, of: "target shape")
    return [ValueInfo(type: data.type, shape: shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let data = try inputs.tensor(at: 0)
    guard let output = outputs.optionalTensor(at: 0), output.count > 0 else { return }
    let maps = zip(data.shape, output.shape).map { size, target in
      let shift = target < size ? (size - target) / 2 : -((target - size) / 2)
      return (0..<target).map { $0 + shift >= 0 && $0 + shift < size ? $0 + shift : -1 }
    }
    let movement = AxisMaps(sourceShape: data.shape, maps: maps, pool: context.pool)
    try moveElements(movement, from: [data, Tensor.scalar(data.type, 0)], to: [output])
  }
}
