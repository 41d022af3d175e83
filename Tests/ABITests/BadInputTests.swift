import CAdaDiff
import Foundation
import Testing

/// One damage to the pipeline folder, and what opening it must say.
struct DamagedPipeline: Sendable, CustomStringConvertible {
  var description: String
  var status: adadiff_status_code
  /// Words that the description of the error must hold.
  var words: [String]
  var damage: @Sendable (String) throws -> Void

  init(
    _ description: String, _ status: adadiff_status_code, _ words: [String],
    _ damage: @escaping @Sendable (String) throws -> Void
  ) {
    self.description = description
    self.status = status
    self.words = words
    self.damage = damage
  }

  private static func replace(_ file: String, _ old: String, _ new: String) -> @Sendable (String) throws -> Void {
    { folder in
      let path = "\(folder)/\(file)"
      let text = try String(contentsOfFile: path, encoding: .utf8)
      #expect(text.contains(old), "the fixture has no '\(old)'")
      try text.replacingOccurrences(of: old, with: new).write(toFile: path, atomically: false, encoding: .utf8)
    }
  }

  private static func write(_ file: String, _ text: String) -> @Sendable (String) throws -> Void {
    { try text.write(toFile: "\($0)/\(file)", atomically: false, encoding: .utf8) }
  }

  private static func remove(_ file: String) -> @Sendable (String) throws -> Void {
    { try FileManager.default.removeItem(atPath: "\($0)/\(file)") }
  }

  private static func truncate(_ file: String, to share: Double) -> @Sendable (String) throws -> Void {
    { folder in
      let url = URL(fileURLWithPath: "\(folder)/\(file)")
      let data = try Data(contentsOf: url)
      try data.prefix(Int(Double(data.count) * share)).write(to: url)
    }
  }

  static let all: [DamagedPipeline] = [
    .init("no model_index.json", ADADIFF_NOT_FOUND, ["model_index.json"], remove("model_index.json")),
    .init("model_index.json is no JSON", ADADIFF_CORRUPT, ["model_index.json"], write("model_index.json", "{\"a\": ")),
    .init("model_index.json is a list", ADADIFF_CORRUPT, ["model_index.json"], write("model_index.json", "[1]")),
    .init(
      "deeply nested JSON", ADADIFF_CORRUPT, ["model_index.json"],
      write("model_index.json", String(repeating: "[", count: 100_000))),
    .init("empty model_index.json", ADADIFF_CORRUPT, ["model_index.json"], write("model_index.json", "")),
    .init("no pipeline class", ADADIFF_CORRUPT, ["_class_name"], write("model_index.json", "{}")),
    .init(
      "another pipeline class", ADADIFF_UNSUPPORTED, ["FluxPipeline"],
      replace("model_index.json", "StableDiffusionPipeline", "FluxPipeline")),
    .init("no scheduler", ADADIFF_NOT_FOUND, ["scheduler_config.json"], remove("scheduler")),
    .init(
      "scheduler configuration is a number", ADADIFF_CORRUPT, ["scheduler"],
      write("scheduler/scheduler_config.json", "5")),
    .init("no text encoder", ADADIFF_NOT_FOUND, ["text_encoder"], remove("text_encoder/model.onnx")),
    .init("no network", ADADIFF_NOT_FOUND, ["unet"], remove("unet/model.onnx")),
    .init("truncated network", ADADIFF_CORRUPT, ["unet", "model.onnx"], truncate("unet/model.onnx", to: 0.5)),
    .init(
      "network is text", ADADIFF_CORRUPT, ["unet", "model.onnx"], write("unet/model.onnx", "hello, this is not ONNX")),
    .init("empty network", ADADIFF_CORRUPT, ["unet", "model.onnx"], truncate("unet/model.onnx", to: 0)),
    .init(
      "channels are a text", ADADIFF_CORRUPT, ["in_channels", "unet/config.json"],
      replace("unet/config.json", "\"in_channels\": 4", "\"in_channels\": \"4\"")),
    .init(
      "negative channels", ADADIFF_OUT_OF_RANGE, ["in_channels"],
      replace("unet/config.json", "\"in_channels\": 4", "\"in_channels\": -4")),
    .init(
      "channels that the graph does not have", ADADIFF_SHAPE_MISMATCH, ["unet"],
      { folder in
        try replace("unet/config.json", "\"in_channels\": 4", "\"in_channels\": 5")(folder)
        try replace("unet/config.json", "\"out_channels\": 4", "\"out_channels\": 5")(folder)
        try replace("vae_decoder/config.json", "\"latent_channels\": 4", "\"latent_channels\": 5")(folder)
      }),
    .init(
      "absurd sample size", ADADIFF_OUT_OF_RANGE, ["sample_size"],
      replace("unet/config.json", "\"sample_size\": 8", "\"sample_size\": 9000000000")),
    .init(
      "SDXL embeddings", ADADIFF_UNSUPPORTED, ["text_time"],
      replace("unet/config.json", "\"addition_embed_type\": null", "\"addition_embed_type\": \"text_time\"")),
    .init(
      "features that do not fit", ADADIFF_SHAPE_MISMATCH, ["cross_attention_dim"],
      replace("unet/config.json", "\"cross_attention_dim\": 32", "\"cross_attention_dim\": 64")),
    .init(
      "zero scaling factor", ADADIFF_OUT_OF_RANGE, ["scaling_factor"],
      replace("vae_decoder/config.json", "\"scaling_factor\": 0.2", "\"scaling_factor\": 0")),
    .init("no vocabulary", ADADIFF_NOT_FOUND, ["vocab.json"], remove("tokenizer/vocab.json")),
    .init("broken vocabulary", ADADIFF_CORRUPT, ["vocab.json"], write("tokenizer/vocab.json", "{\"a\": \"b\"}")),
    .init(
      "vocabulary of another model", ADADIFF_CORRUPT, ["vocab"],
      replace("text_encoder/config.json", "\"vocab_size\": 525", "\"vocab_size\": 100")),
    .init("broken policy", ADADIFF_CORRUPT, ["policy"], write("policy/policy.json", "{\"format\": 1}")),
    .init(
      "policy of the future", ADADIFF_UNSUPPORTED, ["policy", "format"], write("policy/policy.json", "{\"format\": 2}")),
    .init(
      "policy that leaves its folder", ADADIFF_CORRUPT, ["policy"],
      replace("policy/policy.json", "policy.onnx", "../unet/model.onnx")),
    .init(
      "policy with absurd steps", ADADIFF_CORRUPT, ["step_set"],
      replace("policy/policy.json", "50", "5000")),
    .init(
      "policy of another text encoder", ADADIFF_SHAPE_MISMATCH, ["policy", "hidden size"],
      replace("policy/policy.json", "\"hidden_size\": 32", "\"hidden_size\": 33")),
    .init("no policy network", ADADIFF_NOT_FOUND, ["policy.onnx"], remove("policy/policy.onnx")),
  ]
}

