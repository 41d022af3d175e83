import Graph
import Support

/// TopK along an axis. Equal elements keep their order: the lower index comes first. NaN counts as the greatest.
struct TopK: Operator {
  let axis: Int
  let largest: Bool
  /// Opset 1 gives k as an attribute.
  let attributeCount: Int?

  init(_ node: Node) throws {
    axis = try node.int("axis", default: -1)
    largest = node.version >= 11 ? try node.bool("largest", default: true) : true
    attributeCount = node.version < 10 ? try node.required(node.int("k"), "k") : nil
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "X")
    try data.type.requireComputable(named: "X")
    if attributeCount == nil && inputs.isUnknown(at: 1) { return nil }
    let axis = try ShapeRules.axis(axis, rank: data.shape.count)
    guard let count = try attributeCount ?? inputs.integer(at: 1, named: "K") else {
      throw Failure(.corrupt, "required input 1 'K' is missing")
    }
    guard count >= 0, count <= data.shape[axis] else {
      throw Failure(.outOfRange, "K = \(count) exceeds axis \(axis) of size \(data.shape[axis])")
    }
    var shape = data.shape
    shape[axis] = count
    return [ValueInfo(type: data.type, shape: shape), ValueInfo(type: .int64, shape: shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let data = try inputs.tensor(at: 0)
    let axis = try ShapeRules.axis(axis, rank: data.rank)
    guard let sample = outputs.optionalTensor(at: 0) ?? outputs.optionalTensor(at: 1) else { return }
    let selection = Selection(
      data: data, values: outputs.optionalTensor(at: 0), indices: outputs.optionalTensor(at: 1), largest: largest,
      size: data.shape[axis], count: sample.shape[axis], inner: data.shape[(axis + 1)...].reduce(1, *),
      outer: data.shape[..<axis].reduce(1, *), pool: context.pool)
    try withNumericElement(of: data.type, selection)
  }

  private struct Selection: NumericComputation {
    let data: Tensor
    let values: Tensor?
    let indices: Tensor?
    let largest: Bool
    let size: Int
    let count: Int
    let inner: Int
    let outer: Int
    let pool: ThreadPool

    func run<Element: NumericElement>(_: Element.Type) {
      guard count > 0 else { return }
      let source = data.pointer(Element.self)
      pool.forRanges(outer * inner, grain: max(1, 8_192 / size)) { range in
        for line in range {
          let base = line / inner * size * inner + line % inner
          let target = line / inner * count * inner + line % inner
          func comesFirst(_ a: Int, _ b: Int) -> Bool {
            let (x, y) = (source[base + a * inner], source[base + b * inner])
            if Element.precedes(x, y) { return !largest }
            if Element.precedes(y, x) { return largest }
            return a < b
          }
          var order: [Int]
          if count <= 32 && count < size {
            // A short sorted list: each element is inserted where it belongs.
            order = []
            order.reserveCapacity(count + 1)
            for index in 0..<size {
              if order.count == count, !comesFirst(index, order[count - 1]) { continue }
              var place = order.count
              while place > 0 && comesFirst(index, order[place - 1]) { place -= 1 }
              order.insert(index, at: place)
              if order.count > count { order.removeLast() }
            }
          } else {
            order = Array(0..<size)
            order.sort(by: comesFirst)
          }
          for rank in 0..<count {
            values?.pointer(Element.self)[target + rank * inner] = source[base + order[rank] * inner]
            indices?.pointer(Int64.self)[target + rank * inner] = Int64(order[rank])
          }
        }
      }
    }
  }
}

/// NonZero: coordinates of elements that are not zero, one row per axis, in row-major order.
struct NonZero: Operator {
  private func places(_ tensor: Tensor) throws -> [Int] {
    if tensor.type == .string { return tensor.strings.indices.filter { !tensor.strings[$0].isEmpty } }
    return try withNumericElement(of: tensor.type, Places(tensor: tensor))
  }

