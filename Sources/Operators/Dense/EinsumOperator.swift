import Graph
import Kernels
import Support

/// ONNX `Einsum`: sums of products over labelled dimensions.
///
/// Two float32 operands whose summed labels occur in both become one batched matrix product; everything else is summed
/// by definition.
struct EinsumOperator: Operator {
  /// Labels of every operand and of the output; the ellipsis is `nil`.
  let operands: [[Character?]]
  let output: [Character?]

  init(_ node: Node) throws {
    let equation = try node.required(node.string("equation"), "equation")
    let text = equation.filter { $0 != " " }
    func labels(_ term: Substring) throws -> [Character?] {
      var result: [Character?] = []
      var rest = term
      while let first = rest.first {
        if rest.hasPrefix("...") {
          guard !result.contains(nil) else { throw Failure(.corrupt, "two ellipses in equation '\(equation)'") }
          result.append(nil)
          rest = rest.dropFirst(3)
        } else {
          guard first.isASCII, first.isLetter else { throw Failure(.corrupt, "equation '\(equation)'") }
          result.append(first)
          rest = rest.dropFirst()
        }
      }
      return result
    }
    let arrow = text.indices.first { text[$0...].hasPrefix("->") }
    let left = arrow.map { text[..<$0] } ?? text[...]
    operands = try left.split(separator: ",", omittingEmptySubsequences: false).map(labels)
    if let arrow {
      output = try labels(text[arrow...].dropFirst(2))
    } else {
      // Implicit: the ellipsis, then labels that occur once, in alphabetical order.
      var counts: [Character: Int] = [:]
      for label in operands.joined() { if let label { counts[label, default: 0] += 1 } }
      let once = counts.filter { $0.value == 1 }.keys.sorted()
      output = (operands.joined().contains(nil) ? [nil] : []) + once.map { $0 }
    }
    let known = Set(operands.joined().compactMap { $0 })
    let named = output.compactMap { $0 }
    guard named.allSatisfy({ known.contains($0) }), Set(named).count == named.count else {
      throw Failure(.corrupt, "output of equation '\(equation)'")
    }
  }

  /// Every label as a number with its size, and every operand's dimensions as label numbers.
  struct Plan {
    var sizes: [Int]
    /// Label number of every dimension of every operand.
    var operands: [[Int]]
    var shapes: [[Int]]
    var output: [Int]
    var summed: [Int]

    var outputShape: [Int] { output.map { sizes[$0] } }

    /// Distance between neighbours along every label for operand `index`; broadcast dimensions have 0.
    func strides(_ index: Int) -> [Int] {
      var strides = [Int](repeating: 0, count: sizes.count)
      var stride = 1
      for axis in shapes[index].indices.reversed() {
        let size = shapes[index][axis]
        if size != 1 || sizes[operands[index][axis]] == 1 { strides[operands[index][axis]] += stride }
        stride *= size
      }
      return strides
    }
  }

