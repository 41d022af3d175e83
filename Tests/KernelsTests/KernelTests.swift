import Glibc
import Testing

@testable import KernelTable
@testable import Kernels

/// Sizes around every vector width and unrolling.
let oddSizes = [0, 1, 3, 4, 7, 8, 15, 16, 17, 31, 33, 63, 65, 127, 4097, 9001]

/// Deterministic numbers in −range ... range.
func numbers(_ count: Int, seed: UInt64 = 1, range: Float = 4) -> [Float] {
  var state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1
  return (0..<count).map { _ in
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return (Float(state >> 40) / Float(1 << 24) * 2 - 1) * range
  }
}

/// Largest error relative to max(1, |expected|), NaN and infinity having to match exactly.
func worst(_ actual: [Float], _ expected: [Double]) -> Double {
  guard actual.count == expected.count else { return .infinity }
  var result = 0.0
  for (a, e) in zip(actual, expected) {
    if e.isNaN || a.isNaN {
      if !(e.isNaN && a.isNaN) { return .infinity }
    } else if Float(e).isInfinite || a.isInfinite {
      if Float(e) != a { return .infinity }
    } else {
      result = max(result, abs(Double(a) - e) / max(1, abs(e)))
    }
  }
  return result
}

struct UnaryCase: Sendable {
  var name: String
  var kernel: @Sendable (KernelTable) -> UnaryKernel
  var reference: @Sendable (Double) -> Double
  var tolerance: Double
}

private func sigmoid(_ x: Double) -> Double { 1 / (1 + Glibc.exp(-x)) }
private func phi(_ x: Double) -> Double { 0.5 * Glibc.erfc(-x / 2.0.squareRoot()) }

/// Tolerances: a few units in the last place of float32 (6e-8) for exact operations and the fitted functions.
let unaryCases: [UnaryCase] = [
  .init(name: "negate", kernel: { $0.negate }, reference: { -$0 }, tolerance: 0),
  .init(name: "absolute", kernel: { $0.absolute }, reference: { abs($0) }, tolerance: 0),
  .init(name: "squareRoot", kernel: { $0.squareRoot }, reference: { $0.squareRoot() }, tolerance: 1e-7),
  .init(name: "reciprocal", kernel: { $0.reciprocal }, reference: { 1 / $0 }, tolerance: 1e-7),
  .init(name: "relu", kernel: { $0.relu }, reference: { $0 < 0 ? 0 : $0 }, tolerance: 0),
  .init(name: "exp", kernel: { $0.exp }, reference: { Glibc.exp($0) }, tolerance: 3e-7),
  .init(name: "sigmoid", kernel: { $0.sigmoid }, reference: sigmoid, tolerance: 3e-7),
  .init(name: "tanh", kernel: { $0.tanh }, reference: { Glibc.tanh($0) }, tolerance: 3e-7),
  .init(name: "erf", kernel: { $0.erf }, reference: { Glibc.erf($0) }, tolerance: 3e-7),
  .init(name: "silu", kernel: { $0.silu }, reference: { $0 * sigmoid($0) }, tolerance: 4e-7),
  .init(name: "gelu", kernel: { $0.gelu }, reference: { $0 * phi($0) }, tolerance: 4e-7),
  .init(
    name: "geluTanh", kernel: { $0.geluTanh },
    reference: { 0.5 * $0 * (1 + Glibc.tanh((2 / Double.pi).squareRoot() * ($0 + 0.044715 * $0 * $0 * $0))) },
    tolerance: 6e-7),
  .init(
    name: "quickGelu", kernel: { $0.quickGelu }, reference: { $0 * sigmoid(1.702 * $0) }, tolerance: 5e-7),
]

