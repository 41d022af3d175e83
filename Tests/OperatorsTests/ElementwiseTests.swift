import Foundation
import Graph
import Operators
import Support
import Testing

@Suite("Elementwise operators")
struct ElementwiseTests {
  @Test("Broadcasting gives what the index formula gives, for every alignment and thread count")
  func broadcasting() throws {
    // (shape a, shape b): scalar, bias, column, per channel, both ways, inner ones, leading axes, empty
    let cases: [([Int], [Int])] = [
      ([], []), ([5], []), ([], [5]), ([2, 3, 4], [4]), ([2, 3, 4], [3, 1]), ([2, 3, 4, 5], [1, 3, 1, 1]),
      ([4, 1], [1, 3]), ([2, 1, 3, 1], [1, 4, 1, 5]), ([3], [2, 3]), ([2, 0, 3], [1, 3]), ([1, 1], [1]),
      ([7, 1], [7, 9]),
      ([300, 200], [300, 1]), ([70000], [70000]), ([3, 1, 2], [3, 5, 2]),
    ]
    for (first, second) in cases {
      let a = try numbered(first, step: 1)
      let b = try numbered(second, step: 0.25)
      for threads in [1, 3] {
        let result = try SingleOperator(type: "Sub", threads: threads)(a, b)[0]
        let rank = max(first.count, second.count)
        let shape = (0..<rank).map { axis in
          let x = axis - (rank - first.count)
          let y = axis - (rank - second.count)
          let sizes = [x >= 0 ? first[x] : 1, y >= 0 ? second[y] : 1]
          return sizes.contains(0) ? 0 : max(sizes[0], sizes[1])
        }
        #expect(result.shape == shape)
        let values = result.values(Float.self)
        for index in values.indices {
          let expected = Float(position(index, shape, first)) - 0.25 * Float(position(index, shape, second))
          guard values[index] == expected else {
            Issue.record("\(first) - \(second) at \(index): \(values[index]), expected \(expected)")
            break
          }
        }
      }
    }
  }

  @Test("Shapes that do not broadcast are refused")
  func mismatch() throws {
    let a = try Tensor([1, 2, 3])
    let b = try Tensor([1, 2])
    #expect(throws: Failure.self) { try SingleOperator(type: "Add")(a, b) }
    let error = #expect(throws: Failure.self) { try SingleOperator(type: "Equal")(a, b) }
    #expect(error?.status == .shapeMismatch)
  }

  @Test("Inputs of two types are refused")
  func mixedTypes() throws {
    let error = #expect(throws: Failure.self) { try SingleOperator(type: "Add")(Tensor([1]), Tensor(int64: [1])) }
    #expect(error?.status == .typeMismatch)
  }

  @Test("Before opset 7 the second input is aligned at an axis, and only when asked")
  func legacyBroadcast() throws {
    let a = try Tensor([0, 0, 0, 0, 0, 0], [2, 3, 1])
    let b = try Tensor([1, 2, 3])
    let add = SingleOperator(type: "Add", version: 6, attributes: ["broadcast": .int(1), "axis": .int(1)])
    #expect(try add(a, b)[0].values() == [1, 2, 3, 1, 2, 3] as [Float])
    #expect(throws: Failure.self) { try SingleOperator(type: "Add", version: 6)(a, b) }
  }