/// A run that must fail and leave the session usable.
struct BadRun: Sendable, CustomStringConvertible {
  var description: String
  var options: [String: String]
  var status: adadiff_status_code
  var words: [String]

  init(_ options: [String: String], _ status: adadiff_status_code, _ words: [String]) {
    description = options.map { "\($0.key)=\($0.value)" }.sorted().joined(separator: " ")
    self.options = options
    self.status = status
    self.words = words
  }

  static let all: [BadRun] = [
    .init(["steps": "0"], ADADIFF_OUT_OF_RANGE, ["steps", "0"]),
    .init(["steps": "1001"], ADADIFF_OUT_OF_RANGE, ["steps", "1001"]),
    .init(["steps": "-3"], ADADIFF_OUT_OF_RANGE, ["steps"]),
    .init(["steps": "many"], ADADIFF_TYPE_MISMATCH, ["steps", "many"]),
    .init(["steps": "99999999999999999999"], ADADIFF_TYPE_MISMATCH, ["steps"]),
    .init(["stepz": "5"], ADADIFF_UNKNOWN_NAME, ["stepz", "guidance_scale"]),
    .init(["scheduler": "Magic"], ADADIFF_UNKNOWN_NAME, ["Magic", "DDIMScheduler"]),
    .init(["policy": "oracle"], ADADIFF_UNKNOWN_NAME, ["oracle", "learned"]),
    .init(["precision": "fp4"], ADADIFF_UNKNOWN_NAME, ["fp4", "float32", "bfloat16", "int8"]),
    .init(["guidance_batching": "x"], ADADIFF_UNKNOWN_NAME, ["joint"]),
    .init(["guidance_scale": "nan"], ADADIFF_NOT_FINITE, ["guidance_scale"]),
    .init(["guidance_scale": "-1"], ADADIFF_OUT_OF_RANGE, ["guidance_scale"]),
    .init(["guidance_scale": "1e308"], ADADIFF_OUT_OF_RANGE, ["guidance_scale"]),
    .init(["guidance_rescale": "2"], ADADIFF_OUT_OF_RANGE, ["guidance_rescale"]),
    .init(["eta": "1.5"], ADADIFF_OUT_OF_RANGE, ["eta"]),
    .init(["seed": "-1"], ADADIFF_OUT_OF_RANGE, ["seed"]),
    .init(["count": "0"], ADADIFF_OUT_OF_RANGE, ["count"]),
    .init(["count": "100000"], ADADIFF_OUT_OF_RANGE, ["count"]),
    .init(["width": "-8"], ADADIFF_OUT_OF_RANGE, ["width"]),
    .init(["width": "9223372036854775807"], ADADIFF_OUT_OF_RANGE, ["width"]),
    .init(["width": "17", "steps": "2"], ADADIFF_OUT_OF_RANGE, ["width", "17", "multiple of 2"]),
    .init(["width": "16384", "height": "16384", "count": "64"], ADADIFF_OUT_OF_MEMORY, ["latents"]),
    .init(["clip_skip": "9", "steps": "2"], ADADIFF_OUT_OF_RANGE, ["clip_skip"]),
    .init(["threads": "-1"], ADADIFF_OUT_OF_RANGE, ["threads"]),
    .init(["decode": "perhaps"], ADADIFF_TYPE_MISMATCH, ["decode"]),
  ]
}

