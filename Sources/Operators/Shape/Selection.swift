import Graph
import Support

/// Compress: keeps the slices whose condition is true; without an axis, elements of the flattened input.
struct Compress: Operator {
  let axis: Int?

  init(_ node: Node) throws { axis = try node.int("axis") }

  /// The input as (outer, size, inner) around the axis.
  private func parts(of shape: [Int]) throws(Failure) -> (axis: Int?, outer: Int, size: Int, inner: Int) {
    guard let axis else { return (nil, 1, shape.reduce(1, *), 1) }
    let index = try ShapeRules.axis(axis, rank: shape.count)
    return (index, shape[..<index].reduce(1, *), shape[index], shape[(index + 1)...].reduce(1, *))
  }

  private func kept(_ condition: Tensor, of size: Int) throws(Failure) -> [Int] {
    guard condition.type == .bool, condition.rank == 1 else {
      throw Failure(
        .typeMismatch, "'condition' must be a list", expected: "bool of rank 1",
        actual: "\(condition.type.name) \(condition.shape)")
    }
    guard condition.count <= size else {
      throw Failure(
        .outOfRange, "'condition' is longer than the axis", expected: "\(size)", actual: "\(condition.count)")
    }
    let flags = condition.pointer(UInt8.self)
    return (0..<condition.count).filter { flags[$0] != 0 }
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "input")
    guard let condition = try inputs.info(at: 1, named: "condition").constant else { return nil }
    let parts = try parts(of: data.shape)
    let count = try kept(condition, of: parts.size).count
    var shape = parts.axis == nil ? [count] : data.shape
    if let axis = parts.axis { shape[axis] = count }
    return [ValueInfo(type: data.type, shape: shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let data = try inputs.tensor(at: 0)
    let parts = try parts(of: data.shape)
    let kept = try kept(try inputs.tensor(at: 1), of: parts.size)
    guard let output = outputs.optionalTensor(at: 0), output.count > 0 else { return }
    let movement = AxisMaps(
      sourceShape: [parts.outer, parts.size, parts.inner],
      maps: [Array(0..<parts.outer), kept, Array(0..<parts.inner)],
      pool: context.pool)
    try moveElements(movement, from: [data], to: [output])
  }
}

/// ReverseSequence: reverses the first `lengths[batch]` steps of every batch entry.
struct ReverseSequence: Operator {
  let timeAxis: Int
  let batchAxis: Int

  init(_ node: Node) throws {
    timeAxis = try node.int("time_axis", default: 0)
    batchAxis = try node.int("batch_axis", default: 1)
    guard (timeAxis, batchAxis) == (0, 1) || (timeAxis, batchAxis) == (1, 0) else {
      throw Failure(
        .outOfRange, "time_axis and batch_axis must be 0 and 1 in some order", actual: "\(timeAxis), \(batchAxis)")
    }
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "input")
    let lengths = try inputs.info(at: 1, named: "sequence_lens")
    guard data.shape.count >= 2, lengths.shape == [data.shape[batchAxis]] else {
      throw Failure(
        .shapeMismatch, "one sequence length per batch entry is required", expected: "input of rank 2 or more",
        actual: "\(data.shape), \(lengths.shape)")
    }
    guard lengths.type == .int64 else {
      throw Failure(.typeMismatch, "'sequence_lens' must be int64", actual: lengths.type.name)
    }
    return [ValueInfo(type: data.type, shape: data.shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let data = try inputs.tensor(at: 0)
    guard let output = outputs.optionalTensor(at: 0) else { return }
    let lengths = try inputs.tensor(at: 1).integers()
    let steps = data.shape[timeAxis]
    for length in lengths where length < 0 || length > steps {
      throw Failure(.outOfRange, "sequence length \(length) does not fit \(steps) steps")
    }
    let movement = ReversedRows(
      lengths: lengths, steps: steps, batchFirst: batchAxis == 0, inner: data.shape[2...].reduce(1, *))
    try moveElements(movement, from: [data], to: [output])
  }
}

private struct ReversedRows: ElementMovement {
  let lengths: [Int]
  let steps: Int
  let batchFirst: Bool
  let inner: Int

