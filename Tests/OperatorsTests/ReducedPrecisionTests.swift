import Glibc
import Graph
import Kernels
import Support
import Testing

@testable import Operators

/// Products with weights in bfloat16 and int8 against float64.
///
/// What rounding may cost follows from the terms, not from the result: sums that cancel are no worse than others. A
/// bfloat16 factor is off by at most 2^-9 of itself; an integer by half a step, 1/254 of the largest of its row or column.
@Suite struct ReducedPrecisionTests {
  enum Format: String, CaseIterable { case bfloat16, int8 }

  /// A (rows × depth) · B (depth × columns) in float64, and for every element the bound of its error.
  static func reference(
    _ a: [Float], _ b: [Float], rows: Int, depth: Int, columns: Int, _ format: Format
  ) -> (values: [Double], bounds: [Double]) {
    var values: [Double] = []
    var bounds: [Double] = []
    let rowTops = (0..<rows).map { r in (0..<depth).reduce(0.0) { max($0, abs(Double(a[r * depth + $1]))) } }
    let columnTops = (0..<columns).map { c in (0..<depth).reduce(0.0) { max($0, abs(Double(b[$1 * columns + c]))) } }
    for r in 0..<rows {
      for c in 0..<columns {
        var sum = 0.0
        var bound = 0.0
        for k in 0..<depth {
          let (x, w) = (Double(a[r * depth + k]), Double(b[k * columns + c]))
          sum += x * w
          switch format {
          case .bfloat16: bound += abs(x * w) * (2 * 0x1p-9 + 0x1p-18 + Double(depth) * 0x1p-24)
          case .int8:
            let (dx, dw) = (rowTops[r] / 254, columnTops[c] / 254)
            bound += abs(x) * dw + abs(w) * dx + dx * dw
          }
        }
        values.append(sum)
        bounds.append(bound * 1.001 + 1e-6)
      }
    }
    return (values, bounds)
  }

  static func worst(_ actual: Tensor, _ expected: [Double], _ bounds: [Double]) -> Double {
    guard actual.count == expected.count else { return .infinity }
    var result = 0.0
    for (index, value) in actual.values(Float.self).enumerated() {
      let share = abs(Double(value) - expected[index]) / bounds[index]
      result = share.isNaN ? .infinity : max(result, share)
    }
    return result
  }

  static func attributes(_ format: Format, _ more: [String: Attribute] = [:]) -> [String: Attribute] {
    more.merging([ReducedPrecisionPass.attribute: .string(format.rawValue)]) { first, _ in first }
  }

  static let sizes = [
    (1, 1, 1), (3, 7, 5), (7, 64, 17), (15, 65, 33), (17, 129, 31), (31, 320, 63), (33, 1023, 65), (65, 1030, 32),
    (500, 33, 48),
  ]

  @Test(arguments: Format.allCases) func linearLayers(_ format: Format) throws {
    for (rows, depth, columns) in Self.sizes {
      let a = sequence(rows * depth, seed: 1, range: 3)
      let b = sequence(depth * columns, seed: 2)
      let bias = sequence(columns, seed: 3)
      let residual = sequence(rows * columns, seed: 4)
      let plain = Self.reference(a, b, rows: rows, depth: depth, columns: columns, format)
      var expected = plain.values
      for i in expected.indices { expected[i] = max(0, expected[i] + Double(bias[i % columns]) + Double(residual[i])) }
      let inputs = [
        try Tensor(a, [rows, depth]), try Tensor(b, [depth, columns]), try Tensor(bias),
        try Tensor(residual, [rows, columns]),
      ]
      let runner = DenseRunner(
        type: "MatMulBias", attributes: Self.attributes(format, ["activation": .string("Relu")]), constants: [1])
      let y = try runner.run(inputs)[0]
      #expect(Self.worst(y, expected, plain.bounds) <= 1, "\(rows) × \(depth) × \(columns)")
      var alone = runner
      alone.threads = 1
      #expect(try alone.run(inputs)[0].values(Float.self) == y.values(Float.self))
      // Without bias and residual, as ONNX has it.
      let product = try DenseRunner(
        type: "MatMul", domain: "", version: 13, attributes: Self.attributes(format), constants: [1]
      ).run([inputs[0], inputs[1]])[0]
      #expect(Self.worst(product, plain.values, plain.bounds) <= 1, "\(rows) × \(depth) × \(columns)")
    }
  }

