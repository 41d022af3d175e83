import Glibc
import Graph
import Pipelines
import Runtime
import Support

/// A reward model as ONNX: `pixel_values` float32 (1, 3, height, width), and where the graph has them `input_ids` and
/// `attention_mask` int64 (1, length), to one number.
///
/// `reward.json` beside `model.onnx` says how pictures and prompts are prepared; without it pixels are −1…1 at their own
/// size and prompts are the pipeline's tokens. For ImageReward:
///
///     {"image": {"size": 224, "mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]},
///      "tokenizer": "vocab.txt", "max_length": 35, "score_mean": 0.16717362830052426, "score_std": 1.0333394966054072}
struct RewardModel: PictureScorer {
  private let model: Model
  private let pool: ThreadPool
  private let preprocessor: PicturePreprocessor
  private let tokenize: (String) throws -> (ids: [Int], mask: [Int])
  private let outputName: String
  private let (mean, deviation): (Double, Double)

  init(folder: String, pipeline: StableDiffusionPipeline) throws {
    let file = folder + "/model.onnx"
    pool = pipeline.threadPool
    do {
      model = try Model(path: file, options: ModelOptions(pool: pool))
      let names = model.inputs.map(\.name)
      guard names.contains("pixel_values"),
        names.allSatisfy({ ["pixel_values", "input_ids", "attention_mask"].contains($0) }),
        let output = model.outputs.first(where: { $0.name == "reward" }) ?? model.outputs.first
      else {
        throw Failure(
          .unsupported, "not a reward model: its inputs are \(names)",
          expected: "pixel_values, and optionally input_ids and attention_mask")
      }
      outputName = output.name
    } catch let failure as Failure {
      throw failure.adding(component: "reward", file: file)
    }
    let settings = folder + "/reward.json"
    let json = access(settings, F_OK) == 0 ? try JSON.parse(file: settings) : .object([:])
    preprocessor =
      try json["image"].map { json throws(Failure) in
        try PicturePreprocessor(json: json, default: .clip, file: settings)
      } ?? .plain
    (mean, deviation) = (json["score_mean"]?.double ?? 0, json["score_std"]?.double ?? 1)
    guard mean.isFinite, deviation.isFinite, deviation > 0 else {
      throw Failure(.corrupt, "'score_std' must be positive", component: "reward", file: settings)
    }
    if let vocabulary = json["tokenizer"]?.string {
      guard !vocabulary.contains("/") else {
        throw Failure(.corrupt, "'tokenizer' must be a file in the reward folder", component: "reward", file: settings)
      }
      let words = try WordPieceTokenizer(vocabularyFile: "\(folder)/\(vocabulary)")
      let length = json["max_length"]?.int ?? 35
      guard (2...4096).contains(length) else {
        throw Failure(.outOfRange, "'max_length'", component: "reward", file: settings, expected: "2…4096")
      }
      tokenize = { words.encode($0, length: length) }
    } else {
      tokenize = { prompt in
        let tensors = try pipeline.tokenize(prompt)
        func values(_ name: String) -> [Int] {
          tensors.first { $0.name == name }.map { entry in
            withExtendedLifetime(entry.tensor) { entry.tensor.buffer(Int64.self).map { Int($0) } }
          } ?? []
        }
        return (values("input_ids"), values("attention_mask"))
      }
    }
  }

  func score(_ picture: ScoredPicture, checkCancelled: @escaping () throws -> Void) throws -> Double {
    var feeds = ["pixel_values": try preprocessor.apply(picture.image)]
    if model.inputs.contains(where: { $0.name != "pixel_values" }) {
      let (ids, mask) = try tokenize(picture.prompt)
      for (name, values) in [("input_ids", ids), ("attention_mask", mask)]
      where model.inputs.contains(where: { $0.name == name }) {
        feeds[name] = try Tensor(type: .int64, shape: [1, values.count], values: values.map(Int64.init))
      }
    }
    do {
      let results = try model.run(
        feeds, outputs: [outputName], options: RunOptions(pool: pool, checkCancelled: checkCancelled))
      guard let reward = results[outputName], reward.type == .float32, reward.count == 1 else {
        throw Failure(
          .shapeMismatch, "a reward model must give one number", expected: "float32 (1)",
          actual: results[outputName].map { "\($0.type.name) \($0.shape)" } ?? "nothing")
      }
      return withExtendedLifetime(reward) { (Double(reward.buffer(Float.self)[0]) - mean) / deviation }
    } catch let failure as Failure {
      throw failure.adding(component: "reward")
    }
  }
}
