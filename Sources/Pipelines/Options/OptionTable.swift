import Adaptive
import Graph
import Schedulers
import Support

extension NamedOptions {
  /// Names for the option `scheduler`.
  public static var schedulerNames: [String] { SchedulerFactory.names }

  /// One line per option. Names never change meaning; new ones are appended.
  public static let table: [OptionDescription] = generationTable + policyTable

  private static let generationTable: [OptionDescription] = [
    int("threads", .open, \.pipeline.threads, 0...1024, "Threads, the caller's included; 0: all allowed processors."),
    OptionDescription(
      "precision", .string, .open, at: \.pipeline.precision, default: Precision.float32.rawValue,
      choices: Precision.names,
      "Of the large products: float32; bfloat16 (fp32 and bf16 are understood too); int8, where text encoder and decoder take bfloat16."
    ) { value in
      if case .text(let text) = value { Precision(named: text) } else { nil }
    },
    names(
      "constant_inputs", \.pipeline.constantInputs,
      "Inputs of a model, separated by commas without spaces, that seldom change: what depends on them alone is kept between runs."
    ),
    names(
      "repeated_inputs", \.pipeline.repeatedInputs,
      "Inputs of a model whose second half along the first axis equals the first: what depends on them alone is computed once."
    ),
    bool("lazy", .open, \.pipeline.lazy, "Read each component at its first use instead of at open."),
    string("negative_prompt", .run, \.generation.negativePrompt, default: "", "Text to steer away from."),
    OptionDescription(
      "steps", .int, .run, at: \.generation.steps, default: "auto", auto: true, bounds: 1...1000,
      "Number of sampling steps; auto: the policy decides."
    ) { value in
      switch value {
      case nil: .auto
      case .int(let steps): .fixed(steps)
      default: nil
      }
    },
    specification(
      "policy", \.generation.policy, "Who decides when steps is auto: NAME[:key=value,…]; empty: the pipeline's own.",
      PolicySpecification.init(parsing:)),
    name(
      "scheduler", .run, \.generation.scheduler, choices: schedulerNames,
      "Sampling method; empty: the pipeline's own."),
    OptionDescription(
      "guidance_scale", .float, .run, at: \.generation.guidanceScale, default: "auto", auto: true, range: 0...1000,
      "Classifier-free guidance; 1 and less switch it off; auto: the pipeline's own, else 7.5.", convert: optionalFloat),
    OptionDescription(
      "guidance_start", .float, .run, at: \.generation.guidanceStart, default: "auto", auto: true, range: 0...1,
      "Guidance is off before this share of the noise schedule, 0 at pure noise; auto: the pipeline's own, else 0.",
      convert: optionalFloat),
    OptionDescription(
      "guidance_stop", .float, .run, at: \.generation.guidanceStop, default: "auto", auto: true, range: 0...1,
      "Guidance is off from this share of the noise schedule on, 1 at the clean picture; auto: the pipeline's own, else 1.",
      convert: optionalFloat),
    float(
      "guidance_rescale", .run, \.generation.guidanceRescale, 0...1,
      "Share of the correction of the guided prediction's standard deviation."),
    choice(
      "guidance_batching", .run, \.generation.guidanceBatching,
      "joint: one network call per step for both predictions; separate: two; auto."),
    OptionDescription(
      "seed", .int, .run, at: \.generation.seed, default: "auto", auto: true, bounds: 0...Int.max,
      "Seed of the noise, as torch's manual_seed; auto: drawn and reported."
    ) { (value: OptionValue?) -> UInt64?? in
      switch value {
      case nil: .some(nil)
      case .int(let seed): .some(UInt64(clamping: seed))
      default: nil
      }
    },
    int("count", .run, \.generation.count, 1...64, default: 1, "Images per call."),
    pixels("width", \.generation.width, "Width in pixels; 0: the model's own."),
    pixels("height", \.generation.height, "Height in pixels; 0: the model's own."),
    OptionDescription(
      "eta", .float, .run, at: \.generation.eta, default: "auto", auto: true, range: 0...1,
      "Noise share of DDIM-like schedulers; auto: the scheduler's own.", convert: optionalFloat),
    int(
      "clip_skip", .run, \.generation.clipSkip, 0...64,
      "Use the text encoder's hidden states that many layers before the last."),
    OptionDescription(
      "latents", .floats, .run, at: \.generation.latents, default: "",
      "Initial noise (count, channels, height, width) instead of drawing it."
    ) { (value: OptionValue?) -> Tensor?? in
      if case .floats(let tensor) = value { .some(tensor) } else { nil }
    },
    bool("decode", .run, \.generation.decode, default: true, "false: stop at the latents."),
    bool("profile", .openAndRun, \.generation.profile, "Times per operator in the report."),
    specification(
      "skip", \.generation.skip,
      "Steps without a network call, NAME[:key=value,…] or JSON; empty: none. Rules: "
        + SkipRuleTable.entries.map(\.name).joined(separator: ", ") + ".", SkipSettings.init),
    specification(
      "cache", \.generation.cache,
      "Features kept between network calls, deepcache[:key=value,…] or JSON; empty: none.", FeatureCacheSettings.init),
    OptionDescription(
      "quality", .float, .run, at: \.generation.quality, default: "auto", auto: true, range: 0...200,
      "Least PSNR in dB against the full run, by the calibration in adaptive.json; auto: no calibration is used.",
      convert: optionalFloat),
    OptionDescription(
      "policy_quality", .float, .run, at: \.generation.policyQuality, default: "auto", auto: true, range: 0...1,
      "Where the learned policy decides: 0 fewest steps, 0.5 as trained, 1 most; auto: as trained.",
      convert: optionalFloat),
    float(
      "deadline_ms", .run, \.generation.deadlineMilliseconds, 0...86_400_000,
      "Milliseconds for the whole run: the policy takes no more steps than this machine's speed allows; 0: none."),
    OptionDescription(
      "vae_tiling", .int, .run, at: \.generation.vaeTiling, default: "0", bounds: 0...4096,
      "Decode in blended tiles of so many latent pixels (8 or more), with less memory; 0: whole pictures."
    ) { value in
      guard case .int(let size) = value else { return nil }
      guard size == 0 || size >= 8 else {
        throw Failure(.outOfRange, "option 'vae_tiling'", expected: "0, or 8 to 4096", actual: "\(size)")
      }
      return size
    },
  ]

