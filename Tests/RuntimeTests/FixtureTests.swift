import Foundation
import Graph
import Operators
import Support
import Testing

@testable import Runtime

/// Whole networks in small, against ONNX Runtime's results (Tests/Fixtures/models/make_models.py).
@Suite struct FixtureTests {
  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fixtures/models")

  /// Relative L2 errors allowed against ONNX Runtime: 1e-4 in float32 (two orders of summation); networks in half
  /// precision are computed in float32 here and rounded at every node there (2^-11 each).
  static let networks: [(name: String, limit: Double)] = [
    ("sd15", 1e-4), ("sd15_opset14", 1e-4), ("sd15_dynamo", 1e-4), ("sd21", 1e-4), ("sdxl", 1e-4),
    ("vae_decoder", 1e-4), ("vae_encoder", 1e-4), ("clip_text", 1e-4), ("clip_text_gelu", 1e-4),
    ("clip_text_int8", 1e-4), ("control_flow", 1e-4), ("vae_decoder_half", 1e-2),
  ]

  static func open(_ name: String, optimized: Bool = true, threads: Int = 1) throws -> Model {
    try Model(
      path: folder.appendingPathComponent("\(name)/model.onnx").path,
      options: ModelOptions(pool: ThreadPool(threads: threads), optimized: optimized))
  }

  static func tensor(_ name: String, _ file: String, _ type: DeclaredType) throws -> Tensor {
    let path = folder.appendingPathComponent("\(name)/test_data_set_0/\(file).pb").path
    guard case .tensor(let tensor) = try StoredValue.read(path: path, as: type) else {
      throw Failure(.corrupt, "no tensor", file: path)
    }
    return tensor
  }

  static func feeds(_ name: String, _ model: Model) throws -> [String: Tensor] {
    var feeds: [String: Tensor] = [:]
    for (index, input) in model.inputs.enumerated() {
      feeds[input.name] = try tensor(name, "input_\(index)", input.type)
    }
    return feeds
  }

  static func numbers(_ tensor: Tensor?) throws -> [Double] {
    let tensor = try #require(tensor)
    return withExtendedLifetime(tensor) {
      tensor.type == .float16
        ? tensor.buffer(Float16.self).map { Double($0) } : tensor.buffer(Float.self).map { Double($0) }
    }
  }

  static func relativeError(_ actual: Tensor?, _ expected: Tensor?) throws -> Double {
    let a = try numbers(actual)
    let e = try numbers(expected)
    #expect(a.count == e.count)
    let difference = zip(a, e).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    return (difference / e.reduce(0) { $0 + $1 * $1 }).squareRoot()
  }

  @Test(arguments: networks, [true, false])
  func equalsOnnxRuntime(_ network: (name: String, limit: Double), optimized: Bool) throws {
    let model = try Self.open(network.name, optimized: optimized)
    let result = try model.run(Self.feeds(network.name, model))["output"]
    let expected = try Self.tensor(network.name, "output_0", model.outputs[0].type)
    #expect(try #require(result).shape == expected.shape)
    #expect(try Self.relativeError(result, expected) <= network.limit)
  }

  @Test(arguments: ["sd15", "sd21", "vae_decoder", "clip_text"])
  func bitIdenticalForAnyThreadCount(_ name: String) throws {
    var first: [Double]?
    for threads in [1, 2, 3, 7] {
      let model = try Self.open(name, threads: threads)
      let result = try Self.numbers(model.run(Self.feeds(name, model))["output"])
      #expect(first == nil || first == result, "\(threads) threads")
      first = first ?? result
    }
  }

  /// Other sizes than the exporter traced, in turn on one model: every plan is its own, weights are shared.
  @Test func otherShapes() throws {
    let planned = try Self.open("sd15")
    let eager = try Self.open("sd15", optimized: false)
    let states = try Self.feeds("sd15", planned)["encoder_hidden_states"]
    let width = try #require(states).shape[2]
    for (batch, height, length) in [(1, 8, 5), (2, 16, 7), (1, 8, 5)] {
      func random(_ shape: [Int]) throws -> Tensor {
        var state: UInt32 = 7
        let values = (0..<shape.reduce(1, *)).map { _ -> Float in
          state = state &* 1_664_525 &+ 1_013_904_223
          return Float(state >> 8) / Float(1 << 23) - 1
        }
        return try Tensor(type: .float32, shape: shape, values: values)
      }
      let feeds = [
        "sample": try random([batch, 4, height, 12]), "encoder_hidden_states": try random([batch, length, width]),
        "timestep": try Tensor(type: .float32, shape: [1], values: [Float(321)]),
      ]
      let error = try Self.relativeError(planned.run(feeds)["output"], eager.run(feeds)["output"])
      #expect(error <= 1e-5)
    }
  }

  /// What planning is for: shape arithmetic gone, blocks fused, transposes only at the edges.
  @Test(arguments: ["sd15", "sd15_dynamo", "sd21", "sdxl", "vae_decoder"]) func fuses(_ name: String) throws {
    let model = try Self.open(name)
    let profiler = Profiler()
    _ = try model.run(Self.feeds(name, model), options: RunOptions(profiler: profiler))
    let counts = Dictionary(profiler.byOperator.map { ($0.operatorType, $0.runs) }, uniquingKeysWith: +)
    for gone in ["Shape", "Reshape", "Softmax", "InstanceNormalization", "Sigmoid", "Erf", "Conv", "Resize", "Gather"] {
      #expect(counts[gone] == nil, "\(gone) is left")
    }
    for there in ["adadiff.ConvNHWC", "adadiff.GroupNormNHWC", "adadiff.Attention", "adadiff.MatMulBias"] {
      #expect(counts[there] ?? 0 > 0, "\(there) is missing")
    }
    #expect(counts["Transpose"] ?? 0 <= 2)
    #expect(counts["adadiff.ResizeNearestNHWC"] == nil, "an enlarged image is in memory")
  }

  @Test func inspection() throws {
    let path = Self.folder.appendingPathComponent("vae_decoder/model.onnx").path
    let inspection = ModelInspection(try ModelLoader.load(path: path))
    #expect(inspection.problems.isEmpty)
    #expect(inspection.operatorCounts["Conv"] == 16)
    #expect(inspection.parameterByteCount > 4 * 1000)
  }
}
