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
}

/// What a run did and how long it took. `docs/abi.md` lists the keys of its JSON.
public struct GenerationReport: Sendable {
  public var seed: UInt64
  public var scheduler: String
  public var width: Int
  public var height: Int
  public var count: Int
  public var guidanceScale: Double
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

  public var json: JSON {
    var members: [String: JSON] = [
      "version": JSON(Build.version),
      // Beyond 2^53 a JSON number would lose digits.
      "seed": seed < 1 << 53 ? JSON(Int(seed)) : JSON("\(seed)"),
      "scheduler": JSON(scheduler),
      "width": JSON(width),
      "height": JSON(height),
      "count": JSON(count),
      "guidance_scale": JSON(guidanceScale),
      "prompt_tokens": JSON(promptTokens),
      "prompt_window": JSON(promptWindow),
      "prompt_truncated": .bool(promptTokens > promptWindow),
      "steps_planned": JSON(decision.steps),
      "steps_run": JSON(steps.count),
      "network_calls": JSON(networkCalls),
      "policy": .object([
        "name": JSON(decision.policy),
        "reason": JSON(decision.reason),
        "choices": .array(decision.choices.map { JSON($0) }),
        "probabilities": .array(decision.probabilities.map { JSON($0) }),
      ]),
      "steps": .array(
        steps.map {
          .object([
            "timestep": JSON($0.timestep), "action": JSON($0.action.name), "reason": JSON($0.reason),
            "ms": JSON($0.milliseconds),
          ])
        }),
      "stages_ms": .object(
        Dictionary(stageMilliseconds.map { ($0.key.name, JSON($0.value)) }, uniquingKeysWith: { first, _ in first })),
      "total_ms": JSON(totalMilliseconds),
      "warnings": .array(warnings.map { JSON($0) }),
    ]
    if let operators { members["operators"] = operators }
    return .object(members)
  }

  /// `[{"operator", "ms", "runs"}]`, slowest first.
  public static func operators(_ profiler: Profiler) -> JSON {
    .array(
      profiler.byOperator.map {
        .object(["operator": JSON($0.operatorType), "ms": JSON($0.seconds * 1e3), "runs": JSON($0.runs)])
      })
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
