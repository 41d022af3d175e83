import AllocationCounter
import Graph
import OnnxWriter
import Support
import Testing

@testable import Runtime

/// What repeated runs of a plan cost besides arithmetic.
@Suite struct SteadyStateTests {
  /// Bytes that Swift takes from the heap to hand a closure to other threads, once per parallel section.
  private static let closureByteCount = 64

  /// Allocations on the calling thread, which takes part in all work, during the third of three runs.
  private func allocations(_ model: Model, _ feeds: [String: Tensor], threads: Int) throws -> Int {
    for _ in 0..<2 { _ = try model.run(feeds) }
    allocation_counter_start(threads == 1 ? 0 : Self.closureByteCount + 1)
    let result = Result { try model.run(feeds) }
    let count = allocation_counter_stop()
    _ = try result.get()
    return count
  }

  @Test func theCounterSeesAnAllocation() {
    allocation_counter_start(0)
    let block = [Float](repeating: 1, count: 1000 + Int.random(in: 0...1))
    let count = allocation_counter_stop()
    #expect(block.count >= 1000)
    #expect(count == 1)
  }

  /// What a run hands out (tensors, a dictionary) costs as much for a graph that only hands its input on.
  @Test(arguments: ["sd15", "sd21", "sdxl", "vae_decoder"], [1, 2])
  func operatorsAllocateNothing(_ name: String, threads: Int) throws {
    let model = try FixtureTests.open(name, threads: threads)
    let feeds = try FixtureTests.feeds(name, model)
    let first = try #require(model.inputs.first { $0.name.contains("sample") })
    let shape = try #require(feeds[first.name]).shape
    let ports = try model.inputs.map { input in
      guard case .tensor(let type, _) = input.type else { throw Failure(.typeMismatch, input.name) }
      return Onnx.value(input.name, Int(type.rawValue), try #require(feeds[input.name]).shape)
    }
    let bytes = Onnx.model(
      Onnx.graph(
        [Onnx.node("Identity", [first.name], ["output"])], inputs: ports,
        outputs: [Onnx.value("output", Onnx.float32, shape)], initializers: []))
    let plain = try Model(
      bytes.withUnsafeBytes { try ModelLoader.load(bytes: $0) },
      options: ModelOptions(pool: ThreadPool(threads: threads)))
    let count = try allocations(model, feeds, threads: threads)
    let unavoidable = try allocations(plain, feeds, threads: threads)
    #expect(count <= unavoidable)
  }

  /// The fixtures' products are small; large ones in float32 take Strassen's algorithm.
  @Test(arguments: [1, 2]) func largeProductsAllocateNothing(threads: Int) throws {
    let (rows, size) = (600, 512)
    let x = try Tensor(type: .float32, shape: [rows, size])
    x.pointer(Float.self).update(repeating: 0.5, count: x.count)
    func model(_ node: Proto, _ initializers: [Proto]) throws -> Model {
      let bytes = Onnx.model(
        Onnx.graph(
          [node], inputs: [Onnx.value("x", Onnx.float32, [rows, size])],
          outputs: [Onnx.value("y", Onnx.float32, [rows, size])], initializers: initializers))
      return try Model(
        bytes.withUnsafeBytes { try ModelLoader.load(bytes: $0) },
        options: ModelOptions(pool: ThreadPool(threads: threads)))
    }
    let weights = Onnx.tensor(
      "w", Onnx.float32, [size, size], floats: [Float](repeating: 0.25, count: size * size))
    let product = try model(Onnx.node("MatMul", ["x", "w"], ["y"]), [weights])
    let y = try #require(try product.run(["x": x])["y"])
    #expect(UnsafeBufferPointer(start: y.pointer(Float.self), count: y.count).allSatisfy { $0 == 64 })
    let count = try allocations(product, ["x": x], threads: threads)
    let plain = try model(Onnx.node("Identity", ["x"], ["y"]), [])
    #expect(count <= (try allocations(plain, ["x": x], threads: threads)))
  }
}
