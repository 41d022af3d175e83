import CAdaDiff
import Support

/// A pipeline folder that is open, with one session.
final class LibraryPipeline {
  private let pipeline: OpaquePointer
  private let session: OpaquePointer

  init(path: String, options: LibraryOptions) throws(Failure) {
    let pipeline = try LibraryCall.make { adadiff_pipeline_open(path, options.handle, $0, $1) }
    do throws(Failure) {
      session = try LibraryCall.make { adadiff_session_new(pipeline, $0, $1) }
    } catch {
      adadiff_pipeline_free(pipeline)
      throw error
    }
    self.pipeline = pipeline
  }

  deinit {
    adadiff_session_free(session)
    adadiff_pipeline_free(pipeline)
  }

  func information() throws(Failure) -> JSON { try LibraryCall.json(adadiff_pipeline_info(pipeline)) }

  func generate(_ prompt: String, options: LibraryOptions) throws(Failure) -> LibraryResult {
    LibraryResult(
      handle: try LibraryCall.make { adadiff_session_generate(session, prompt, options.handle, $0, $1) })
  }

  /// Report of one of the policy calls.
  private func report(
    _ call: (OpaquePointer, UnsafeMutablePointer<OpaquePointer?>, UnsafeMutablePointer<OpaquePointer?>)
      -> adadiff_status
  ) throws(Failure) -> JSON {
    let tensors = try LibraryCall.make { call(pipeline, $0, $1) }
    defer { adadiff_tensors_free(tensors) }
    return try LibraryCall.json(adadiff_tensors_report(tensors))
  }

  func decide(_ prompt: String, options: LibraryOptions) throws(Failure) -> JSON {
    try report { adadiff_policy_decide($0, prompt, options.handle, $1, $2) }
  }

  func collect(prompts: String, table: String, options: LibraryOptions) throws(Failure) -> JSON {
    try report { adadiff_policy_collect($0, prompts, table, options.handle, $1, $2) }
  }

  func train(table: String, output: String, options: LibraryOptions) throws(Failure) -> JSON {
    try report { adadiff_policy_train($0, table, output, options.handle, $1, $2) }
  }

  func evaluate(table: String, options: LibraryOptions) throws(Failure) -> JSON {
    try report { adadiff_policy_evaluate($0, table, options.handle, $1, $2) }
  }

  func tokenize(_ text: String) throws(Failure) -> [LibraryTensor] {
    try LibraryTensor.all(of: try LibraryCall.make { adadiff_pipeline_tokenize(pipeline, text, $0, $1) })
  }
}

/// The outcome of one run.
final class LibraryResult {
  private let handle: OpaquePointer

  init(handle: OpaquePointer) { self.handle = handle }

  deinit { adadiff_result_free(handle) }

  var imageCount: Int { Int(adadiff_result_image_count(handle)) }
  var width: Int { Int(adadiff_result_width(handle)) }
  var height: Int { Int(adadiff_result_height(handle)) }
  var seed: Int { Int(adadiff_result_seed(handle)) }
  var scheduler: String { LibraryCall.string(adadiff_result_scheduler(handle)) ?? "" }
  var stepsPlanned: Int { Int(adadiff_result_steps_planned(handle)) }
  var networkCalls: Int { Int(adadiff_result_network_calls(handle)) }
  var policy: String { LibraryCall.string(adadiff_result_policy(handle)) ?? "" }
  var totalSeconds: Double { adadiff_result_total_ms(handle) / 1000 }

  /// The library's report, as it wrote it.
  var reportText: String { LibraryCall.string(adadiff_result_report(handle)) ?? "{}" }

  /// Name and seconds of every stage that happened.
  var stages: [(name: String, seconds: Double)] {
    LibraryCall.names(ADADIFF_LIST_STAGES).enumerated().compactMap { index, name in
      let milliseconds = adadiff_result_stage_ms(handle, Int32(index))
      return milliseconds >= 0 ? (name, milliseconds / 1000) : nil
    }
  }

  /// Step counts the policy could choose from, each with its probability.
  var choices: [(steps: Int, probability: Double)] {
    (0..<adadiff_result_policy_choice_count(handle)).map {
      (Int(adadiff_result_policy_choice(handle, $0)), adadiff_result_policy_probability(handle, $0))
    }
  }

  /// Pixels of an image, (height, width, 3); nil when there is none.
  func withPixels<Value>(_ index: Int, _ body: (UnsafeBufferPointer<UInt8>) throws -> Value) rethrows -> Value? {
    guard let pixels = adadiff_result_pixels(handle, Int32(index)) else { return nil }
    let count = width * height * Int(adadiff_result_channels(handle))
    return try body(UnsafeBufferPointer(start: pixels, count: count))
  }

  /// Final latents, (count, channels, height, width).
  var latents: (shape: [Int], values: [Float])? {
    var dims = [Int64](repeating: 0, count: 4)
    guard let values = adadiff_result_latents(handle, &dims) else { return nil }
    let shape = dims.map(Int.init)
    return (shape, Array(UnsafeBufferPointer(start: values, count: shape.reduce(1, *))))
  }
}
