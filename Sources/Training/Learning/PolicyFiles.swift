import Adaptive
import Glibc
import Support

/// What a policy folder says about how its policy came to be.
public struct PolicyProvenance: Sendable {
  public var name: String
  public var scheduler: String?
  public var guidanceScale: Double?
  public var guidanceStart: Double?
  public var guidanceStop: Double?
  public var rule: RewardRule
  public var table: String
  /// Captions for the n-gram table of the policy `perplexity`.
  public var captions: [String]

  public init(
    name: String, scheduler: String?, guidanceScale: Double?, guidanceStart: Double?, guidanceStop: Double?,
    rule: RewardRule, table: String, captions: [String]
  ) {
    self.name = name
    self.scheduler = scheduler
    self.guidanceScale = guidanceScale
    self.guidanceStart = guidanceStart
    self.guidanceStop = guidanceStop
    self.rule = rule
    self.table = table
    self.captions = captions
  }
}

/// Writes what a pipeline folder's `policy/` holds.
public enum PolicyFiles {
  /// `policy.onnx`, `policy.json`, `ngram.json` and `training.jsonl`, in this order: a folder with a new `policy.json` is
  /// complete. Returns the contents of `policy.json`.
  @discardableResult
  public static func write(
    _ trainer: PolicyTrainer, features: FeatureCache, to folder: String, provenance: PolicyProvenance
  ) throws -> JSON {
    try makeFolder(folder)
    let all = try trainer.logits(Array(0..<features.prompts))
    let curve = QualityCalibration.curve(logits: all, stepSet: trainer.stepSet)
    var histogram = [Double](repeating: 0, count: trainer.stepSet.count)
    for row in all {
      histogram[QualityCalibration.choice(row, trainer.stepSet, shift: 0)] += 1 / Double(all.count)
    }
    let chosen = trainer.records.first { $0.epoch == trainer.chosenEpoch }
    var training: [String: JSON] = [
      "reward": provenance.rule.json, "options": trainer.options.json, "network": trainer.network.shape.json,
      "parameters": JSON(trainer.network.layout.count), "table": JSON(provenance.table),
      "prompts": JSON(trainer.trainingPrompts.count), "held_out_prompts": JSON(trainer.heldOutPrompts.count),
      "epochs": JSON(trainer.records.count), "chosen_epoch": JSON(trainer.chosenEpoch),
      "histogram": .array(histogram.map { JSON($0) }),
    ]
    if let chosen { training["chosen"] = chosen.json }
    var description: [String: JSON] = [
      "format": JSON(LearnedStepPolicy.format), "name": JSON(provenance.name),
      "step_set": .array(trainer.stepSet.map { JSON($0) }), "policy": "policy.onnx",
      "text_encoder": .object([
        "hidden_size": JSON(features.width), "fingerprint": .array(features.fingerprint.map { JSON(Double($0)) }),
      ]),
      "quality_curve": curve.json, "training": .object(training),
    ]
    if let scheduler = provenance.scheduler { description["scheduler"] = JSON(scheduler) }
    if let scale = provenance.guidanceScale { description["guidance_scale"] = JSON(scale) }
    if let start = provenance.guidanceStart { description["guidance_start"] = JSON(start) }
    if let stop = provenance.guidanceStop { description["guidance_stop"] = JSON(stop) }
    let json = JSON.object(description)
    try WholeFile.write(OnnxExport.bytes(trainer.network), to: folder + "/policy.onnx")
    // Captions without a single word have no n-grams; the policy `perplexity` then has no table.
    if let table = try? NGramTable(captions: provenance.captions) {
      try WholeFile.write(table.json.text + "\n", to: folder + "/ngram.json")
    }
    try WholeFile.write(
      trainer.records.map { $0.json.text + "\n" }.joined(), to: folder + "/training.jsonl")
    try WholeFile.write(json.text + "\n", to: folder + "/policy.json")
    return json
  }

  /// Makes `folder` where it does not exist; its parent must.
  public static func makeFolder(_ folder: String) throws(Failure) {
    guard mkdir(folder, 0o777) == 0 || errno == EEXIST else { throw WholeFile.failure(folder, errno) }
  }
}