  func move<Element>(_ sources: [UnsafePointer<Element>], _ destinations: [UnsafeMutablePointer<Element>]) {
    for (batch, length) in lengths.enumerated() {
      for step in 0..<steps {
        let from = step < length ? length - 1 - step : step
        let source = batchFirst ? batch * steps + from : from * lengths.count + batch
        let target = batchFirst ? batch * steps + step : step * lengths.count + batch
        (destinations[0] + target * inner).update(from: sources[0] + source * inner, count: inner)
      }
    }
  }
}

/// Trilu: keeps the upper or lower triangle of the last two axes, zeros elsewhere. `k` shifts the diagonal.
struct Trilu: Operator {
  let upper: Bool

  init(_ node: Node) throws { upper = try node.bool("upper", default: true) }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "input")
    guard data.shape.count >= 2 else {
      throw Failure(.shapeMismatch, "a matrix is required", expected: "rank 2 or more", actual: "\(data.shape)")
    }
    return [ValueInfo(type: data.type, shape: data.shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let data = try inputs.tensor(at: 0)
    guard let output = outputs.optionalTensor(at: 0) else { return }
    let k = try inputs.infos.integer(at: 1, named: "k") ?? 0
    let (rows, columns) = (data.shape[data.rank - 2], data.shape[data.rank - 1])
    let movement = Triangle(
      upper: upper, shift: min(max(k, -rows - 1), columns + 1), rows: rows, columns: columns,
      matrices: data.shape.dropLast(2).reduce(1, *))
    try moveElements(movement, from: [data, Tensor.scalar(data.type, 0)], to: [output])
  }
}

private struct Triangle: ElementMovement {
  let upper: Bool
  let shift: Int
  let rows: Int
  let columns: Int
  let matrices: Int

  func move<Element>(_ sources: [UnsafePointer<Element>], _ destinations: [UnsafeMutablePointer<Element>]) {
    guard columns > 0 else { return }
    for row in 0..<(matrices * rows) {
      let source = sources[0] + row * columns
      let target = destinations[0] + row * columns
      // Upper keeps columns from the diagonal on, lower keeps those up to and including it.
      let diagonal = row % rows + shift
      let edge = min(max(upper ? diagonal : diagonal + 1, 0), columns)
      let kept = upper ? edge..<columns : 0..<edge
      let cleared = upper ? 0..<edge : edge..<columns
      (target + kept.lowerBound).update(from: source + kept.lowerBound, count: kept.count)
      (target + cleared.lowerBound).update(repeating: sources[1][0], count: cleared.count)
    }
  }
}

/// EyeLike: ones on the k-th diagonal of a matrix with the input's shape.
struct EyeLike: Operator {
  let type: DataType?
  let diagonal: Int

  init(_ node: Node) throws {
    type = try node.dataType("dtype")
    diagonal = try node.int("k", default: 0)
    try type?.requireComputable(named: "dtype")
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "input")
    try ShapeRules.requireRank(data, 2, named: "input")
    let result = type ?? data.type
    try result.requireComputable(named: "output")
    return [ValueInfo(type: result, shape: data.shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let output = outputs.optionalTensor(at: 0) else { return }
    try output.fill(with: Tensor.scalar(output.type, 0), pool: context.pool)
    try withNumericElement(of: output.type, Diagonal(output: output, diagonal: diagonal))
  }

  private struct Diagonal: NumericComputation {
    let output: Tensor
    let diagonal: Int
    func run<Element: NumericElement>(_: Element.Type) {
      let columns = output.shape[1]
      for row in 0..<output.shape[0] {
        let (column, overflow) = row.addingReportingOverflow(diagonal)
        guard !overflow, column >= 0, column < columns else { continue }
        output.pointer(Element.self)[row * columns + column] = Element(rounding: 1)
      }
    }
  }
}