  @Test("Integer arithmetic wraps and never traps")
  func integers() throws {
    let low = try Tensor(int64: [.min, .min, 7, -7, 7, 0])
    let by = try Tensor(int64: [-1, 0, 2, 2, -2, 5])
    #expect(try SingleOperator(type: "Div")(low, by)[0].values() == [.min, 0, 3, -3, -3, 0] as [Int64])
    #expect(try SingleOperator(type: "Mod")(low, by)[0].values() == [0, 0, 1, 1, -1, 0] as [Int64])
    let fmod = SingleOperator(type: "Mod", attributes: ["fmod": .int(1)])
    #expect(try fmod(low, by)[0].values() == [0, 0, 1, -1, 1, 0] as [Int64])
    #expect(try SingleOperator(type: "Neg")(low)[0].values() == [.min, .min, -7, 7, -7, 0] as [Int64])

    let bytes = try Tensor(type: .int8, shape: [3], values: [Int8.min, 127, -128])
    let ones = try Tensor(type: .int8, shape: [3], values: [Int8(-1), 1, 2])
    #expect(try SingleOperator(type: "Add")(bytes, ones)[0].values() == [127, -128, -126] as [Int8])
    #expect(try SingleOperator(type: "Mul")(bytes, ones)[0].values() == [-128, 127, 0] as [Int8])
    #expect(try SingleOperator(type: "Abs")(bytes)[0].values() == [-128, 127, -128] as [Int8])
    #expect(try SingleOperator(type: "Div")(bytes, ones)[0].values() == [-128, 127, -64] as [Int8])

    let large = try Tensor(type: .uint64, shape: [2], values: [UInt64.max, 5])
    let other = try Tensor(type: .uint64, shape: [2], values: [UInt64(1), 6])
    #expect(try SingleOperator(type: "Max")(large, other)[0].values() == [.max, 6] as [UInt64])
    #expect(try SingleOperator(type: "Sub")(large, other)[0].values() == [.max - 1, .max] as [UInt64])
    #expect(try SingleOperator(type: "Less")(large, other)[0].values() == [0, 1] as [UInt8])
  }

  @Test("Shifts by the width or more give zero")
  func shifts() throws {
    let x = try Tensor(type: .uint8, shape: [4], values: [UInt8(255), 255, 255, 1])
    let y = try Tensor(type: .uint8, shape: [4], values: [UInt8(1), 8, 200, 7])
    let left = SingleOperator(type: "BitShift", attributes: ["direction": .string("LEFT")])
    let right = SingleOperator(type: "BitShift", attributes: ["direction": .string("RIGHT")])
    #expect(try left(x, y)[0].values() == [254, 0, 0, 128] as [UInt8])
    #expect(try right(x, y)[0].values() == [127, 0, 0, 0] as [UInt8])
    #expect(throws: Failure.self) { try SingleOperator(type: "BitShift")(x, y) }
  }

