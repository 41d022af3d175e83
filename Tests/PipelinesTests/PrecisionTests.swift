import Graph
import Support
import Testing

@testable import Pipelines

/// The option `precision` of a pipeline, on the tiny one, most of whose layers are too small to be reduced.
@Suite struct PipelinePrecisionTests {
  private static func run(_ name: String?) throws -> (latents: [Float], report: JSON, information: JSON) {
    var options = NamedOptions()
    try options.set("threads", .int(1))
    if let name { try options.set("precision", .text(name)) }
    let pipeline = try StableDiffusionPipeline(
      path: Fixtures.tiny, options: options.pipeline, callbacks: RunCallbacks())
    try options.set("steps", .int(3))
    try options.set("seed", .int(1))
    let result = try Session(pipeline: pipeline).generate(prompt: "a cat", options: options.generation)
    return withExtendedLifetime(result) {
      (Array(result.latents.buffer(Float.self)), result.report.json, pipeline.information)
    }
  }

  @Test func everyPrecisionRunsAndIsReported() throws {
    let full = try Self.run(nil)
    for (name, reported, limit) in [
      ("float32", "float32", 0.0), ("fp32", "float32", 0), ("bfloat16", "bfloat16", 5e-2), ("bf16", "bfloat16", 5e-2),
      ("int8", "int8", 0.1),
    ] {
      let reduced = try Self.run(name)
      #expect(reduced.report["precision"]?.string == reported)
      #expect(reduced.information["precision"]?.string == reported)
      // Guidance of 5 multiplies the difference of two predictions, three steps add theirs.
      #expect(Fixtures.relativeError(reduced.latents, full.latents) <= limit)
      if limit > 0 { #expect(reduced.latents != full.latents) }
    }
  }

  @Test func unknownNamesListTheKnownOnes() {
    var options = NamedOptions()
    #expect {
      try options.set("precision", .text("fp8"))
    } throws: { error in
      guard let failure = error as? Failure else { return false }
      return failure.status == .unknownName
        && ["float32", "bfloat16", "int8"].allSatisfy { failure.expected?.contains($0) == true }
    }
  }
}