  private struct Places: NumericComputation {
    let tensor: Tensor
    func run<Element: NumericElement>(_: Element.Type) -> [Int] {
      let elements = tensor.buffer(Element.self)
      return elements.indices.filter { elements[$0].asDouble != 0 }
    }
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "X")
    guard let constant = data.constant else { return nil }
    return [ValueInfo(type: .int64, shape: [data.shape.count, try places(constant).count])]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let data = try inputs.tensor(at: 0)
    guard let output = outputs.optionalTensor(at: 0) else { return }
    let places = try places(data)
    guard output.count == places.count * data.rank else {
      throw Failure(.internalError, "NonZero's result has the wrong size")
    }
    let strides = ShapeRules.strides(of: data.shape)
    let target = output.pointer(Int64.self)
    for axis in 0..<data.rank {
      for (index, place) in places.enumerated() {
        target[axis * places.count + index] = Int64(place / strides[axis] % data.shape[axis])
      }
    }
  }
}

/// Unique elements, or unique slices along an axis; optionally in the order of their first appearance.
struct Unique: DynamicOperator {
  let axis: Int?
  let sorted: Bool

  init(_ node: Node) throws {
    axis = try node.int("axis")
    sorted = try node.bool("sorted", default: true)
  }

  func evaluate(_ inputs: [Value?], context: RunContext) throws -> [Value?] {
    let data = try inputs.tensorValue(at: 0, named: "X")
    let axis = try axis.map { try ShapeRules.axis($0, rank: data.rank) }
    let outer = axis.map { data.shape[..<$0].reduce(1, *) } ?? 1
    let size = axis.map { data.shape[$0] } ?? data.count
    let inner = axis.map { data.shape[($0 + 1)...].reduce(1, *) } ?? 1

    let ranks = try data.elementRanks()
    func compare(_ a: Int, _ b: Int) -> Int {
      for block in 0..<outer {
        for element in 0..<inner {
          let difference = ranks[(block * size + a) * inner + element] - ranks[(block * size + b) * inner + element]
          if difference != 0 { return difference }
        }
      }
      return 0
    }
    let order = (0..<size).sorted { a, b in
      let difference = compare(a, b)
      return difference == 0 ? a < b : difference < 0
    }
    // Groups of equal slices, in sorted order; the first member of each is its first appearance.
    var groups: [(first: Int, count: Int)] = []
    var groupOf = [Int](repeating: 0, count: size)
    for (position, slice) in order.enumerated() {
      if position == 0 || compare(order[position - 1], slice) != 0 { groups.append((slice, 0)) }
      groups[groups.count - 1].count += 1
      groupOf[slice] = groups.count - 1
    }
    if !sorted {
      let arrival = groups.indices.sorted { groups[$0].first < groups[$1].first }
      var place = [Int](repeating: 0, count: groups.count)
      for (position, group) in arrival.enumerated() { place[group] = position }
      groups = arrival.map { groups[$0] }
      groupOf = groupOf.map { place[$0] }
    }
    var shape = axis == nil ? [groups.count] : data.shape
    if let axis { shape[axis] = groups.count }
    let unique = try Tensor(type: data.type, shape: shape)
    let movement = AxisMaps(
      sourceShape: [outer, size, inner],
      maps: [Array(0..<outer), groups.map(\.first), Array(0..<inner)], pool: context.pool)
    try moveElements(movement, from: [data], to: [unique])
    return [
      .tensor(unique), .tensor(try Tensor(int64: groups.map { Int64($0.first) })),
      .tensor(try Tensor(int64: groupOf.map { Int64($0) })),
      .tensor(try Tensor(int64: groups.map { Int64($0.count) })),
    ]
  }
}

extension Tensor {
  /// For every element its rank among the distinct elements, so that ranks compare as elements do (strings by bytes).
  fileprivate func elementRanks() throws -> [Int] {
    if type == .string {
      let elements = strings.map { Array($0.utf8) }
      return Self.ranks(count: elements.count) { elements[$0].lexicographicallyPrecedes(elements[$1]) }
    }
    return try withNumericElement(of: type, RankElements(tensor: self))
  }

  fileprivate static func ranks(count: Int, precedes: (Int, Int) -> Bool) -> [Int] {
    let order = (0..<count).sorted(by: precedes)
    var ranks = [Int](repeating: 0, count: count)
    for position in order.indices.dropFirst() {
      let (previous, current) = (order[position - 1], order[position])
      ranks[current] = ranks[previous] + (precedes(previous, current) ? 1 : 0)
    }
    return ranks
  }

  private struct RankElements: NumericComputation {
    let tensor: Tensor
    func run<Element: NumericElement>(_: Element.Type) -> [Int] {
      let elements = tensor.buffer(Element.self)
      return Tensor.ranks(count: elements.count) { Element.precedes(elements[$0], elements[$1]) }
    }
  }
}
