import Foundation
import Graph
import Operators
import Support
import Testing

@Suite("Reductions")
struct ElementwiseReductionTests {
  @Test("Every set of axes of a four-dimensional tensor, against the definition")
  func axes() throws {
    let shape = [3, 4, 2, 5]
    let values = (0..<120).map { Double(($0 * 7919) % 101) / 10 - 5 }
    let x = try Tensor(doubles: values, shape)
    let definitions: [(String, ([Double]) -> Double)] = [
      ("ReduceSum", { $0.reduce(0, +) }), ("ReduceMean", { $0.reduce(0, +) / Double($0.count) }),
      ("ReduceMax", { $0.max() ?? -.infinity }), ("ReduceMin", { $0.min() ?? .infinity }),
      ("ReduceProd", { $0.reduce(1, *) }), ("ReduceL1", { $0.map(abs).reduce(0, +) }),
      ("ReduceL2", { sqrt($0.map { $0 * $0 }.reduce(0, +)) }), ("ReduceSumSquare", { $0.map { $0 * $0 }.reduce(0, +) }),
      ("ReduceLogSumExp", { log($0.map { exp($0) }.reduce(0, +)) }),
    ]
    for mask in 1..<16 {
      let axes = (0..<4).filter { mask >> $0 & 1 == 1 }
      var groups: [Int: [Double]] = [:]
      for (index, value) in values.enumerated() {
        var rest = index
        var key = 0
        var step = 1
        for axis in stride(from: 3, through: 0, by: -1) {
          let coordinate = rest % shape[axis]
          rest /= shape[axis]
          if !axes.contains(axis) {
            key += coordinate * step
            step *= shape[axis]
          }
        }
        groups[key, default: []].append(value)
      }
      let kept = shape.indices.filter { !axes.contains($0) }.map { shape[$0] }
      let input = try Tensor(int64: axes.map { Int64($0 - 4) })
      for (type, definition) in definitions {
        let reduce = SingleOperator(type: type, version: 18, attributes: ["keepdims": .int(0)])
        let result = try reduce(x, input)[0]
        #expect(result.shape == kept)
        for (index, value) in result.values(Double.self).enumerated() {
          let expected = definition(groups[index] ?? [])
          // The order of summation differs.
          guard abs(value - expected) <= 1e-12 * max(abs(expected), 1) else {
            Issue.record("\(type) over \(axes) at \(index): \(value), expected \(expected)")
            break
          }
        }
      }
    }
  }

  @Test("Axes come from the attribute or the input as the opset says; empty axes reduce all or nothing")
  func versions() throws {
    let x = try Tensor([1, 2, 3, 4], [2, 2])
    let old = SingleOperator(type: "ReduceMean", version: 13, attributes: ["axes": .ints([1])])
    #expect(try old(x)[0].values() == [1.5, 3.5] as [Float])
    let none = try Tensor(int64: [])
    #expect(try SingleOperator(type: "ReduceSum")(x, none)[0].values() == [10] as [Float])
    let noop = SingleOperator(type: "ReduceSum", attributes: ["noop_with_empty_axes": .int(1)])
    #expect(try noop(x, none)[0].values() == [1, 2, 3, 4] as [Float])
    #expect(try noop(x)[0].shape == [2, 2])
    #expect(throws: Failure.self) { try SingleOperator(type: "ReduceSum")(x, Tensor(int64: [2])) }
  }

  @Test("The empty set has each operation's neutral element")
  func empty() throws {
    let x = try Tensor([], [2, 0, 2])
    let axis = try Tensor(int64: [1])
    let neutral: [(String, Float)] = [
      ("ReduceSum", 0), ("ReduceProd", 1), ("ReduceMax", -.infinity), ("ReduceMin", .infinity), ("ReduceL2", 0),
      ("ReduceLogSumExp", -.infinity),
    ]
    for (type, value) in neutral {
      let result = try SingleOperator(type: type, version: 20)(x, axis)[0]
      #expect(result.shape == [2, 1, 2])
      #expect(result.values() == [value, value, value, value], "\(type)")
    }
    let bytes = try Tensor(type: .int8, shape: [0], values: [Int8]())
    #expect(try SingleOperator(type: "ReduceMax", version: 20)(bytes)[0].values() == [Int8.min])
    #expect(throws: Failure.self) { try SingleOperator(type: "ReduceMean", version: 18)(bytes) }
  }

  @Test("Long float32 sums are near the exact ones and do not depend on threads")
  func longSums() throws {
    let count = 1 << 20
    let x = try Tensor([Float](repeating: 0.1, count: count), [4, count / 4])
    let axis = try Tensor(int64: [1])
    let expected = Float(Double(Float(0.1)) * Double(count / 4))
    var seen: [[Float]] = []
    for threads in 1...3 {
      seen.append(try SingleOperator(type: "ReduceSum", threads: threads)(x, axis)[0].values())
    }
    // The kernel adds blocks of float32 lanes before it goes on in Double: 1e-6 relative.
    #expect(seen[0].allSatisfy { abs($0 - expected) <= 1e-6 * expected })
    #expect(seen[0] == seen[1] && seen[1] == seen[2])
  }

  @Test("ArgMax: first or last of equals, NaN is largest, inner and outer axes")
  func arguments() throws {
    let x = try Tensor([3, 1, 3, .nan, 2, .nan], [2, 3])
    func find(_ type: String, _ axis: Int64, last: Int64 = 0) throws -> [Int64] {
      try SingleOperator(
        type: type, attributes: ["axis": .int(axis), "keepdims": .int(0), "select_last_index": .int(last)])(x)[0]
        .values()
    }
    #expect(try find("ArgMax", 1) == [0, 0])
    #expect(try find("ArgMax", 1, last: 1) == [2, 2])
    #expect(try find("ArgMin", 1) == [1, 0])
    #expect(try find("ArgMax", 0) == [1, 1, 1])
    #expect(try find("ArgMin", -2) == [1, 0, 1])
    #expect(throws: Failure.self) { try find("ArgMax", 2) }
  }
}