  @Test("Pow: mixed types keep the base's type; integer powers are exact")
  func pow() throws {
    let base = try Tensor(int64: [3, -2, 2, 0, 1, -1, 2])
    let exponent = try Tensor(int64: [39, 63, -1, 0, -5, -3, 64])
    #expect(
      try SingleOperator(type: "Pow")(base, exponent)[0].values()
        == [4_052_555_153_018_976_267, .min, 0, 1, 1, -1, 0] as [Int64])
    let squares = try SingleOperator(type: "Pow")(Tensor([3, -4, .infinity]), Tensor([2], []))[0]
    #expect(squares.values() == [9, 16, .infinity] as [Float])
    let mixed = try SingleOperator(type: "Pow")(Tensor([2, 9]), Tensor(int64: [3, -1]))[0]
    #expect(mixed.values() == [8, 1 / 9] as [Float])
    let rounded = try SingleOperator(type: "Pow")(Tensor(int64: [2, 2]), Tensor([0.5, 2]))[0]
    #expect(rounded.values() == [1, 4] as [Int64])
  }

  @Test("NaN and infinity pass as IEEE 754 and numpy have them")
  func specials() throws {
    let x = try Tensor([.nan, 1, .infinity, -.infinity])
    let y = try Tensor([1, .nan, .nan, 3])
    for type in ["Max", "Min"] {
      let result = try SingleOperator(type: type)(x, y)[0].values(Float.self)
      #expect(result[0].isNaN && result[1].isNaN && result[2].isNaN)
    }
    let clipped = try SingleOperator(type: "Clip")(x, Tensor([0], []), Tensor([2], []))[0].values(Float.self)
    #expect(clipped[0].isNaN && clipped[1] == 1 && clipped[2] == 2 && clipped[3] == 0)
    #expect(try SingleOperator(type: "Clip")(x, nil, nil)[0].values(Float.self)[2] == .infinity)
    for type in [
      "Relu", "LeakyRelu", "Exp", "Tanh", "Sigmoid", "Erf", "Softplus", "Gelu", "Sign", "HardSigmoid", "Mish",
    ] {
      #expect(try SingleOperator(type: type)(x)[0].values(Float.self)[0].isNaN, "\(type)")
    }
    let quiet = try SingleOperator(type: "Equal")(x, x)[0].values(UInt8.self)
    #expect(quiet == [0, 1, 1, 1])
    let isInf = SingleOperator(type: "IsInf", attributes: ["detect_positive": .int(0)])
    #expect(try isInf(x)[0].values() == [0, 0, 0, 1] as [UInt8])
  }

  @Test("Clip: limits are attributes before opset 11; the upper limit wins")
  func clip() throws {
    let x = try Tensor([-5, 0, 5])
    let old = SingleOperator(type: "Clip", version: 6, attributes: ["min": .float(-1), "max": .float(2)])
    #expect(try old(x)[0].values() == [-1, 0, 2] as [Float])
    #expect(try SingleOperator(type: "Clip")(x, Tensor([3], []), Tensor([1], []))[0].values() == [1, 1, 1] as [Float])
    #expect(throws: Failure.self) { try SingleOperator(type: "Clip")(x, Tensor([3, 4])) }
    let bytes = try Tensor(type: .uint8, shape: [3], values: [UInt8(0), 100, 255])
    let limit = try Tensor(type: .uint8, shape: [], values: [UInt8(50)])
    #expect(try SingleOperator(type: "Clip")(bytes, limit)[0].values() == [50, 100, 255] as [UInt8])
  }

  @Test("Half types compute in float32 and round once, half to even")
  func halves() throws {
    let ones = try Tensor(type: .float16, shape: [3], values: [Float16(1), 2048, 65504])
    let more = try Tensor(type: .float16, shape: [3], values: [Float16(0x1p-11), 1, 65504])
    let sum = try SingleOperator(type: "Add")(ones, more)[0]
    #expect(sum.type == .float16)
    #expect(sum.values() == [1, 2048, .infinity] as [Float16])
  }

  @Test("Activations agree with Double arithmetic to 4 units in the last place of float32")
  func activations() throws {
    let xs = (0..<4001).map { Float($0 - 2000) / 100 }
    let x = try Tensor(xs)
    let references: [(String, [String: Attribute], (Double) -> Double)] = [
      ("Exp", [:], { exp($0) }), ("Tanh", [:], { tanh($0) }), ("Sigmoid", [:], { 1 / (1 + exp(-$0)) }),
      ("Erf", [:], { erf($0) }), ("Gelu", [:], { 0.5 * $0 * erfc(-$0 / 2.0.squareRoot()) }),
      ("Swish", [:], { $0 / (1 + exp(-$0)) }), ("Swish", ["alpha": .float(2)], { $0 / (1 + exp(-2 * $0)) }),
      ("Softplus", [:], { log1p(exp($0)) }), ("Mish", [:], { $0 * tanh(log1p(exp($0))) }),
      ("Elu", ["alpha": .float(2)], { $0 < 0 ? 2 * expm1($0) : $0 }),
      ("HardSwish", [:], { $0 * min(max($0 / 6 + 0.5, 0), 1) }), ("Softsign", [:], { $0 / (1 + abs($0)) }),
    ]
    for (type, attributes, reference) in references {
      let result = try SingleOperator(type: type, version: 24, attributes: attributes)(x)[0].values(Float.self)
      for (input, value) in zip(xs, result) {
        let expected = reference(Double(input))
        // 2e-6 relative allows for the rounding of the argument in the far tails (e^-x² at x = 5).
        guard abs(Double(value) - expected) <= 4e-6 * abs(expected) + 1e-12 else {
          Issue.record("\(type)(\(input)) = \(value), expected \(expected)")
          break
        }
      }
    }
  }

  @Test("Rounding: halves go to even, the sign of zero and large numbers stay")
  func rounding() throws {
    let values: [Float] = [0.5, 1.5, -0.5, -2.5, 2.3, -2.7, 8_388_609, -1e20, .infinity, 0.499_999_97]
    let x = try Tensor(values)
    #expect(try SingleOperator(type: "Round")(x)[0].values() == values.map { $0.rounded(.toNearestOrEven) })
    #expect(try SingleOperator(type: "Floor")(x)[0].values() == values.map { $0.rounded(.down) })
    #expect(try SingleOperator(type: "Ceil")(x)[0].values() == values.map { $0.rounded(.up) })
    #expect(try SingleOperator(type: "Round")(x)[0].values(Float.self)[2].sign == .minus)
  }

  @Test("Where moves bytes of any width and strings")
  func selection() throws {
    let condition = try Tensor(bools: [true, false], [2, 1])
    let x = try Tensor(doubles: [1, 2])
    let y = try Tensor(doubles: [9], [])
    #expect(try SingleOperator(type: "Where")(condition, x, y)[0].values() == [1, 2, 9, 9] as [Double])
    let narrow = try SingleOperator(type: "Where")(
      Tensor(bools: [true, false, true]), Tensor([1, 2, .nan]), Tensor([4, 5, 6]))
    #expect(narrow[0].values(UInt32.self) == [Float(1).bitPattern, Float(5).bitPattern, Float.nan.bitPattern])
    let words = Tensor(strings: ["a", "b"], shape: [2])
    let blank = Tensor(strings: ["-"], shape: [])
    #expect(try SingleOperator(type: "Where")(condition, words, blank)[0].strings == ["a", "b", "-", "-"])
  }

  @Test("CumSum: every combination of exclusive and reverse, along an inner axis")
  func cumulative() throws {
    let x = try Tensor([1, 2, 3, 4, 5, 6], [2, 3])
    let axis = try Tensor(type: .int64, shape: [], values: [Int64(-1)])
    func sums(_ exclusive: Int64, _ reverse: Int64) throws -> [Float] {
      try SingleOperator(type: "CumSum", attributes: ["exclusive": .int(exclusive), "reverse": .int(reverse)])(x, axis)[
        0
      ]
      .values()
    }
    #expect(try sums(0, 0) == [1, 3, 6, 4, 9, 15])
    #expect(try sums(1, 0) == [0, 1, 3, 0, 4, 9])
    #expect(try sums(0, 1) == [6, 5, 3, 15, 11, 6])
    #expect(try sums(1, 1) == [5, 3, 0, 11, 6, 0])
    let far = try Tensor(type: .int64, shape: [], values: [Int64(2)])
    #expect(throws: Failure.self) { try SingleOperator(type: "CumSum")(x, far) }
  }

  @Test("Results may overwrite either input")
  func inPlace() throws {
    let a = try Tensor([1, 2, 3, 4])
    let b = try Tensor([10, 20, 30, 40])
    let node = Node(
      name: "n", operatorType: "Sub", version: 14, inputs: [ValueID(0), ValueID(1)], outputs: [ValueID(2)])
    guard
      case .planned(let make)? = OperatorRegistry.standard.entry(domain: "", name: "Sub", version: 14)?.implementation
    else { return }
    let sub = try make(node)
    #expect(sub.inPlaceInputs == [0, 1])
    try sub.run(inputs: [a, b], outputs: [b], context: RunContext(pool: ThreadPool(threads: 1)))
    #expect(b.values() == [-9, -18, -27, -36] as [Float])
  }

  private func numbered(_ shape: [Int], step: Float) throws -> Tensor {
    try Tensor((0..<shape.reduce(1, *)).map { Float($0) * step }, shape)
  }

  /// The element of an input of shape `input` that result element `index` of shape `shape` uses.
  private func position(_ index: Int, _ shape: [Int], _ input: [Int]) -> Int {
    var rest = index
    var step = 1
    var offset = 0
    for axis in stride(from: shape.count - 1, through: 0, by: -1) {
      let coordinate = rest % shape[axis]
      rest /= shape[axis]
      let own = axis - (shape.count - input.count)
      guard own >= 0 else { continue }
      if input[own] != 1 { offset += coordinate * step }
      step *= input[own]
    }
    return offset
  }
}
