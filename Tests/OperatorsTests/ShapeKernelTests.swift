import Graph
import Support
import Testing

@testable import Operators

/// The kernels below the operators, against the plainest possible code.
@Suite struct ShapeKernelTests {
  struct Generator {
    var state: UInt64 = 1
    mutating func next(_ limit: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % limit
    }
  }

  @Test func stridedCopiesAreExactForAnyShapeAndThreadCount() {
    var random = Generator()
    for _ in 0..<300 {
      let rank = random.next(6)
      let shape = (0..<rank).map { _ in random.next(12) == 0 ? 0 : 1 + random.next(40 / max(1, rank)) }
      // Source strides of a permuted tensor, some of them zero or negative.
      var order = Array(0..<rank)
      for index in order.indices.dropLast() { order.swapAt(index, index + random.next(rank - index)) }
      var strides = [Int](repeating: 0, count: rank)
      var size = 1
      for axis in order {
        strides[axis] = size
        size *= max(1, shape[axis])
      }
      var offset = 0
      for axis in strides.indices {
        switch random.next(5) {
        case 0: strides[axis] = 0
        case 1:
          offset += strides[axis] * max(0, shape[axis] - 1)
          strides[axis].negate()
        default: break
        }
      }
      let source = (0..<size).map { UInt32($0) }
      let count = shape.reduce(1, *)
      var expected = [UInt32](repeating: .max, count: count)
      for index in 0..<count {
        var (rest, place) = (index, offset)
        for axis in stride(from: rank - 1, through: 0, by: -1) {
          place += rest % shape[axis] * strides[axis]
          rest /= shape[axis]
        }
        expected[index] = source[place]
      }
      for threads in [1, 3] {
        let copy = StridedCopy(
          shape: shape, sourceStrides: strides, sourceOffset: offset,
          destinationStrides: ShapeRules.strides(of: shape), pool: ThreadPool(threads: threads))
        var result = [UInt32](repeating: .max, count: count)
        source.withUnsafeBufferPointer { source in
          result.withUnsafeMutableBufferPointer { result in
            if let from = source.baseAddress, let to = result.baseAddress { copy.run(from: from, to: to) }
          }
        }
        #expect(result == expected, "\(shape) \(strides)")
      }
    }
  }

  @Test(arguments: [1, 2, 3, 4, 5, 7, 8, 12, 15, 16, 31, 64, 100]) func fourierTransformsMatchTheDefinition(length: Int)
  {
    var random = Generator()
    let input = (0..<length).map { _ in
      FourierTransform.Complex(
        real: Double(random.next(1000)) / 500 - 1, imaginary: Double(random.next(1000)) / 500 - 1)
    }
    for inverse in [false, true] {
      var result = input
      FourierTransform(length: length, inverse: inverse).run(&result)
      for frequency in 0..<length {
        var sum = FourierTransform.Complex.zero
        for (time, value) in input.enumerated() {
          let angle = (inverse ? 2 : -2) * Double.pi * Double(frequency * time % length) / Double(length)
          sum = sum + value * .unit(angle)
        }
        // Double precision, some hundred operations per output.
        #expect(abs(sum.real - result[frequency].real) < 1e-11)
        #expect(abs(sum.imaginary - result[frequency].imaginary) < 1e-11)
      }
    }
  }

  /// `numpy.random.seed(0); numpy.random.uniform(size=3)`
  @Test func randomNumbersAreNumPys() {
    var random = NumPyRandomState(seed: 0)
    #expect(random.uniform() == 0.5488135039273248)
    #expect(random.uniform() == 0.7151893663724195)
    #expect(random.uniform() == 0.6027633760716439)
  }

  @Test func brainFloatsRoundToNearestEven() {
    // Halfway between two neighbours: the even one; NaN stays NaN; overflow becomes infinity.
    #expect(StoredElement.BrainFloat16(1.00390625).bits == 0x3F80)
    #expect(StoredElement.BrainFloat16(1.01171875).bits == 0x3F82)
    #expect(StoredElement.BrainFloat16(.nan).isNotANumber)
    #expect(StoredElement.BrainFloat16(.greatestFiniteMagnitude).float == .infinity)
  }

  @Test func threadCountsDoNotChangeResults() throws {
    let image = try counting([2, 3, 33, 65])
    let cases = [
      ShapeTestCase(
        name: "Resize", attributes: ["mode": .string("cubic")], inputs: [image, nil, nil, try int64s([2, 3, 50, 47])]),
      ShapeTestCase(name: "Transpose", attributes: ["perm": .ints([3, 1, 0, 2])], inputs: [image]),
      ShapeTestCase(name: "TopK", inputs: [image, try int64s([40])]),
      ShapeTestCase(name: "DFT", inputs: [image.reshaped([6, 33 * 65, 1])]),
    ]
    for var item in cases {
      let single = try item.first().rawBytes
      item.threads = 4
      #expect(try item.first().rawBytes == single, "\(item.name)")
    }
  }
}

@Suite struct RegularExpressionTests {
  @Test func wholeMatches() throws {
    // Pattern, texts that match as a whole, texts that do not.
    let cases: [(String, [String], [String])] = [
      ("", [""], ["a"]),
      ("a*", ["", "aaa"], ["b", "aab"]),
      ("(a|bc)+d?", ["a", "bcad", "abc"], ["", "d", "b"]),
      ("[^a-c]x{2,3}", ["dxx", "éxxx"], ["axx", "dx", "dxxxx"]),
      ("\\d+\\.\\w{0,3}", ["12.", "1.ab_"], [".a", "1.abcd", "1a"]),
      ("\\bword\\b.?", ["word", "word!"], ["words"]),
      ("^a$", ["a"], ["a\n"]),
      (".", ["é", "猫"], ["", "\n", "ab"]),
      ("[]x-]+", ["]-x"], ["a"]),
      ("(a*)*b", ["b", "aab"], ["a"]),
    ]
    for (pattern, matching, failing) in cases {
      let expression = try RegularExpression(pattern)
      for text in matching { #expect(expression.matchesWhole(text), "\(pattern) on \(text)") }
      for text in failing { #expect(!expression.matchesWhole(text), "\(pattern) on \(text)") }
    }
  }

  /// A backtracking matcher would need 2^40 steps here.
  @Test func nestedRepetitionsTakeLinearTime() throws {
    #expect(try !RegularExpression("(a|a)*(a*)*b").matchesWhole(String(repeating: "a", count: 2_000)))
  }

  @Test(arguments: [
    "(", ")", "a)", "[", "[b-a]", "a{", "a{3,2}", "a{9999}", "*", "a**", "\\", "\\1", "\\pL", "(?i)a", "(?=a)",
    "[[:alpha:]]",
    "((a{1000}){1000}){1000}", String(repeating: "(", count: 100_000),
  ])
  func unknownSyntaxIsRefused(pattern: String) {
    #expect(throws: Failure.self) { try RegularExpression(pattern) }
  }
}