@Suite struct BadInputTests {
  @Test(arguments: DamagedPipeline.all)
  func damagedPipelines(_ damaged: DamagedPipeline) throws {
    try ABI.withCopy { folder in
      try damaged.damage(folder)
      let (handle, failure) = ABI.pipeline(folder)
      #expect(handle == nil)
      #expect(failure?.status == damaged.status, "\(failure.map(String.init(describing:)) ?? "it opened")")
      for word in damaged.words {
        #expect(failure?.text.contains(word) == true, "'\(word)' is not in: \(failure?.text ?? "")")
      }
      adadiff_pipeline_free(handle)
    }
  }

  @Test(arguments: BadRun.all)
  func badOptions(_ bad: BadRun) throws {
    ABI.withSession { session, options in
      var failure = ABI.set(options, bad.options)
      if failure == nil {
        let (result, runFailure) = ABI.generate(session, "a cat", options)
        #expect(result == nil)
        adadiff_result_free(result)
        failure = runFailure
      }
      #expect(failure?.status == bad.status, "\(failure.map(String.init(describing:)) ?? "it ran")")
      for word in bad.words {
        #expect(failure?.text.contains(word) == true, "'\(word)' is not in: \(failure?.text ?? "")")
      }
      for name in bad.options.keys { _ = adadiff_options_reset(options, name, nil) }
      #expect(ABI.set(options, ["steps": "1", "seed": "1"]) == nil)
      let (result, after) = ABI.generate(session, "a cat", options)
      #expect(after == nil, "the session is not usable any more")
      #expect(adadiff_result_image_count(result) == 1)
      adadiff_result_free(result)
    }
  }

  @Test func nullsAndInvalidTexts() throws {
    ABI.withSession { session, options in
      let invalid: [CChar] = [CChar(bitPattern: 0xFF), CChar(bitPattern: 0xFE), 0]
      var result: OpaquePointer?
      var handle: OpaquePointer?
      let cases: [(String, CallFailure?)] = [
        ("'prompt' is NULL", ABI.failure { adadiff_session_generate(session, nil, options, &result, $0) }),
        (
          "'prompt' is not valid UTF-8",
          ABI.failure { adadiff_session_generate(session, invalid, options, &result, $0) }
        ),
        ("'result' is NULL", ABI.failure { adadiff_session_generate(session, "a", options, nil, $0) }),
        ("'session' is NULL", ABI.failure { adadiff_session_generate(nil, "a", options, &result, $0) }),
        (
          "'session' is not a live handle", ABI.failure { adadiff_session_generate(options, "a", options, &result, $0) }
        ),
        (
          "'options' is not a live handle", ABI.failure { adadiff_session_generate(session, "a", session, &result, $0) }
        ),
        ("'path' is NULL", ABI.failure { adadiff_pipeline_open(nil, nil, &handle, $0) }),
        ("'pipeline' is NULL", ABI.failure { adadiff_pipeline_open("x", nil, nil, $0) }),
        ("'pipeline' is NULL", ABI.failure { adadiff_session_new(nil, &handle, $0) }),
        ("'path' is NULL", ABI.failure { adadiff_model_open(nil, nil, &handle, $0) }),
        ("'bytes' is NULL", ABI.failure { adadiff_model_open_memory(nil, 5, nil, nil, &handle, $0) }),
        ("'name' is NULL", ABI.failure { adadiff_options_set_int(options, nil, 5, $0) }),
        ("'name' is not valid UTF-8", ABI.failure { adadiff_options_set_int(options, invalid, 5, $0) }),
        ("'value' is NULL", ABI.failure { adadiff_options_set_string(options, "steps", nil, $0) }),
        ("'data' is NULL", ABI.failure { adadiff_options_set_floats(options, "latents", nil, [1, 4, 8, 8], 4, $0) }),
        ("dims", ABI.failure { adadiff_options_set_floats(options, "latents", [1], nil, 4, $0) }),
        ("'token' is not a live", ABI.failure { adadiff_options_set_cancel_token(options, session, $0) }),
      ]
      for (words, failure) in cases {
        #expect(failure?.status == ADADIFF_INVALID_ARGUMENT, "\(words)")
        #expect(failure?.message.contains(words) == true, "\(words): \(failure?.message ?? "success")")
      }
      #expect(result == nil && handle == nil)
      // The error slot itself may be NULL.
      #expect(adadiff_session_generate(session, nil, options, &result, nil) == ADADIFF_INVALID_ARGUMENT)
    }
  }