  @Test(arguments: Format.allCases) func transposedGemm(_ format: Format) throws {
    for (rows, depth, columns) in Self.sizes {
      let a = sequence(rows * depth, seed: 1)
      let b = sequence(depth * columns, seed: 2)
      var transposed = b
      for k in 0..<depth { for c in 0..<columns { transposed[c * depth + k] = b[k * columns + c] } }
      let (expected, bounds) = Self.reference(a, b, rows: rows, depth: depth, columns: columns, format)
      let y = try DenseRunner(
        type: "Gemm", domain: "", version: 13, attributes: Self.attributes(format, ["transB": .int(1)]), constants: [1]
      ).run([try Tensor(a, [rows, depth]), try Tensor(transposed, [columns, depth])])[0]
      #expect(Self.worst(y, expected, bounds) <= 1, "\(rows) × \(depth) × \(columns)")
    }
  }

  @Test(arguments: Format.allCases) func gatedLayers(_ format: Format) throws {
    for (rows, depth, n) in [(1, 3, 2), (17, 65, 33), (100, 320, 64), (3, 140_000, 1)] {
      let a = sequence(rows * depth, seed: 1)
      let b = sequence(depth * 2 * n, seed: 2, range: 0.2)
      let bias = sequence(2 * n, seed: 3)
      let (h, bounds) = Self.reference(a, b, rows: rows, depth: depth, columns: 2 * n, format)
      var expected: [Double] = []
      var limits: [Double] = []
      for r in 0..<rows {
        for c in 0..<n {
          let x = h[r * 2 * n + c] + Double(bias[c])
          let gate = h[r * 2 * n + n + c] + Double(bias[n + c])
          let phi = 0.5 * erfc(-gate / 2.0.squareRoot())
          expected.append(x * gate * phi)
          // The slope of gelu is at most 1.13.
          let (dx, dg) = (bounds[r * 2 * n + c], bounds[r * 2 * n + n + c])
          limits.append(dx * abs(gate * phi) + 1.13 * dg * (abs(x) + dx) + 1e-5 * (1 + abs(x * gate)))
        }
      }
      let y = try DenseRunner(type: "MatMulGeglu", attributes: Self.attributes(format), constants: [1]).run([
        try Tensor(a, [rows, depth]), try Tensor(b, [depth, 2 * n]), try Tensor(bias),
      ])[0]
      #expect(Self.worst(y, expected, limits) <= 1, "\(rows) × \(depth) × \(n)")
    }
  }

  /// Windows, strides, padding, groups, odd channels; the bound takes a window's pixels as a row.
  @Test(arguments: Format.allCases) func convolutions(_ format: Format) throws {
    typealias Case = DenseConvolutionTests.Case
    let cases = [
      Case(
        description: "1×1", batch: 2, channels: 33, spatial: [5, 7], filters: 17, kernel: [1, 1], strides: [1, 1],
        pads: [0, 0, 0, 0], dilations: [1, 1]),
      Case(
        description: "3×3", batch: 2, channels: 16, spatial: [9, 7], filters: 33, kernel: [3, 3], strides: [1, 1],
        pads: [1, 1, 1, 1], dilations: [1, 1]),
      Case(
        description: "odd channels", batch: 1, channels: 7, spatial: [6, 5], filters: 5, kernel: [3, 3],
        strides: [1, 1], pads: [1, 1, 1, 1], dilations: [1, 1]),
      Case(
        description: "stride 2, uneven padding", batch: 1, channels: 64, spatial: [8, 8], filters: 65, kernel: [3, 3],
        strides: [2, 2], pads: [0, 0, 1, 1], dilations: [1, 1]),
      Case(
        description: "dilated", batch: 1, channels: 130, spatial: [9, 9], filters: 32, kernel: [3, 3], strides: [1, 1],
        pads: [2, 2, 2, 2], dilations: [2, 2]),
      Case(
        description: "large enough for Winograd", batch: 1, channels: 64, spatial: [24, 24], filters: 64,
        kernel: [3, 3], strides: [1, 1], pads: [1, 1, 1, 1], dilations: [1, 1]),
      Case(
        description: "Winograd with few tiles and a panel left over", batch: 2, channels: 64, spatial: [8, 8],
        filters: 96,
        kernel: [3, 3], strides: [1, 1], pads: [1, 1, 1, 1], dilations: [1, 1]),
    ]
    for c in cases {
      let x = sequence(c.batch * c.channels * c.spatial.reduce(1, *), seed: 1)
      let depth = c.channels * c.kernel.reduce(1, *)
      let w = sequence(c.filters * depth, seed: 2)
      let bias = sequence(c.filters, seed: 3)
      let (plain, out) = DenseConvolutionTests.reference(c, x, w, bias)
      let expected = DenseConvolutionTests.channelsLast(plain, c.batch, c.filters)
      let (magnitudes, _) = DenseConvolutionTests.reference(c, x.map(abs), w.map(abs), bias.map { _ in 0 })
      let sums = DenseConvolutionTests.channelsLast(magnitudes, c.batch, c.filters)
      // Values are at most 1; int8 steps are 1/127 and the sums of magnitudes of a row and column at most their count.
      let bounds = sums.map { sum in
        switch format {
        case .bfloat16: sum * (0x1p-8 + 1e-4) * (c.description.contains("Winograd") ? 5 : 1) + 1e-5
        case .int8: 2 * Double(depth) / 254 + 1e-3 * sum
        }
      }
      let attributes: [String: Attribute] = [
        "pads": .ints(c.pads.map { Int64($0) }), "strides": .ints(c.strides.map { Int64($0) }),
        "dilations": .ints(c.dilations.map { Int64($0) }),
      ]
      let inputs = [
        try Tensor(DenseConvolutionTests.channelsLast(x, c.batch, c.channels), [c.batch] + c.spatial + [c.channels]),
        try Tensor(w, [c.filters, c.channels] + c.kernel), try Tensor(bias),
      ]
      let runner = DenseRunner(type: "ConvNHWC", attributes: Self.attributes(format, attributes), constants: [1])
      let y = try runner.run(inputs)[0]
      #expect(y.shape == [c.batch] + out + [c.filters])
      #expect(Self.worst(y, expected, bounds) <= 1, "\(c.description)")
      // A bound for every element leaves room that a whole result must not use: errors are random.
      // Winograd's transforms multiply those of bfloat16 by five.
      let limit = c.description.contains("Winograd") || format == .int8 ? 2.5e-2 : 5e-3
      let error = zip(y.values(Float.self), expected).reduce(0.0) { $0 + (Double($1.0) - $1.1) * (Double($1.0) - $1.1) }
      let norm = expected.reduce(0.0) { $0 + $1 * $1 }
      #expect((error / norm).squareRoot() <= limit, "\(c.description)")
      var alone = runner
      alone.threads = 1
      #expect(try alone.run(inputs)[0].values(Float.self) == y.values(Float.self))
    }
  }