@Suite struct ElementwiseKernelTests {
  @Test func unaryKernels() {
    for table in Kernels.supported {
      for item in unaryCases {
        for size in oddSizes {
          let x = numbers(size, seed: UInt64(size), range: size == 9001 ? 12 : 4)
          var out = [Float](repeating: 7, count: size + 1)
          item.kernel(table)(x, &out, size)
          #expect(out[size] == 7, "\(table.name) \(item.name) writes beyond \(size)")
          let error = worst(Array(out.prefix(size)), x.map { item.reference(Double($0)) })
          #expect(error <= item.tolerance, "\(table.name) \(item.name) at \(size): \(error)")
        }
      }
    }
  }

  @Test func extremes() {
    let x: [Float] = [
      .nan, .infinity, -.infinity, 0, 88.8, 89.5, -87.5, -95, -103, -110, 1e30, -1e30, 1e-40, -1e-40, 20,
    ]
    for table in Kernels.supported {
      for name in ["exp", "sigmoid", "tanh", "erf"] {
        guard let item = unaryCases.first(where: { $0.name == name }) else { continue }
        var out = [Float](repeating: 0, count: x.count)
        item.kernel(table)(x, &out, x.count)
        let error = worst(out, x.map { item.reference(Double($0)) })
        #expect(error <= 4e-7, "\(table.name) \(name): \(out)")
      }
      // Relative accuracy down to the subnormal numbers.
      var out: [Float] = [-95, -100, -103]
      table.exp(out, &out, 3)
      for (a, v) in zip(out, [-95.0, -100, -103]) { #expect(abs(Double(a) - Glibc.exp(v)) < 2e-45) }
      var gelu: [Float] = [-.infinity, .infinity, .nan, -13, -5]
      table.gelu(gelu, &gelu, 5)
      #expect(gelu[0] == 0 && gelu[1] == .infinity && gelu[2].isNaN)
      #expect(abs(Double(gelu[4]) / (-5 * 2.866515718791939e-07) - 1) < 1e-5)
    }
  }

  @Test func binaryKernels() {
    let cases: [(String, @Sendable (KernelTable) -> BinaryKernel, @Sendable (Double, Double) -> Double)] = [
      ("add", { $0.add }, { $0 + $1 }), ("subtract", { $0.subtract }, { $0 - $1 }),
      ("multiply", { $0.multiply }, { $0 * $1 }), ("divide", { $0.divide }, { $0 / $1 }),
      ("minimum", { $0.minimum }, { min($0, $1) }), ("maximum", { $0.maximum }, { max($0, $1) }),
      ("geglu", { $0.geglu }, { $0 * $1 * phi($1) }),
    ]
    for table in Kernels.supported {
      for (name, kernel, reference) in cases {
        for size in oddSizes {
          let a = numbers(size, seed: 5)
          let b = numbers(size, seed: 6)
          var out = [Float](repeating: 7, count: size + 1)
          kernel(table)(a, b, &out, size)
          #expect(out[size] == 7)
          let error = worst(Array(out.prefix(size)), zip(a, b).map { reference(Double($0), Double($1)) })
          #expect(error <= 4e-7, "\(table.name) \(name) at \(size): \(error)")
        }
      }
      let nan: [Float] = [.nan, 1, .nan, 2]
      let other: [Float] = [1, .nan, .nan, 1]
      var out = [Float](repeating: 0, count: 4)
      table.minimum(nan, other, &out, 4)
      #expect(out[0].isNaN && out[1].isNaN && out[2].isNaN && out[3] == 1)
      table.maximum(nan, other, &out, 4)
      #expect(out[0].isNaN && out[1].isNaN && out[2].isNaN && out[3] == 2)
    }
  }

  @Test func scalarKernels() {
    let cases: [(@Sendable (KernelTable) -> ScalarKernel, @Sendable (Double) -> Double)] = [
      ({ $0.addScalar }, { $0 + 3 }), ({ $0.subtractScalar }, { $0 - 3 }), ({ $0.scalarSubtract }, { 3 - $0 }),
      ({ $0.multiplyScalar }, { $0 * 3 }), ({ $0.divideScalar }, { $0 / 3 }), ({ $0.scalarDivide }, { 3 / $0 }),
    ]
    for table in Kernels.supported {
      for (kernel, reference) in cases {
        for size in [1, 15, 17, 65] {
          let x = numbers(size, seed: 9)
          var out = [Float](repeating: 0, count: size)
          kernel(table)(x, 3, &out, size)
          #expect(worst(out, x.map { reference(Double($0)) }) <= 1e-7)
        }
      }
      var y = numbers(33, seed: 2)
      let x = numbers(33, seed: 3)
      let expected = zip(x, y).map { Double($1) + 0.5 * Double($0) }
      table.accumulate(x, 0.5, &y, 33)
      #expect(worst(y, expected) <= 1e-7)
      var z = numbers(19, seed: 2)
      let sums = (0..<19).map { Double(z[$0]) + Double(x[$0]) * Double(x[$0 + 1]) }
      x.withUnsafeBufferPointer { x in
        if let base = x.baseAddress { table.multiplyAdd(base, base + 1, &z, 19) }
      }
      #expect(worst(z, sums) <= 4e-7)
    }
  }

  /// All 65,536 bit patterns one way; rounding, overflow, subnormals and NaN the other way, against Float16.
  @Test func halfPrecision() {
    let patterns = (0...65535).map { UInt16($0) }
    for table in Kernels.supported {
      var floats = [Float](repeating: 0, count: 65536)
      table.fromFloat16(patterns, &floats, 65536)
      var odd = [Float](repeating: 0, count: 65536)
      for start in stride(from: 0, to: 65536, by: 3) {
        let count = min(3, 65536 - start)
        patterns.withUnsafeBufferPointer { p in
          odd.withUnsafeMutableBufferPointer { o in
            if let p = p.baseAddress, let o = o.baseAddress { table.fromFloat16(p + start, o + start, count) }
          }
        }
      }
      for (i, pattern) in patterns.enumerated() {
        let expected = Float(Float16(bitPattern: pattern))
        #expect(floats[i] == expected || (floats[i].isNaN && expected.isNaN))
        #expect(odd[i].bitPattern == floats[i].bitPattern)
      }
      let values =
        numbers(5000, range: 70000) + numbers(5000, range: 1e-4) + numbers(5000, range: 2) + floats
        + [65504, 65519.9, 65520, 65536, 1e10, -1e10, .infinity, -.infinity, .nan, 2.98e-8, 2.9802322e-8, 2.9802326e-8]
      var halves = [UInt16](repeating: 0, count: values.count)
      table.toFloat16(values, &halves, values.count)
      for (value, half) in zip(values, halves) {
        let expected = Float16(value)
        #expect(half == expected.bitPattern || (expected.isNaN && Float16(bitPattern: half).isNaN), "\(value)")
      }
    }
  }

  @Test func brainFloat() {
    for table in Kernels.supported {
      let patterns = (0...65535).map { UInt16($0) }
      var floats = [Float](repeating: 0, count: 65536)
      table.fromBFloat16(patterns, &floats, 65536)
      for (i, pattern) in patterns.enumerated() { #expect(floats[i].bitPattern == UInt32(pattern) << 16) }
      let values = numbers(1001, range: 3) + [.nan, .infinity, -.infinity, 3.4e38, 1 + 0x1p-8, 1 + 3 * 0x1p-8, 0, -0.0]
      var out = [UInt16](repeating: 0, count: values.count)
      table.toBFloat16(values, &out, values.count)
      for (value, bits) in zip(values, out) {
        let back = Float(bitPattern: UInt32(bits) << 16)
        if value.isNaN {
          #expect(back.isNaN)
        } else {
          // Nearest, ties to even.
          let upper = value.bitPattern >> 16
          let rest = value.bitPattern & 0xFFFF
          let expected = upper + (rest > 0x8000 || (rest == 0x8000 && upper & 1 == 1) ? 1 : 0)
          #expect(UInt32(bits) == expected)
        }
      }
    }
  }
}
