import Graph
import Support
import Testing

@testable import Operators

@Suite struct DenseConvolutionTests {
  struct Case: Sendable, CustomStringConvertible {
    var description: String
    var batch = 1
    var channels: Int
    var spatial: [Int]
    var filters: Int
    var kernel: [Int]
    var group = 1
    var strides: [Int]
    var pads: [Int]
    var dilations: [Int]
  }

  static let cases: [Case] = [
    .init(
      description: "pointwise", batch: 2, channels: 5, spatial: [4, 3], filters: 7, kernel: [1, 1], strides: [1, 1],
      pads: [0, 0, 0, 0], dilations: [1, 1]),
    .init(
      description: "3×3", channels: 33, spatial: [9, 17], filters: 35, kernel: [3, 3], strides: [1, 1],
      pads: [1, 1, 1, 1], dilations: [1, 1]),
    .init(
      description: "deep: more than one block of K", channels: 70, spatial: [15, 14], filters: 40, kernel: [3, 3],
      strides: [2, 2], pads: [0, 0, 1, 1], dilations: [1, 1]),
    .init(
      description: "dilated, uneven", batch: 2, channels: 3, spatial: [11, 8], filters: 4, kernel: [3, 2],
      strides: [1, 2], pads: [2, 0, 1, 1], dilations: [2, 3]),
    .init(
      description: "groups", batch: 2, channels: 12, spatial: [6, 5], filters: 18, kernel: [3, 3], group: 3,
      strides: [1, 1], pads: [1, 1, 1, 1], dilations: [1, 1]),
    .init(
      description: "depthwise", batch: 2, channels: 19, spatial: [6, 5], filters: 19, kernel: [3, 3], group: 19,
      strides: [1, 2], pads: [1, 1, 1, 1], dilations: [1, 1]),
    .init(
      description: "one dimension", batch: 2, channels: 4, spatial: [13], filters: 5, kernel: [4], strides: [3],
      pads: [2, 1], dilations: [1]),
    .init(
      description: "three dimensions", channels: 3, spatial: [4, 5, 3], filters: 6, kernel: [2, 3, 3],
      strides: [1, 2, 1], pads: [1, 1, 0, 0, 1, 2], dilations: [1, 1, 1]),
  ]

  /// By the definition, channels first, in Double.
  static func reference(_ c: Case, _ x: [Float], _ w: [Float], _ bias: [Float]) -> (values: [Double], spatial: [Int]) {
    let rank = c.spatial.count
    var out: [Int] = []
    for axis in 0..<rank {
      let padded: Int = c.spatial[axis] + c.pads[axis] + c.pads[axis + rank]
      let extent: Int = (c.kernel[axis] - 1) * c.dilations[axis] + 1
      out.append((padded - extent) / c.strides[axis] + 1)
    }
    func walk(_ sizes: [Int]) -> [[Int]] {
      sizes.reduce([[]]) { list, size in list.flatMap { head in (0..<size).map { head + [$0] } } }
    }
    let (inCount, outCount, taps) = (c.spatial.reduce(1, *), out.reduce(1, *), c.kernel.reduce(1, *))
    let (groupIn, groupOut) = (c.channels / c.group, c.filters / c.group)
    var y = [Double](repeating: 0, count: c.batch * c.filters * outCount)
    let places = walk(out)
    let offsets = walk(c.kernel)
    for n in 0..<c.batch {
      for o in 0..<c.filters {
        for (p, place) in places.enumerated() {
          var sum = Double(bias[o])
          for (t, offset) in offsets.enumerated() {
            var index = 0
            var inside = true
            for axis in 0..<rank {
              let at = place[axis] * c.strides[axis] - c.pads[axis] + offset[axis] * c.dilations[axis]
              inside = inside && at >= 0 && at < c.spatial[axis]
              index = index * c.spatial[axis] + at
            }
            guard inside else { continue }
            for i in 0..<groupIn {
              let channel = o / groupOut * groupIn + i
              sum += Double(x[(n * c.channels + channel) * inCount + index]) * Double(w[(o * groupIn + i) * taps + t])
            }
          }
          y[(n * c.filters + o) * outCount + p] = sum
        }
      }
    }
    return (y, out)
  }