  private func plan(_ shapes: [[Int]]) throws -> Plan {
    guard shapes.count == operands.count else {
      throw Failure(.corrupt, "number of inputs", expected: "\(operands.count)", actual: "\(shapes.count)")
    }
    let ellipsisRanks = try zip(shapes, operands).compactMap { shape, labels -> Int? in
      let named = labels.filter { $0 != nil }.count
      guard labels.contains(nil) ? shape.count >= named : shape.count == named else {
        throw Failure(.shapeMismatch, "rank of an operand", expected: "\(named)", actual: "\(shape)")
      }
      return labels.contains(nil) ? shape.count - named : nil
    }
    let ellipsis = ellipsisRanks.max() ?? 0
    // The ellipsis has the first numbers, aligned at its right end.
    var numbers: [Character: Int] = [:]
    var sizes = [Int](repeating: 1, count: ellipsis)
    var dimensions: [[Int]] = []
    for (shape, labels) in zip(shapes, operands) {
      let own = shape.count - labels.filter { $0 != nil }.count
      var list: [Int] = []
      for label in labels {
        if let label {
          if numbers[label] == nil {
            numbers[label] = sizes.count
            sizes.append(1)
          }
          list.append(numbers[label] ?? 0)
        } else {
          list += (ellipsis - own)..<ellipsis
        }
      }
      for (label, size) in zip(list, shape) {
        guard sizes[label] == size || sizes[label] == 1 || size == 1 else {
          throw Failure(.shapeMismatch, "sizes of one label differ", actual: "\(sizes[label]) and \(size)")
        }
        if size != 1 { sizes[label] = size }
      }
      dimensions.append(list)
    }
    var result: [Int] = []
    for label in output {
      if let label { result.append(numbers[label] ?? 0) } else { result += 0..<ellipsis }
    }
    let kept = Set(result)
    return Plan(
      sizes: sizes, operands: dimensions, shapes: shapes, output: result,
      summed: sizes.indices.filter { !kept.contains($0) })
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let first = try inputs.input(0, named: "Inputs")
    try first.expectType(MatMulOperator.types + [.int8, .int16, .uint8, .uint16], named: "Inputs")
    for info in inputs { try info?.expectType([first.type], named: "Inputs") }
    return [ValueInfo(type: first.type, shape: try plan(inputs.compactMap { $0?.shape }).outputShape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let y = outputs.optionalTensor(0), y.count > 0 else { return }
    let tensors = inputs.compactMap { $0 }
    let plan = try plan(tensors.map(\.shape))
    switch y.type {
    case .float32:
      if try !runProduct(plan, tensors, y, context: context) { try sum(Float.self, plan, tensors, y, context: context) }
    case .float64: try sum(Double.self, plan, tensors, y, context: context)
    case .int8: try sum(Wrapping<Int8>.self, plan, tensors, y, context: context)
    case .int16: try sum(Wrapping<Int16>.self, plan, tensors, y, context: context)
    case .int32: try sum(Wrapping<Int32>.self, plan, tensors, y, context: context)
    case .int64: try sum(Wrapping<Int64>.self, plan, tensors, y, context: context)
    case .uint8: try sum(Wrapping<UInt8>.self, plan, tensors, y, context: context)
    case .uint16: try sum(Wrapping<UInt16>.self, plan, tensors, y, context: context)
    case .uint32: try sum(Wrapping<UInt32>.self, plan, tensors, y, context: context)
    case .uint64: try sum(Wrapping<UInt64>.self, plan, tensors, y, context: context)
    default: throw Failure(.internalError, "unchecked element type \(y.type)")
    }
  }

  /// One batched matrix product, if the equation is one; false otherwise.
  private func runProduct(_ plan: Plan, _ tensors: [Tensor], _ y: Tensor, context: RunContext) throws -> Bool {
    guard tensors.count == 2, tensors.allSatisfy({ $0.count > 0 }) else { return false }
    let (a, b) = (plan.operands[0], plan.operands[1])
    let full = zip(plan.operands, plan.shapes).allSatisfy { labels, shape in
      Set(labels).count == labels.count && zip(labels, shape).allSatisfy { plan.sizes[$0] == $1 }
    }
    guard full, plan.summed.allSatisfy({ a.contains($0) && b.contains($0) }) else { return false }
    let batch = plan.output.filter { a.contains($0) && b.contains($0) }
    let rows = plan.output.filter { a.contains($0) && !b.contains($0) }
    let columns = plan.output.filter { !a.contains($0) && b.contains($0) }
    func size(_ labels: [Int]) -> Int { labels.reduce(1) { $0 * plan.sizes[$1] } }
    let (count, m, n, k) = (size(batch), size(rows), size(columns), size(plan.summed))
    let left = try Tensor(type: .float32, shape: [count, m, k])
    let right = try Tensor(type: .float32, shape: [count, k, n])
    let result = try Tensor(type: .float32, shape: [count, m, n])
    defer { withExtendedLifetime((left, right, result)) {} }
    gather(tensors[0].floats, plan.strides(0), batch + rows + plan.summed, plan, left.floats)
    gather(tensors[1].floats, plan.strides(1), batch + plan.summed + columns, plan, right.floats)
    let product = BatchedProduct(
      m: m, n: n, k: k, a: left.floats, aIndex: Array(0..<count), b: right.floats, bIndex: Array(0..<count),
      bCount: count, c: result.floats)
    var scratch = ScratchMemory(context.scratch)
    defer { withExtendedLifetime(scratch) {} }
    try product.run(context: context, scratch: &scratch)
    var strides = [Int](repeating: 0, count: plan.sizes.count)
    var stride = 1
    for label in (batch + rows + columns).reversed() {
      strides[label] = stride
      stride *= plan.sizes[label]
    }
    gather(result.floats, strides, plan.output, plan, y.floats)
    return true
  }

  /// Elements of `source` in the order of `labels`.
  private func gather(
    _ source: UnsafePointer<Float>, _ strides: [Int], _ labels: [Int], _ plan: Plan,
    _ target: UnsafeMutablePointer<Float>
  ) {
    var odometer = Odometer(labels.map { plan.sizes[$0] }, [labels.map { strides[$0] }])
    for i in 0..<labels.reduce(1, { $0 * plan.sizes[$1] }) {
      target[i] = source[odometer.offsets[0]]
      odometer.advance()
    }
  }

  private func sum<T: Numeric & BitwiseCopyable>(
    _: T.Type, _ plan: Plan, _ tensors: [Tensor], _ y: Tensor, context: RunContext
  ) throws {
    let strides = tensors.indices.map { plan.strides($0) }
    let pointers = tensors.map { UnsafePointer($0.pointer(T.self)) }
    var outer = Odometer(plan.outputShape, strides.map { s in plan.output.map { s[$0] } })
    let innerSizes = plan.summed.map { plan.sizes[$0] }
    let terms = innerSizes.reduce(1, *)
    let inner = Odometer(innerSizes, strides.map { s in plan.summed.map { s[$0] } })
    let target = y.pointer(T.self)
    for i in 0..<y.count {
      if i % 4096 == 0 { try context.checkCancelled() }
      var total: T = 0
      var walk = inner
      for _ in 0..<terms {
        var product: T = 1
        for (index, pointer) in pointers.enumerated() {
          product *= pointer[outer.offsets[index] + walk.offsets[index]]
        }
        total += product
        walk.advance()
      }
      target[i] = total
      outer.advance()
    }
  }
}

/// Walks a grid in row-major order and keeps one memory offset per operand.
struct Odometer {
  private let sizes: [Int]
  private let strides: [[Int]]
  private var place: [Int]
  private(set) var offsets: [Int]

  init(_ sizes: [Int], _ strides: [[Int]]) {
    self.sizes = sizes
    self.strides = strides
    place = [Int](repeating: 0, count: sizes.count)
    offsets = [Int](repeating: 0, count: strides.count)
  }

  mutating func advance() {
    for axis in sizes.indices.reversed() {
      place[axis] += 1
      if place[axis] < sizes[axis] {
        for index in offsets.indices { offsets[index] += strides[index][axis] }
        return
      }
      for index in offsets.indices { offsets[index] -= strides[index][axis] * (sizes[axis] - 1) }
      place[axis] = 0
    }
  }
}

/// An integer whose sums and products wrap around instead of trapping.
struct Wrapping<T: FixedWidthInteger & BitwiseCopyable>: Numeric, BitwiseCopyable {
  var value: T

  init(_ value: T) { self.value = value }
  init(integerLiteral value: T.IntegerLiteralType) { self.value = T(integerLiteral: value) }
  init?<Source: BinaryInteger>(exactly source: Source) {
    guard let value = T(exactly: source) else { return nil }
    self.value = value
  }

  var magnitude: T.Magnitude { value.magnitude }
  static func + (a: Self, b: Self) -> Self { Self(a.value &+ b.value) }
  static func - (a: Self, b: Self) -> Self { Self(a.value &- b.value) }
  static func * (a: Self, b: Self) -> Self { Self(a.value &* b.value) }
  static func *= (a: inout Self, b: Self) { a = a * b }
}
