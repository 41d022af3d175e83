import Foundation
import Graph
import OnnxWriter
import Operators
import Support
import Synchronization
import Testing

@testable import Runtime

@Suite struct ModelTests {
  static func model(_ bytes: [UInt8], optimized: Bool = true) throws -> Model {
    let loaded = try bytes.withUnsafeBytes { try ModelLoader.load(bytes: $0) }
    return try Model(loaded, options: ModelOptions(optimized: optimized))
  }

  static func floats(_ values: [Float], _ shape: [Int]? = nil) throws -> Tensor {
    try Tensor(type: .float32, shape: shape ?? [values.count], values: values)
  }

  static func values(_ tensor: Tensor?) throws -> [Float] {
    let tensor = try #require(tensor)
    // A tensor's memory goes with its last reference, which may be this one.
    return withExtendedLifetime(tensor) { Array(tensor.buffer(Float.self)) }
  }

  /// y = neg(relu(x + w)), z = relu(x + w)
  static let chain = Onnx.model(
    Onnx.graph(
      [
        Onnx.node("Add", ["x", "w"], ["s"]), Onnx.node("Relu", ["s"], ["z"]), Onnx.node("Neg", ["z"], ["y"]),
      ], inputs: [Onnx.value("x", Onnx.float32, ["n", 2])],
      outputs: [Onnx.value("y", Onnx.float32, ["n", 2]), Onnx.value("z", Onnx.float32, ["n", 2])],
      initializers: [Onnx.tensor("w", Onnx.float32, [2], floats: [1, -1])]))

  @Test(arguments: [true, false]) func runs(optimized: Bool) throws {
    let model = try Self.model(Self.chain, optimized: optimized)
    for rows in [1, 3, 1] {
      let values = (0..<(2 * rows)).map { Float($0) - 1 }
      let results = try model.run(["x": Self.floats(values, [rows, 2])])
      let expected = values.enumerated().map { max(0, $1 + ($0 % 2 == 0 ? 1 : -1)) }
      #expect(try Self.values(results["z"]) == expected)
      #expect(try Self.values(results["y"]) == expected.map { -$0 })
    }
    let only = try model.run(["x": Self.floats([1, 2], [1, 2])], outputs: ["z"])
    #expect(Array(only.keys) == ["z"])
  }

  /// The caller's tensor is never written to, although every operator here could work in place.
  @Test func inputsStayUntouched() throws {
    let x = try Self.floats([-1, 5], [1, 2])
    _ = try Self.model(Self.chain).run(["x": x])
    #expect(try Self.values(x) == [-1, 5])
  }

  /// A result keeps its numbers when the model runs again.
  @Test func resultsBelongToTheCaller() throws {
    let model = try Self.model(Self.chain)
    let first = try #require(try model.run(["x": Self.floats([1, 2], [1, 2])])["z"])
    _ = try model.run(["x": Self.floats([10, 20], [1, 2])])
    #expect(try Self.values(first) == [2, 1])
  }

  @Test func badFeeds() throws {
    let model = try Self.model(Self.chain)
    func status(_ feeds: [String: Tensor], _ outputs: [String]? = nil) throws -> Status {
      try #require(throws: Failure.self) { _ = try model.run(feeds, outputs: outputs) }.status
    }
    let good = try Self.floats([1, 2], [1, 2])
    #expect(try status([:]) == .invalidArgument)
    #expect(try status(["q": good, "x": good]) == .unknownName)
    #expect(try status(["x": good], ["q"]) == .unknownName)
    #expect(try status(["x": Self.floats([1, 2, 3], [1, 3])]) == .shapeMismatch)
    #expect(try status(["x": Self.floats([1, 2], [2])]) == .shapeMismatch)
    #expect(try status(["x": Tensor(type: .int64, shape: [1, 2], values: [Int64(1), 2])]) == .typeMismatch)
    // The model still works.
    #expect(try model.run(["x": good]).count == 2)
  }