  static func channelsLast<T>(_ x: [T], _ batch: Int, _ channels: Int) -> [T] {
    let pixels = x.count / batch / channels
    return (0..<x.count).map { index in
      let (rest, channel) = index.quotientAndRemainder(dividingBy: channels)
      let (image, pixel) = rest.quotientAndRemainder(dividingBy: pixels)
      return x[(image * channels + channel) * pixels + pixel]
    }
  }

  func attributes(_ c: Case) -> [String: Attribute] {
    [
      "strides": .ints(c.strides.map { Int64($0) }), "pads": .ints(c.pads.map { Int64($0) }),
      "dilations": .ints(c.dilations.map { Int64($0) }), "group": .int(Int64(c.group)),
      "kernel_shape": .ints(c.kernel.map { Int64($0) }),
    ]
  }

  @Test(arguments: cases) func convolution(_ c: Case) throws {
    let x = sequence(c.batch * c.channels * c.spatial.reduce(1, *), seed: 1)
    let w = sequence(c.filters * c.channels / c.group * c.kernel.reduce(1, *), seed: 2)
    let bias = sequence(c.filters, seed: 3)
    let (expected, out) = Self.reference(c, x, w, bias)
    let weights = try Tensor(w, [c.filters, c.channels / c.group] + c.kernel)
    let image = try Tensor(x, [c.batch, c.channels] + c.spatial)
    var results: [[Float]] = []
    for constants in [nil, Set([1])] {
      for threads in [1, 3] {
        let y = try DenseRunner(
          type: "Conv", domain: "", version: 11, attributes: attributes(c), constants: constants, threads: threads
        ).run([image, weights, try Tensor(bias)])[0]
        #expect(y.shape == [c.batch, c.filters] + out)
        // Direct sums stay below 2e-6; Winograd's transforms grow rounding errors fivefold.
        #expect(difference(y, expected) < 1e-5)
        results.append(y.values())
      }
    }
    #expect(results.allSatisfy { $0 == results[0] })

    // Channels last, with a residual and SiLU.
    let residual = sequence(expected.count, seed: 4)
    let summed = zip(Self.channelsLast(expected, c.batch, c.filters), residual).map { $0 + Double($1) }
    for constants in [nil, Set([1])] {
      let y = try DenseRunner(
        type: "ConvNHWC", attributes: attributes(c).merging(["activation": .string("Relu")]) { $1 },
        constants: constants
      ).run([
        try Tensor(Self.channelsLast(x, c.batch, c.channels), [c.batch] + c.spatial + [c.channels]), weights,
        try Tensor(bias), try Tensor(residual, [c.batch] + out + [c.filters]),
      ])[0]
      #expect(y.shape == [c.batch] + out + [c.filters])
      #expect(difference(y, summed.map { max(0, $0) }) < 1e-5)
    }

    let y = try DenseRunner(type: "Conv", domain: "", version: 11, attributes: attributes(c)).run([
      try Tensor(doubles: x.map { Double($0) }, image.shape), try Tensor(doubles: w.map { Double($0) }, weights.shape),
      try Tensor(doubles: bias.map { Double($0) }),
    ])[0]
    for (actual, wanted) in zip(y.values(Double.self), expected) { #expect(abs(actual - wanted) < 1e-11) }
  }

  @Test func wrongShapesAreRefused() throws {
    let x = try Tensor(sequence(3 * 16), [1, 3, 4, 4])
    let cases: [(Tensor, [String: Attribute])] = [
      (try Tensor(sequence(8), [2, 4, 1, 1]), [:]),
      (try Tensor(sequence(6), [2, 3, 1]), [:]),
      (try Tensor(sequence(6), [2, 3, 1, 1]), ["kernel_shape": .ints([2, 2])]),
      (try Tensor(sequence(6), [2, 3, 1, 1]), ["strides": .ints([0, 1])]),
      (try Tensor(sequence(6), [2, 3, 1, 1]), ["pads": .ints([1, 1])]),
      (try Tensor(sequence(6), [2, 3, 1, 1]), ["group": .int(0)]),
      (try Tensor(sequence(6), [2, 3, 1, 1]), ["auto_pad": .string("SOMEHOW")]),
      (try Tensor(sequence(2 * 3 * 36), [2, 3, 6, 6]), [:]),
    ]
    for (weights, attributes) in cases {
      #expect(throws: Failure.self) {
        try DenseRunner(type: "Conv", domain: "", version: 11, attributes: attributes).run([x, weights])
      }
    }
  }
}