  /// Rows with NaN or infinity give nothing finite; other rows do not notice.
  @Test(arguments: Format.allCases) func whatIsNotFiniteStaysInItsRow(_ format: Format) throws {
    let (rows, depth, columns) = (5, 70, 9)
    for bad in [Float.nan, .infinity] {
      var a = sequence(rows * depth, seed: 1)
      let b = sequence(depth * columns, seed: 2)
      let runner = DenseRunner(type: "MatMulBias", attributes: Self.attributes(format), constants: [1])
      let matrix = try Tensor(b, [depth, columns])
      let clean = try runner.run([try Tensor(a, [rows, depth]), matrix])[0].values(Float.self)
      a[2 * depth + 3] = bad
      let dirty = try runner.run([try Tensor(a, [rows, depth]), matrix])[0].values(Float.self)
      for i in clean.indices {
        if i / columns == 2 { #expect(!dirty[i].isFinite) } else { #expect(dirty[i] == clean[i]) }
      }
    }
  }

  @Test(arguments: Format.allCases) func zerosAndEmptyRows(_ format: Format) throws {
    let runner = DenseRunner(type: "MatMulBias", attributes: Self.attributes(format), constants: [1])
    let matrix = try Tensor([Float](repeating: 0, count: 70 * 9), [70, 9])
    let y = try runner.run([try Tensor([Float](repeating: 0, count: 140), [2, 70]), matrix])[0]
    #expect(y.values(Float.self).allSatisfy { $0 == 0 })
    #expect(try runner.run([try Tensor(type: .float32, shape: [0, 70]), matrix])[0].count == 0)
  }

  /// Against the same operator in float32. A score is off by at most δ = 2^-8 · Σ|q·k| · scale, its exponential by the
  /// factor e^δ, and normalised probabilities by e^2δ; each probability and value is rounded once more.
  @Test func attention() throws {
    let sizes = [(1, 1, 1, 8), (7, 33, 2, 40), (100, 300, 2, 65), (17, 77, 1, 160), (5, 9, 1, 601)]
    for (queries, keys, heads, size) in sizes {
      let width = heads * size
      let q = sequence(queries * width, seed: 1)
      let k = sequence(keys * width, seed: 2)
      let v = sequence(keys * width, seed: 3)
      let mask = sequence(queries * keys, seed: 4).map { $0 > 0.8 ? -Float.infinity : $0 }
      let inputs = [
        try Tensor(q, [1, queries, width]), try Tensor(k, [1, keys, width]), try Tensor(v, [1, keys, width]),
        try Tensor(mask, [1, 1, queries, keys]),
      ]
      for masked in [false, true] where !masked || keys > 8 {
        let given = masked ? inputs : Array(inputs.prefix(3))
        let plain = DenseRunner(type: "Attention", attributes: ["num_heads": .int(Int64(heads))])
        var reduced = plain
        reduced.attributes = Self.attributes(.bfloat16, plain.attributes)
        let expected = try plain.run(given)[0].values(Float.self)
        let y = try reduced.run(given)[0].values(Float.self)
        // Where the machine multiplies nothing faster, or takes integers and keys are few, it computes in float32.
        let kernels = Kernels.current
        #expect(
          (y != expected) == (kernels.narrow.multipliesPairs || (kernels.multipliesInt16 && keys >= 256)) || keys == 1)
        for query in 0..<queries {
          for head in 0..<heads {
            let first = head * size
            let delta = (0..<keys).reduce(0.0) { top, key in
              let sum = (0..<size).reduce(0.0) {
                $0 + abs(Double(q[query * width + first + $1]) * Double(k[key * width + first + $1]))
              }
              return max(top, sum / Double(size).squareRoot() * (0x1p-8 + 1e-4))
            }
            let bound = (exp(2 * delta) - 1) + 2 * 0x1p-8
            for i in (query * width + first)..<(query * width + first + size) {
              #expect(abs(Double(y[i] - expected[i])) <= bound)
            }
          }
        }
        var alone = reduced
        alone.threads = 1
        #expect(try alone.run(given)[0].values(Float.self) == y)
      }
    }
  }

