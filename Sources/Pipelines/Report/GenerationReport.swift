import Adaptive
import Graph
import Runtime
import Support

/// What one network call of the sampling loop did.
public struct StepRecord: Sendable {
  public var timestep: Double
  public var action: StepAction
  public var reason: String
  public var milliseconds: Double
  /// Whether guidance was on, so that the network predicted twice.
  public var isGuided: Bool
  /// What each image did, where the images of a run decided by themselves; else empty.
  public var imageActions: [StepAction] = []
}

extension StepDecision {
  /// `{"name", "reason", "choices", "probabilities", "facts"}`
  public var json: JSON {
    .object([
      "name": JSON(policy),
      "reason": JSON(reason),
      "choices": .array(choices.map { JSON($0) }),
      "probabilities": .array(probabilities.map { JSON($0) }),
      "facts": .object(facts.mapValues { JSON($0) }),
    ])
  }
}

/// What a run did and how long it took. `docs/abi.md` lists the keys of its JSON.
public struct GenerationReport: Sendable {
  public var seed: UInt64
  public var scheduler: String
  public var precision: Precision
  public var width: Int
  public var height: Int
  /// The skip rule and the feature cache of the run, as options take them.
  public var skip: String?
  public var cache: String?
  public var count: Int
  public var guidanceScale: Double
  /// Shares of the noise schedule, 0…1.
  public var guidanceStart: Double
  public var guidanceStop: Double
  /// Tokens of the prompt with start and end, and how many the model sees.
  public var promptTokens: Int
  public var promptWindow: Int
  public var decision: StepDecision
  public var steps: [StepRecord]
  public var stageMilliseconds: [Stage: Double]
  public var totalMilliseconds: Double
  public var warnings: [String]
  /// Times per operator, where the run was profiled.
  public var operators: JSON?

  /// Calls in which the network ran.
  public var networkCalls: Int { steps.count { $0.action == .run } }

  /// Calls in which the network's outer part ran on a kept feature.
  public var partialCalls: Int { steps.count { $0.action == .partial } }

  /// Predictions that the network made per image, two at a guided call.
  public var predictions: Int { steps.reduce(0) { $0 + ($1.action != .run ? 0 : $1.isGuided ? 2 : 1) } }
  /// The same of the network's outer part.
  public var partialPredictions: Int { steps.reduce(0) { $0 + ($1.action != .partial ? 0 : $1.isGuided ? 2 : 1) } }

  /// One letter per call; the rule `fixed-mask` replays it.
  public var mask: String { SkipMask(steps.map(\.action)).text }

  public var json: JSON {
    var members: [String: JSON] = [
      "version": JSON(Build.version),
      // Beyond 2^53 a JSON number would lose digits.
      "seed": seed < 1 << 53 ? JSON(Int(seed)) : JSON("\(seed)"),
      "scheduler": JSON(scheduler),
      "precision": JSON(precision.rawValue),
      "width": JSON(width),
      "height": JSON(height),
      "count": JSON(count),
      "guidance_scale": JSON(guidanceScale),
      "guidance_start": JSON(guidanceStart),
      "guidance_stop": JSON(guidanceStop),
      "prompt_tokens": JSON(promptTokens),
      "prompt_window": JSON(promptWindow),
      "prompt_truncated": .bool(promptTokens > promptWindow),
      "steps_planned": JSON(decision.steps),
      "steps_run": JSON(steps.count),
      "network_calls": JSON(networkCalls),
      "predictions": JSON(predictions),
      "partial_calls": JSON(partialCalls),
      "mask": JSON(mask),
      "skip": skip.map { JSON($0) } ?? .null,
      "cache": cache.map { JSON($0) } ?? .null,
      "policy": decision.json,
      "steps": .array(
        steps.map { step in
          var members: [String: JSON] = [
            "timestep": JSON(step.timestep), "action": JSON(step.action.name), "reason": JSON(step.reason),
            "ms": JSON(step.milliseconds), "guided": .bool(step.isGuided),
          ]
          if !step.imageActions.isEmpty { members["image_actions"] = .array(step.imageActions.map { JSON($0.name) }) }
          return .object(members)
        }),
      "stages_ms": .object(
        Dictionary(stageMilliseconds.map { ($0.key.name, JSON($0.value)) }, uniquingKeysWith: { first, _ in first })),
      "total_ms": JSON(totalMilliseconds),
      "warnings": .array(warnings.map { JSON($0) }),
    ]
    if let operators { members["operators"] = operators }
    return .object(members)
  }

  /// `[{"operator", "kernel", "ms", "runs", "gflop", "mbytes"}]`, slowest first: an operator has one entry per kernel;
  /// `gflop` counts two operations per multiply-accumulate of the definition, `mbytes` the activations read and written.
  public static func operators(_ profiler: Profiler) -> JSON { .array(profiler.byOperator.map(profile)) }

  /// The same by node, with its name as `node`, in the order the nodes ran.
  public static func nodes(_ profiler: Profiler) -> JSON { .array(profiler.byNode.map(profile)) }

  private static func profile(_ total: Profiler.Total) -> JSON {
    var members: [String: JSON] = [
      "operator": JSON(total.operatorType), "ms": JSON(total.seconds * 1e3), "runs": JSON(total.runs),
      "gflop": JSON(2e-9 * Double(total.multiplyAccumulates)), "mbytes": JSON(1e-6 * Double(total.byteCount)),
    ]
    if let kernel = total.kernel { members["kernel"] = JSON(kernel) }
    if let node = total.node { members["node"] = JSON(node) }
    return .object(members)
  }
}

/// Pictures, latents and report of one run.
public struct GenerationResult: Sendable {
  /// uint8 (height, width, 3), one per image; empty without decoding.
  public var images: [Tensor]
  /// float32 (count, channels, height, width), final, before the decoder's scaling.
  public var latents: Tensor
  public var report: GenerationReport
}