  @Test func badLatents() throws {
    ABI.withSession { session, options in
      let noise = [Float](repeating: 0.5, count: 4 * 8 * 8)
      func set(_ dims: [Int64], _ data: [Float]) -> CallFailure? {
        ABI.failure { adadiff_options_set_floats(options, "latents", data, dims, Int32(dims.count), $0) }
      }
      #expect(set([1, 4, 8], noise) == nil)
      #expect(ABI.generate(session, "a", options).failure?.status == ADADIFF_SHAPE_MISMATCH)
      #expect(set([1, 2, 8, 8], noise) == nil)
      #expect(ABI.generate(session, "a", options).failure?.status == ADADIFF_SHAPE_MISMATCH)
      #expect(set([1, 4, 8, 8], [.nan] + noise.dropFirst()) == nil)
      #expect(ABI.generate(session, "a", options).failure?.status == ADADIFF_NOT_FINITE)
      #expect(set([1, 4, -8, 8], noise)?.status == ADADIFF_OUT_OF_RANGE)
      #expect(set([1 << 40, 1 << 40, 1 << 40, 2], noise)?.status == ADADIFF_OUT_OF_MEMORY)
      #expect(set(Array(repeating: 1, count: 9), noise)?.status == ADADIFF_OUT_OF_RANGE)
    }
  }

  /// NaN weights, found while sampling; an unwritable folder; a prompt of 100,000 characters and an empty one.
  @Test func hardButLegal() throws {
    ABI.withSession { session, options in
      #expect(ABI.set(options, ["steps": "1", "seed": "1"]) == nil)
      for prompt in ["", String(repeating: "cat ", count: 25_000)] {
        let (result, failure) = ABI.generate(session, prompt, options)
        #expect(failure == nil)
        let report = ABI.string(adadiff_result_report(result))
        #expect(report.contains("\"prompt_truncated\":\(prompt.isEmpty ? "false" : "true")"))
        let missing = ABI.failure { adadiff_result_save_png(result, 0, "/no/such/folder/x.png", $0) }
        #expect(missing?.status == ADADIFF_NOT_FOUND && missing?.text.contains("/no/such/folder/x.png") == true)
        #expect(ABI.failure { adadiff_result_save_png(result, 0, "/proc/x.png", $0) } != nil)
        #expect(ABI.failure { adadiff_result_save_png(result, 1, "/tmp/x.png", $0) }?.status == ADADIFF_OUT_OF_RANGE)
        adadiff_result_free(result)
      }
    }
  }

  @Test func unknownSchedulerBlocksOnlyTheRunThatUsesIt() throws {
    try ABI.withCopy { folder in
      let file = folder + "/scheduler/scheduler_config.json"
      let text = try String(contentsOfFile: file, encoding: .utf8)
      try text.replacingOccurrences(of: "DDIMScheduler", with: "TeleportScheduler")
        .write(toFile: file, atomically: false, encoding: .utf8)
      let (pipeline, failure) = ABI.pipeline(folder)
      #expect(failure == nil)
      #expect(ABI.string(adadiff_pipeline_info(pipeline)).contains("TeleportScheduler"))
      var session: OpaquePointer?
      #expect(adadiff_session_new(pipeline, &session, nil) == ADADIFF_OK)
      let options = adadiff_options_new()
      #expect(ABI.set(options, ["steps": "2", "seed": "1"]) == nil)
      let refused = ABI.generate(session, "a", options).failure
      #expect(refused?.status == ADADIFF_UNKNOWN_NAME && refused?.text.contains("TeleportScheduler") == true)
      #expect(ABI.set(options, ["scheduler": "DDIMScheduler"]) == nil)
      let (result, after) = ABI.generate(session, "a", options)
      #expect(after == nil)
      adadiff_result_free(result)
      adadiff_options_free(options)
      adadiff_session_free(session)
      adadiff_pipeline_free(pipeline)
    }
  }
}