  /// int8 scores from 256 keys on, against float32. An integer of a query stands for at most the query's magnitude / 127, one
  /// of a key for that of the key less the mean key; a score is off by half of each times the other factor.
  @Test(arguments: [Float(0), 40]) func attentionWithIntegerScores(common: Float) throws {
    for (queries, keys, heads, size) in [(7, 256, 2, 40), (100, 300, 1, 64), (17, 513, 2, 33), (2, 260, 1, 1100)] {
      let width = heads * size
      let q = sequence(queries * width, seed: 1)
      // What all keys share costs no accuracy.
      let k = sequence(keys * width, seed: 2).enumerated().map { $1 + common * Float($0 % width % 3) }
      let v = sequence(keys * width, seed: 3)
      let mask = sequence(queries * keys, seed: 4).map { $0 > 0.8 ? -Float.infinity : $0 }
      let inputs = [
        try Tensor(q, [1, queries, width]), try Tensor(k, [1, keys, width]), try Tensor(v, [1, keys, width]),
        try Tensor(mask, [1, 1, queries, keys]),
      ]
      for given in [inputs, Array(inputs.prefix(3))] {
        let plain = DenseRunner(type: "Attention", attributes: ["num_heads": .int(Int64(heads))])
        var reduced = plain
        reduced.attributes = Self.attributes(.int8, plain.attributes)
        let expected = try plain.run(given)[0].values(Float.self)
        let y = try reduced.run(given)[0].values(Float.self)
        // Magnitudes: 1 of a query, at most 2 of a key less the mean. float32's own error grows with what keys share.
        let delta = Double(size).squareRoot() * (3 / 254 + 1e-4) + Double(common) * Double(size) * 1e-6
        let bound = (exp(2 * delta) - 1) + 2 * 0x1p-8
        #expect(zip(y, expected).allSatisfy { abs(Double($0 - $1)) <= bound })
        // The bound is of the worst case; errors of that size do not come together.
        let error = zip(y, expected).reduce(0.0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }
        let norm = expected.reduce(0.0) { $0 + Double($1 * $1) }
        #expect((error / norm).squareRoot() < 0.02)
        // Nor in bfloat16.
        var pairs = plain
        pairs.attributes = Self.attributes(.bfloat16, plain.attributes)
        let rounded = try pairs.run(given)[0].values(Float.self)
        let loss = zip(rounded, expected).reduce(0.0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }
        #expect((loss / norm).squareRoot() < 0.02)
        var alone = reduced
        alone.threads = 1
        #expect(try alone.run(given)[0].values(Float.self) == y)
      }
    }
  }

  /// Few keys are not worth quantising queries: the same bits as bfloat16.
  @Test func attentionOfFewKeysInBytes() throws {
    let q = try Tensor(sequence(100 * 64, seed: 1), [1, 100, 64])
    let k = try Tensor(sequence(255 * 64, seed: 2), [1, 255, 64])
    let v = try Tensor(sequence(255 * 64, seed: 3), [1, 255, 64])
    var results: [[Float]] = []
    for format in Format.allCases {
      let attributes = Self.attributes(format, ["num_heads": .int(1)])
      results.append(try DenseRunner(type: "Attention", attributes: attributes).run([q, k, v])[0].values(Float.self))
    }
    #expect(results[0] == results[1])
  }

  @Test func unknownPrecisionIsRefused() {
    #expect(throws: Failure.self) {
      try DenseRunner(
        type: "MatMulBias", attributes: [ReducedPrecisionPass.attribute: .string("int4")], constants: [1]
      ).run([try Tensor([Float(1)], [1, 1]), try Tensor([Float(1)], [1, 1])])
    }
  }
}