  // MARK: Kinds of lines

  typealias Path<Value> = WritableKeyPath<NamedOptions, Value> & Sendable

  static func int(
    _ name: String, _ scope: OptionDescription.Scope, _ path: Path<Int>, _ bounds: ClosedRange<Int>, default: Int = 0,
    _ documentation: String
  ) -> OptionDescription {
    OptionDescription(name, .int, scope, at: path, default: "\(`default`)", bounds: bounds, documentation) { value in
      if case .int(let number) = value { number } else { nil }
    }
  }

  private static func names(_ name: String, _ path: Path<[String]>, _ documentation: String) -> OptionDescription {
    OptionDescription(name, .string, .open, at: path, default: "", documentation) { value in
      guard case .text(let text) = value else { return nil }
      return text.split(separator: ",").map(String.init)
    }
  }

  private static func pixels(_ name: String, _ path: Path<Int?>, _ documentation: String) -> OptionDescription {
    OptionDescription(name, .int, .run, at: path, default: "0", bounds: 0...16384, documentation) {
      (value: OptionValue?) -> Int?? in
      if case .int(let number) = value { .some(number == 0 ? nil : number) } else { nil }
    }
  }

  static func float(
    _ name: String, _ scope: OptionDescription.Scope, _ path: Path<Double>, _ range: ClosedRange<Double>,
    default: String = "0", _ documentation: String
  ) -> OptionDescription {
    OptionDescription(name, .float, scope, at: path, default: `default`, range: range, documentation) { value in
      if case .float(let number) = value { number } else { nil }
    }
  }

  static func bool(
    _ name: String, _ scope: OptionDescription.Scope, _ path: Path<Bool>, default: Bool = false,
    _ documentation: String
  ) -> OptionDescription {
    OptionDescription(name, .bool, scope, at: path, default: "\(`default`)", documentation) { value in
      if case .bool(let flag) = value { flag } else { nil }
    }
  }

  static func string(
    _ name: String, _ scope: OptionDescription.Scope, _ path: Path<String>, default: String, choices: [String] = [],
    _ documentation: String
  ) -> OptionDescription {
    OptionDescription(name, .string, scope, at: path, default: `default`, choices: choices, documentation) { value in
      if case .text(let text) = value { text } else { nil }
    }
  }

  /// A string option whose texts are the cases of an enum.
  static func choice<Value: RawRepresentable<String> & CaseIterable & Sendable>(
    _ name: String, _ scope: OptionDescription.Scope, _ path: Path<Value>, _ documentation: String
  ) -> OptionDescription {
    OptionDescription(
      name, .string, scope, at: path, default: NamedOptions()[keyPath: path].rawValue,
      choices: Value.allCases.map(\.rawValue), documentation
    ) { value in
      if case .text(let text) = value { Value(rawValue: text) } else { nil }
    }
  }

  /// A string option in which the empty text means nil.
  private static func name(
    _ name: String, _ scope: OptionDescription.Scope, _ path: Path<String?>, choices: [String], _ documentation: String
  ) -> OptionDescription {
    OptionDescription(name, .string, scope, at: path, default: "", choices: [""] + choices, documentation) {
      (value: OptionValue?) -> String?? in
      if case .text(let text) = value { .some(text.isEmpty ? nil : text) } else { nil }
    }
  }

  /// A text that a parser turns into a setting; empty: none.
  private static func specification<Setting: Sendable>(
    _ name: String, _ path: Path<Setting?>, _ documentation: String,
    _ parse: @escaping @Sendable (String) throws(Failure) -> Setting
  ) -> OptionDescription {
    OptionDescription(name, .string, .run, at: path, default: "", documentation) {
      (value: OptionValue?) throws -> Setting?? in
      guard case .text(let text) = value else { return nil }
      return .some(text.isEmpty ? nil : try parse(text))
    }
  }

  private static let optionalFloat: @Sendable (OptionValue?) -> Double?? = { value in
    switch value {
    case nil: .some(nil)
    case .float(let number): .some(number)
    default: nil
    }
  }
}
