import Support

/// Everything a rule may know of a run before it starts.
public struct SkipContext: Sendable {
  public var calls: Int
  public var schedulerClass: String
  /// Whether the scheduler's state can be corrected afterwards.
  public var allowsCorrection: Bool
  public var hasFeatureCache: Bool
  public var images: Int

  public init(calls: Int, schedulerClass: String, allowsCorrection: Bool, hasFeatureCache: Bool, images: Int) {
    self.calls = calls
    self.schedulerClass = schedulerClass
    self.allowsCorrection = allowsCorrection
    self.hasFeatureCache = hasFeatureCache
    self.images = images
  }
}

/// A rule that `skip` can name.
public struct SkipRuleEntry: Specifiable {
  public let name: String
  public let summary: String
  public let parameters: [Parameter]
  let make: @Sendable (Specification, SkipContext) throws(Failure) -> any SkipRule
}

/// Where the polynomial's nodes lie.
public enum SkipAxis: String, Sendable, CaseIterable {
  case logSNR = "logsnr"
  case timestep
  case sigma
}

/// A checked rule with its settings, before a run.
public struct SkipSettings: Sendable, Equatable {
  public let specification: Specification

  /// Throws `.unknownName` and the like; see ``Specification``.
  public init(_ text: String) throws(Failure) {
    specification = try Specification(text, table: SkipRuleTable.entries, what: "skip rule")
    if specification.name == "fixed-mask" { _ = try SkipMask(specification.text("mask")) }
  }

  public static func == (a: SkipSettings, b: SkipSettings) -> Bool { a.specification == b.specification }

  public var name: String { specification.name }
  public var text: String { specification.text }
  public var isPerImage: Bool { specification.flag("per_image") }
  /// Whether latents that grow with sigma are measured at unit variance.
  public var rescales: Bool { specification.flag("rescale") }
  public var protectedCalls: Int { specification.integer("protect_last") }
  public var axis: SkipAxis { SkipAxis(rawValue: specification.text("in")) ?? .logSNR }

  /// Whether the solver's state is corrected when a network call shows how wrong the skipped outputs were.
  public func corrects(_ context: SkipContext) -> Bool {
    switch specification.text("correct") {
    case "true": true
    case "auto": context.allowsCorrection
    default: false
    }
  }

  /// Throws `.unsupported` where the rule needs what the run lacks.
  public func makeRule(_ context: SkipContext) throws(Failure) -> any SkipRule {
    guard let entry = SkipRuleTable.entries.first(where: { $0.name == name }) else {
      throw Failure(.internalError, "no entry for skip rule '\(name)'")
    }
    if specification.text("correct") == "true", !context.allowsCorrection {
      throw Failure(
        .unsupported, "skip rule '\(name)': correct=true needs a scheduler whose state is its history of outputs",
        component: "skip", expected: SkipRuleTable.correctableSchedulers, actual: context.schedulerClass)
    }
    let wantsPartial =
      specification.number("partial_delta") > 0 || specification.text("mask").contains { "Pp".contains($0) }
    if wantsPartial, !context.hasFeatureCache {
      throw Failure(
        .invalidArgument, "skip rule '\(name)' asks for partial steps, which need a feature cache", component: "skip",
        expected: "cache=deepcache", actual: "no cache")
    }
    if isPerImage, context.hasFeatureCache {
      throw Failure(
        .unsupported, "per_image=true cannot be combined with a feature cache", component: "skip",
        expected: "per_image=false")
    }
    return try entry.make(specification, context)
  }
}

/// One line per rule.
public enum SkipRuleTable {
  public static let correctableSchedulers =
    "DDIM, Euler, Euler ancestral, DDPM, DPM-Solver multistep or flow-matching Euler, without clipping"

  private static func prediction(order: Int, of quantity: String = "epsilon", correct: String) -> [Parameter] {
    [
      Parameter(
        "order", .integer(0...3), default: "\(order)",
        "Degree of the polynomial through earlier outputs that skipped steps take; 0 repeats the last output."),
      Parameter(
        "of", .choice(SkipQuantity.allCases.map(\.rawValue)), default: quantity,
        "The quantity that is repeated or extrapolated."),
      Parameter(
        "in", .choice(SkipAxis.allCases.map(\.rawValue)), default: "logsnr", "The variable of the polynomial."),
      Parameter(
        "correct", .choice(["true", "false", "auto"]), default: correct,
        "Move latents and solver state to what the newest output shows to have been right; auto: where possible."),
    ]
  }

  private static let common: [Parameter] = [
    Parameter("protect_last", .integer(0...1000), default: "0", "Calls at the end that always run."),
    Parameter("per_image", .flag, default: "false", "Decide for every image of a batch by itself."),
    Parameter("rescale", .flag, default: "false", "Measure sigma-space latents at unit variance."),
  ]

  private static func window(start: String, end: String) -> [Parameter] {
    [
      Parameter("start", .number(0...1), default: start, "Share of the schedule before which every call runs."),
      Parameter("end", .number(0...1), default: end, "Share of the schedule after which every call runs."),
    ]
  }

