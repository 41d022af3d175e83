import Glibc
import Graph
import Runtime
import Support
import Tokenizers

/// A causal language model as ONNX: a folder with `model.onnx` (`input_ids` int64 (1, length), optionally
/// `attention_mask` and `position_ids`, to `logits` float32 (1, length, vocabulary)) and the files of a byte-level
/// byte-pair tokenizer, GPT-2's or CLIP's. Texts longer than the tokenizer's `model_max_length` are cut.
public final class OnnxLanguageModel: LanguageModel {
  private let model: Model
  private let tokenizer: any BytePairTokenizer
  private let pool: ThreadPool?

  public init(folder: String, pool: ThreadPool?) throws {
    self.pool = pool
    do {
      tokenizer = try bytePairTokenizer(folder: folder)
      model = try Model(path: folder + "/model.onnx", options: ModelOptions(pool: pool))
      let known = ["input_ids", "attention_mask", "position_ids"]
      guard model.inputs.contains(where: { $0.name == "input_ids" }),
        model.inputs.allSatisfy({ known.contains($0.name) }), model.outputs.contains(where: { $0.name == "logits" })
      else {
        throw Failure(
          .unsupported,
          "not a language model: inputs \(model.inputs.map(\.name)), outputs \(model.outputs.map(\.name))",
          expected: "input_ids to logits")
      }
    } catch let failure as Failure {
      throw failure.adding(component: "policy", file: folder)
    }
  }

  public func perplexity(_ text: String, checkCancelled: @escaping () throws -> Void) throws -> Double {
    var ids = tokenizer.encode(text)
    if ids.count > tokenizer.maximumLength { ids.removeSubrange(tokenizer.maximumLength...) }
    let shape = [1, ids.count]
    var feeds = ["input_ids": try Tensor(type: .int64, shape: shape, values: ids.map(Int64.init))]
    for input in model.inputs where input.name != "input_ids" {
      feeds[input.name] = try Tensor(
        type: .int64, shape: shape,
        values: ids.indices.map { input.name == "attention_mask" ? 1 : Int64($0) })
    }
    let results = try model.run(
      feeds, outputs: ["logits"], options: RunOptions(pool: pool, checkCancelled: checkCancelled))
    guard let logits = results["logits"], logits.type == .float32, logits.rank == 3, logits.shape[0] == 1,
      logits.shape[1] == ids.count, ids.allSatisfy({ $0 < logits.shape[2] })
    else {
      throw Failure(
        .shapeMismatch, "the language model's logits do not fit the text", component: "policy",
        expected: "float32 (1, \(ids.count), vocabulary)",
        actual: results["logits"].map { "\($0.type.name) \($0.shape)" } ?? "nothing")
    }
    return withExtendedLifetime(logits) {
      let (values, width) = (logits.buffer(Float.self), logits.shape[2])
      var total = 0.0
      for position in 1..<max(1, ids.count) {
        let row = values[(position - 1) * width..<position * width]
        let largest = row.reduce(-Float.infinity, max)
        let sum = row.reduce(0.0) { $0 + exp(Double($1 - largest)) }
        total += log(sum) - Double(values[(position - 1) * width + ids[position]] - largest)
      }
      return exp(total / Double(max(1, ids.count - 1)))
    }
  }
}