  @Test func missingOperatorsAreListedTogether() throws {
    let bytes = Onnx.model(
      Onnx.graph(
        [
          Onnx.node("Nonsense", ["x"], ["a"], name: "first"), Onnx.node("Relu", ["a"], ["b"]),
          Onnx.node("Gibberish", ["b"], ["y"], name: "second", domain: "other"),
        ], inputs: [Onnx.value("x")], outputs: [Onnx.value("y")]), domains: [("other", 3)])
    let failure = try #require(throws: Failure.self) { _ = try Self.model(bytes) }
    #expect(failure.status == .unsupported)
    for part in ["Nonsense", "first", "Gibberish", "second", "other"] { #expect("\(failure)".contains(part)) }
  }

  /// Definitions of before opset 11 differ in places; only unchanged operators are read.
  @Test func oldOperatorSets() throws {
    func graph(_ type: String) -> Proto {
      Onnx.graph([Onnx.node(type, ["x"], ["y"])], inputs: [Onnx.value("x")], outputs: [Onnx.value("y")])
    }
    #expect(throws: Failure.self) { _ = try Self.model(Onnx.model(graph("Softmax"), opset: 9)) }
    _ = try Self.model(Onnx.model(graph("Relu"), opset: 9))
    #expect(throws: Failure.self) { _ = try Self.model(Onnx.model(graph("Relu"), opset: 99)) }
  }

  /// One value given out twice, an input given out directly, a constant given out.
  @Test(arguments: [true, false]) func sharedResults(optimized: Bool) throws {
    let bytes = Onnx.model(
      Onnx.graph(
        [
          Onnx.node("Relu", ["x"], ["a"]), Onnx.node("Identity", ["a"], ["b"]), Onnx.node("Identity", ["x"], ["c"]),
          Onnx.node("Identity", ["w"], ["d"]),
        ], inputs: [Onnx.value("x", Onnx.float32, [2])],
        outputs: ["a", "b", "c", "d"].map { Onnx.value($0, Onnx.float32, [2]) },
        initializers: [Onnx.tensor("w", Onnx.float32, [2], floats: [7, 8])]))
    let results = try Self.model(bytes, optimized: optimized).run(["x": Self.floats([-1, 2])])
    #expect(try Self.values(results["a"]) == [0, 2])
    #expect(try Self.values(results["b"]) == [0, 2])
    #expect(try Self.values(results["c"]) == [-1, 2])
    #expect(try Self.values(results["d"]) == [7, 8])
  }

  /// Shapes that only the data tells: NonZero in the middle of operators that are planned.
  @Test(arguments: [true, false]) func dataDependentShapes(optimized: Bool) throws {
    let bytes = Onnx.model(
      Onnx.graph(
        [
          Onnx.node("Relu", ["x"], ["r"]), Onnx.node("NonZero", ["r"], ["i"]), Onnx.node("Neg", ["r"], ["n"]),
          Onnx.node("Cast", ["i"], ["y"], attributes: [Onnx.attribute("to", int: 1)]),
          Onnx.node("Neg", ["n"], ["m"]),
        ], inputs: [Onnx.value("x", Onnx.float32, [4])],
        outputs: [Onnx.value("y"), Onnx.value("m"), Onnx.value("i", Onnx.int64)]))
    let results = try Self.model(bytes, optimized: optimized).run(["x": Self.floats([1, -1, 0, 3])])
    #expect(try #require(results["y"]).shape == [1, 2])
    #expect(try Self.values(results["y"]) == [0, 3])
    #expect(try Self.values(results["m"]) == [1, 0, 0, 3])
  }

  /// sum of 0..<n by a Loop whose body reads a captured value; scan outputs stacked.
  @Test(arguments: [true, false]) func loops(optimized: Bool) throws {
    let body = Onnx.graph(
      [
        Onnx.node("Add", ["carried", "step"], ["next"]), Onnx.node("Identity", ["condition"], ["going"]),
        Onnx.node("Neg", ["next"], ["scan"]),
      ],
      inputs: [
        Onnx.value("i", Onnx.int64, []), Onnx.value("condition", Onnx.bool, []),
        Onnx.value("carried", Onnx.float32, [1]),
      ],
      outputs: [
        Onnx.value("going", Onnx.bool, []), Onnx.value("next", Onnx.float32, [1]),
        Onnx.value("scan", Onnx.float32, [1]),
      ])
    let bytes = Onnx.model(
      Onnx.graph(
        [
          Onnx.node("Abs", ["x"], ["step"]),
          Onnx.node("Loop", ["n", "", "x"], ["y", "s"], attributes: [Onnx.attribute("body", graph: body)]),
        ], inputs: [Onnx.value("x", Onnx.float32, [1]), Onnx.value("n", Onnx.int64, [])],
        outputs: [Onnx.value("y", Onnx.float32, [1]), Onnx.value("s", Onnx.float32, ["n", 1])]))
    let model = try Self.model(bytes, optimized: optimized)
    for count in [3, 0, 5] {
      let results = try model.run([
        "x": Self.floats([2]), "n": Tensor(type: .int64, shape: [], values: [Int64(count)]),
      ])
      #expect(try Self.values(results["y"]) == [Float(2 + 2 * count)])
      #expect(try #require(results["s"]).shape == [count, 1])
    }
  }

  /// An If whose condition follows from the shapes is replaced by its branch; one on data is not.
  @Test(arguments: [true, false]) func branches(optimized: Bool) throws {
    func branch(_ type: String) -> Proto {
      Onnx.graph([Onnx.node(type, ["x"], ["b"])], outputs: [Onnx.value("b")])
    }
    let bytes = Onnx.model(
      Onnx.graph(
        [
          Onnx.node("Size", ["x"], ["size"]), Onnx.node("Greater", ["size", "two"], ["long"]),
          Onnx.node(
            "If", ["long"], ["a"],
            attributes: [
              Onnx.attribute("then_branch", graph: branch("Neg")), Onnx.attribute("else_branch", graph: branch("Abs")),
            ]),
          Onnx.node(
            "If", ["c"], ["d"],
            attributes: [
              Onnx.attribute("then_branch", graph: branch("Neg")), Onnx.attribute("else_branch", graph: branch("Abs")),
            ]),
          Onnx.node("Relu", ["a"], ["y"]), Onnx.node("Relu", ["d"], ["z"]),
        ], inputs: [Onnx.value("x", Onnx.float32, ["n"]), Onnx.value("c", Onnx.bool, [])],
        outputs: [Onnx.value("y"), Onnx.value("z")],
        initializers: [Onnx.tensor("two", Onnx.int64, [], ints: [2])]))
    let model = try Self.model(bytes, optimized: optimized)
    for (values, condition) in [([-1, 2] as [Float], true), ([-1, 2, 3], false)] {
      let results = try model.run([
        "x": Self.floats(values), "c": Tensor(type: .bool, shape: [], values: [UInt8(condition ? 1 : 0)]),
      ])
      let long = values.count > 2
      #expect(try Self.values(results["y"]) == values.map { max(0, long ? -$0 : abs($0)) })
      #expect(try Self.values(results["z"]) == values.map { max(0, condition ? -$0 : abs($0)) })
    }
  }

  @Test func cancelledBetweenNodes() throws {
    let model = try Self.model(Self.chain)
    let x = try Self.floats([1, 2], [1, 2])
    _ = try model.run(["x": x])
    let polls = Mutex(0)
    let options = RunOptions(checkCancelled: {
      let count = polls.withLock { value -> Int in
        value += 1
        return value
      }
      if count > 1 { throw Failure(.cancelled, "cancelled") }
    })
    let failure = try #require(throws: Failure.self) { _ = try model.run(["x": x], options: options) }
    #expect(failure.status == .cancelled)
    #expect(try model.run(["x": x]).count == 2)
  }

  @Test func profilerSeesEveryStep() throws {
    let profiler = Profiler()
    _ = try Self.model(Self.chain).run(["x": Self.floats([1, 2], [1, 2])], options: RunOptions(profiler: profiler))
    #expect(profiler.entries.map(\.operatorType) == ["Add", "Relu", "Neg"])
  }

  /// Several threads, several shapes, one model: every run gets its own numbers.
  @Test func concurrentRuns() throws {
    let model = try Self.model(Self.chain)
    let wrong = Mutex(0)
    DispatchQueue.concurrentPerform(iterations: 64) { index in
      let rows = 1 + index % 6
      let values = (0..<(2 * rows)).map { Float($0 * index) }
      let expected = values.enumerated().map { max(0, $1 + ($0 % 2 == 0 ? 1 : -1)) }
      let result = try? model.run(["x": Self.floats(values, [rows, 2])])["z"]
      if (try? Self.values(result)) != expected { wrong.withLock { $0 += 1 } }
    }
    #expect(wrong.withLock { $0 } == 0)
  }
}