  private static func thirdOrder(delta: String) -> [Parameter] {
    [
      Parameter("delta", .number(0...100), default: delta, "Relative threshold of the third difference."),
      Parameter("max_skip", .integer(0...1000), default: "4", "Most skips in a row."),
      Parameter("warmup", .integer(4...1000), default: "4", "Calls at the start that always run."),
      Parameter(
        "cap", .choice(["authors", "correct"]), default: "authors",
        "authors: as their code, which lets five skips pass at first; correct: never more than max_skip."),
      Parameter(
        "partial_delta", .number(0...100), default: "0",
        "Threshold up to which a part of the network runs (needs a feature cache); 0: never."),
    ] + prediction(order: 0, correct: "false") + common
  }

  public static let entries: [SkipRuleEntry] = [
    SkipRuleEntry(
      name: "third-order", summary: "AdaptiveDiffusion as its authors ship it.", parameters: thirdOrder(delta: "0.01")
    ) { specification, _ in ThirdOrderRule(specification, vector: false) },
    SkipRuleEntry(
      name: "third-order-vector", summary: "AdaptiveDiffusion by the paper's formula.",
      parameters: thirdOrder(delta: "0.05")
    ) { specification, _ in ThirdOrderRule(specification, vector: true) },
    SkipRuleEntry(
      name: "fixed-mask", summary: "Replays a mask: R run, S reuse, E extrapolate, P partial, 0 skip.",
      parameters: [
        Parameter("mask", .text, default: "", "One letter per network call."),
        Parameter("resample", .flag, default: "false", "Stretch the mask to the schedule's length."),
      ] + prediction(order: 1, correct: "auto") + common
    ) { specification, context throws(Failure) in try FixedMaskRule(specification, calls: context.calls) },
    SkipRuleEntry(
      name: "every", summary: "The network runs at every n-th call.",
      parameters: [Parameter("n", .integer(1...1000), default: "2", "Interval of network calls.")]
        + prediction(order: 1, correct: "auto") + common
    ) { specification, _ in EveryRule(specification) },
    SkipRuleEntry(
      name: "zeus", summary: "ZEUS: two of three calls extrapolated inside a window.",
      parameters: window(start: "0.2", end: "0.9")
        + [Parameter("period", .integer(2...100), default: "3", "One call in so many runs.")] + common
    ) { specification, context in ZeusRule(specification, calls: context.calls) },
    SkipRuleEntry(
      name: "easycache", summary: "EasyCache: accumulated estimate of the output's change.",
      parameters: [Parameter("threshold", .number(0...100), default: "0.05", "Sum at which the network runs.")]
        + window(start: "0.15", end: "0.95") + common
    ) { specification, context in EasyCacheRule(specification, calls: context.calls) },
    SkipRuleEntry(
      name: "ucache", summary: "UCache of stable-diffusion.cpp.",
      parameters: [Parameter("threshold", .number(0...100), default: "1", "Sum at which the network runs.")]
        + window(start: "0.15", end: "0.95") + common
    ) { specification, context in UCacheRule(specification, calls: context.calls) },
    SkipRuleEntry(
      name: "sada", summary: "SADA's step skipping: a stability criterion, then a cubic through clean latents.",
      parameters: window(start: "0.2", end: "0.94") + [
        Parameter("lagrange", .number(0...1), default: "0.48", "Share of the schedule from which the cubic predicts."),
        Parameter("max_interval", .integer(2...100), default: "4", "Largest distance of network calls."),
      ] + common
    ) { specification, context in SADARule(specification, calls: context.calls) },
    SkipRuleEntry(
      name: "step-control", summary: "Distance to the next network call by the error that the last one revealed.",
      parameters: [
        Parameter(
          "controller", .choice(["pid", "embedded", "third-order"]), default: "pid", "What turns errors into lengths."),
        Parameter("tolerance", .number(1e-9...1e3), default: "0.01", "Error per network call that is aimed at."),
        Parameter("budget", .integer(0...1000), default: "0", "Most network calls; 0: as many as the schedule has."),
        Parameter("max_skip", .integer(0...1000), default: "6", "Most skips in a row."),
        Parameter("warmup", .integer(1...1000), default: "3", "Calls at the start that always run."),
      ] + prediction(order: 1, correct: "auto")
        + common.map {
          $0.name == "protect_last" ? Parameter("protect_last", $0.kind, default: "1", $0.documentation) : $0
        }
    ) { specification, context throws(Failure) in
      let budget = specification.integer("budget")
      guard budget == 0 || budget > specification.integer("protect_last") else {
        throw Failure(
          .outOfRange, "skip rule 'step-control': the budget is used up by protected calls", component: "skip",
          expected: "more than \(specification.integer("protect_last"))", actual: "\(budget)")
      }
      return StepControlRule(specification, calls: context.calls)
    },
  ]
}
