import Graph
import OnnxWriter
import Operators
import Support
import Testing

@testable import Runtime

/// Runs that share what unchanging inputs give.
@Suite struct RunSeriesTests {
  /// y = x + neg(relu(w)), where w seldom changes; v = relu(w) is a result too.
  static let graph = Onnx.model(
    Onnx.graph(
      [
        Onnx.node("Relu", ["w"], ["v"]), Onnx.node("Neg", ["v"], ["n"]), Onnx.node("Add", ["x", "n"], ["y"]),
      ], inputs: [Onnx.value("x", Onnx.float32, [2]), Onnx.value("w", Onnx.float32, [2])],
      outputs: [Onnx.value("y", Onnx.float32, [2]), Onnx.value("v", Onnx.float32, [2])], initializers: []))

  private func ran(_ model: Model, x: [Float], w: [Float], _ series: RunSeries) throws -> ([Float], [Float], Int) {
    let profiler = Profiler()
    let results = try model.run(
      ["x": ModelTests.floats(x), "w": ModelTests.floats(w)], options: RunOptions(profiler: profiler, series: series))
    return (try ModelTests.values(results["y"]), try ModelTests.values(results["v"]), profiler.entries.count)
  }

  @Test func laterRunsBeginBehindThePrelude() throws {
    let model = try ModelTests.model(Self.graph)
    let series = RunSeries(constantInputs: ["w", "unknown"])
    for (x, w, steps) in [
      ([Float(1), 2], [Float(5), -1], 3), ([3, 4], [5, -1], 1), ([3, 4], [7, -1], 3), ([1, 1], [7, -1], 1),
      ([1, 1], [5, -1], 3),
    ] {
      let (y, v, count) = try ran(model, x: x, w: w, series)
      #expect(v == w.map { max(0, $0) })
      #expect(y == zip(x, v).map { $0 - $1 })
      #expect(count == steps)
    }
    // Another series, and none, share nothing.
    let (_, _, count) = try ran(model, x: [1, 1], w: [5, -1], RunSeries(constantInputs: ["w"]))
    #expect(count == 3)
    let (_, _, plain) = try ran(model, x: [1, 1], w: [5, -1], RunSeries(constantInputs: []))
    #expect(plain == 3)
  }

  /// A run that was stopped leaves nothing half-made behind.
  @Test func cancelledRuns() throws {
    let model = try ModelTests.model(Self.graph)
    let series = RunSeries(constantInputs: ["w"])
    _ = try ran(model, x: [1, 2], w: [5, -1], series)
    var polls = 0
    #expect(throws: Failure.self) {
      _ = try model.run(
        ["x": ModelTests.floats([1, 2]), "w": ModelTests.floats([9, 9])],
        options: RunOptions(
          checkCancelled: {
            polls += 1
            if polls > 1 { throw Failure(.cancelled, "stop") }
          }, series: series))
    }
    #expect(try ran(model, x: [1, 2], w: [9, 9], series).0 == [-8, -7])
  }

  /// A whole network: the same bits with and without, and fewer steps from the second run on.
  @Test(arguments: ["sd15", "sd21"]) func networks(_ name: String) throws {
    let model = try FixtureTests.open(name)
    let feeds = try FixtureTests.feeds(name, model)
    let expected = try FixtureTests.numbers(model.run(feeds)["output"])
    let series = RunSeries(constantInputs: ["encoder_hidden_states"])
    var counts: [Int] = []
    for _ in 0..<3 {
      let profiler = Profiler()
      let result = try model.run(feeds, options: RunOptions(profiler: profiler, series: series))["output"]
      #expect(try FixtureTests.numbers(result) == expected)
      counts.append(profiler.entries.count)
    }
    #expect(counts[1] < counts[0] && counts[1] == counts[2])
    var changed = feeds
    let states = try #require(feeds["encoder_hidden_states"])
    let other = try Tensor(type: .float32, shape: states.shape)
    withExtendedLifetime((states, other)) {
      for (index, value) in states.buffer(Float.self).enumerated() { other.buffer(Float.self)[index] = value + 1 }
    }
    changed["encoder_hidden_states"] = other
    let fresh = try FixtureTests.numbers(model.run(changed)["output"])
    #expect(fresh != expected)
    #expect(try FixtureTests.numbers(model.run(changed, options: RunOptions(series: series))["output"]) == fresh)
  }
}

@Suite struct FusionReportTests {
  private static func report(_ name: String) throws -> FusionReport {
    let loaded = try ModelLoader.load(path: FixtureTests.folder.appendingPathComponent("\(name)/model.onnx").path)
    let model = try FixtureTests.open(name)
    return try FusionReport(loaded, shapes: FixtureTests.feeds(name, model).mapValues(\.shape))
  }

  /// What real exports spread over many nodes is recognised without exception.
  @Test(arguments: ["sd15", "sd15_opset14", "sd15_dynamo", "sd21", "sdxl"]) func networksFuse(_ name: String) throws {
    let report = try Self.report(name)
    let names = report.fused.map(\.name)
    for expected in ["ConvNHWC", "Attention", "MatMulGeglu", "GroupNormNHWC + Silu", "MatMulBias + residual"] {
      #expect(names.contains { $0.hasPrefix(expected) }, "\(expected) in \(names)")
    }
    #expect(report.nodesAfter < report.nodesBefore)
    #expect(report.misses.filter { ["Attention", "GroupNorm", "Gelu", "Silu"].contains($0.pattern) }.isEmpty)
  }

  @Test func nearMissesSayWhy() throws {
    let bytes = Onnx.model(
      Onnx.graph(
        [
          Onnx.node("MatMul", ["q", "k"], ["s"]), Onnx.node("Softmax", ["s"], ["p"]), Onnx.node("Relu", ["p"], ["r"]),
        ], inputs: [Onnx.value("q", Onnx.float32, [4, 2]), Onnx.value("k", Onnx.float32, [2, 4])],
        outputs: [Onnx.value("r", Onnx.float32, [4, 4])], initializers: []))
    let loaded = try bytes.withUnsafeBytes { try ModelLoader.load(bytes: $0) }
    let report = try FusionReport(loaded, shapes: ["q": [4, 2], "k": [2, 4]])
    #expect(report.misses.map(\.pattern) == ["Attention"])
    #expect(report.misses.first?.reason == "the probabilities go to Relu, not MatMul")
    #expect(throws: Failure.self) { try FusionReport(loaded, shapes: ["q": [4, 2]]) }
  }
}
