import Adaptive
import Foundation
import Schedulers
import Support
import Testing

@testable import Pipelines

/// Trajectories and decisions of plain implementations; see `Tests/Fixtures/skip/make_skip.py`.
private struct RecordedCase: Decodable, Sendable {
  var latents: [[Float]]
  var outputs: [[Float]]
  var decisions: [String: String]

  static let all: [RecordedCase] = {
    struct File: Decodable { var cases: [RecordedCase] }
    let url = URL(fileURLWithPath: "\(Fixtures.tests)/Fixtures/skip/decisions.json")
    return (try? JSONDecoder().decode(File.self, from: Data(contentsOf: url)).cases) ?? []
  }()

  static let rules = all.first?.decisions.keys.sorted() ?? []
}

/// Stable Diffusion's noise schedule.
func stableDiffusionSchedule(_ prediction: String = "epsilon", extra: [String: JSON] = [:]) throws
  -> SchedulerConfiguration
{
  var configuration = try SchedulerConfiguration(
    json: .object([
      "_class_name": "DDIMScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012,
      "clip_sample": false, "set_alpha_to_one": false, "steps_offset": 1, "prediction_type": .string(prediction),
    ]))
  for (key, value) in extra { configuration[key] = value }
  return configuration
}

@Suite struct SkipDecisionTests {
  @Test func casesAreThere() { #expect(RecordedCase.all.count == 3 && RecordedCase.rules.count > 20) }

  /// Every decision of every rule, on latents and outputs that do not depend on it.
  @Test(arguments: RecordedCase.rules)
  func decidesAsThePlainImplementation(_ rule: String) throws {
    for recorded in RecordedCase.all {
      let calls = recorded.outputs.count
      let scheduler = try SchedulerFactory.make(configuration: stableDiffusionSchedule(), steps: calls)
      let count = recorded.latents[0].count
      let context = SkipContext(
        calls: calls, schedulerClass: scheduler.className, allowsCorrection: false, hasFeatureCache: false, images: 1)
      let trajectory = try SkipTrajectory(
        settings: SkipSettings(rule), context: context, scheduler: scheduler, response: nil, offset: 0, count: count)
      var mask = ""
      for call in 0..<calls {
        var (sample, output) = (recorded.latents[call], recorded.outputs[call])
        let decision = trajectory.decide(call: call, sample: &sample)
        mask += decision.action == .run ? "R" : "-"
        if decision.action == .run {
          try trajectory.learn(call: call, sample: &sample, output: &output)
        } else {
          try trajectory.predict(decision, call: call, sample: &sample, into: &output)
        }
        trajectory.note(call: call, sample: &sample, output: &output)
        sample = recorded.latents[call + 1]
        trajectory.finish(call: call, sample: &sample)
      }
      #expect(mask == recorded.decisions[rule])
    }
  }
}
