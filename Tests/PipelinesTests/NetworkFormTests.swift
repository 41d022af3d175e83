import Foundation
import Graph
import Runtime
import Support
import Testing

@testable import Pipelines

/// Networks that take their inputs in every form that exporters write (`Tests/Fixtures/network-forms`).
@Suite struct NetworkFormTests {
  private static let forms = Fixtures.tests + "/Fixtures/network-forms"

  /// The tiny pipeline with another network.
  private func withNetwork(_ name: String, _ body: (String) throws -> Void) throws {
    try Fixtures.withCopy { folder in
      try FileManager.default.removeItem(atPath: folder + "/unet/model.onnx")
      try FileManager.default.copyItem(atPath: "\(Self.forms)/\(name).onnx", toPath: folder + "/unet/model.onnx")
      try body(folder)
    }
  }

  /// What the network of that form predicts for batch 3.
  private func prediction(_ name: String, timestep: Double) throws -> [Float] {
    var values: [Float] = []
    try withNetwork(name) { folder in
      let network = try NoisePredictor(
        folder: PipelineFolder(path: folder), pool: ThreadPool(threads: 1), precision: .float32)
      let sample = try Tensor(type: .float32, shape: [3, 4, 2, 2], values: [Float](repeating: 1, count: 48))
      let states = try Tensor(type: .float32, shape: [3, 5, 32], values: [Float](repeating: 1, count: 480))
      let result = try network.predict(
        sample: sample, timestep: timestep, states: network.prepared(states: states),
        condition: network.guidanceEmbedding(scale: 8.5, batch: 3), options: RunOptions())
      #expect(result.type == .float32 && result.shape == [3, 4, 2, 2])
      values = Array(result.buffer(Float.self))
    }
    return values
  }

  @Test(arguments: ["float32", "float16", "float64", "int32", "int64"], ["scalar", "one", "steps", "batch"])
  func timestepArrives(_ type: String, _ shape: String) throws {
    let values = try prediction("timestep_\(type)_\(shape)", timestep: 981)
    #expect(values.allSatisfy { $0 == 981 })
  }

  @Test func fractionsAreKeptOrRounded() throws {
    #expect(try prediction("timestep_float32_scalar", timestep: 500.75).first == 500.75)
    #expect(try prediction("timestep_int64_one", timestep: 500.75).first == 501)
  }

  @Test(arguments: ["half_network", "double_network"])
  func otherElementTypes(_ name: String) throws {
    #expect(try prediction(name, timestep: 17).allSatisfy { $0 == 17 })
  }

  @Test func guidanceEmbeddingIsThatOfDiffusers() throws {
    let data = try Data(contentsOf: URL(fileURLWithPath: "\(Self.forms)/guidance_embedding.json"))
    let expected = try #require((JSONSerialization.jsonObject(with: data) as? [String: Double])?["sum"])
    let value = try #require(try prediction("guidance_embedding", timestep: 1).first)
    // diffusers takes sines of angles up to 7500 in float32: each of 256 terms may be off by 5e-4.
    #expect(abs(Double(value) - expected) < 0.05)
  }

  @Test func additionalInputsAreRefusedByName() throws {
    try withNetwork("extra_input") { folder in
      #expect { try Fixtures.open(folder) } throws: {
        let failure = $0 as? Failure
        return failure?.status == .unsupported && failure?.component == "unet" && "\($0)".contains("time_ids")
      }
    }
  }

  @Test func notANumberIsAnErrorNotAPicture() throws {
    try withNetwork("nan") { folder in
      let session = Session(pipeline: try Fixtures.open(folder))
      var options = GenerationOptions()
      options.steps = .fixed(3)
      #expect { try session.generate(prompt: "a cat", options: options) } throws: {
        let failure = $0 as? Failure
        return failure?.status == .notFinite && failure?.component == "unet" && "\($0)".contains("step 1 of 3")
      }
    }
  }
}
