import Glibc
import Graph
import Runtime
import Support
import Tokenizers

/// The cosine between CLIP's embeddings of picture and prompt, not multiplied by anything.
///
/// The folder holds `vision_model.onnx` (`pixel_values` to `image_embeds`), `text_model.onnx` (`input_ids`, optionally
/// `attention_mask`, to `text_embeds`), the tokenizer's files, and `preprocessor_config.json` where it is not CLIP's usual.
struct ClipScore: PictureScorer {
  private let vision: Model
  private let text: Model
  private let tokenizer: CLIPTokenizer
  private let preprocessor: PicturePreprocessor
  private let pool: ThreadPool

  init(folder: String, pool: ThreadPool) throws {
    self.pool = pool
    do {
      vision = try Model(path: folder + "/vision_model.onnx", options: ModelOptions(pool: pool))
      text = try Model(path: folder + "/text_model.onnx", options: ModelOptions(pool: pool))
      tokenizer = try CLIPTokenizer(folder: folder)
    } catch let failure as Failure {
      throw failure.adding(component: "clip", file: folder)
    }
    let settings = folder + "/preprocessor_config.json"
    preprocessor =
      access(settings, F_OK) == 0
      ? try PicturePreprocessor(json: JSON.parse(file: settings), default: .clip, file: settings) : .clip
  }

  func score(_ picture: ScoredPicture, checkCancelled: @escaping () throws -> Void) throws -> Double {
    let options = RunOptions(pool: pool, checkCancelled: checkCancelled)
    let tokens = try tokenizer.encodePadded(picture.prompt, length: tokenizer.maximumLength)
    var feeds: [String: Tensor] = [:]
    for (name, values) in [("input_ids", tokens.ids), ("attention_mask", tokens.attentionMask)]
    where text.inputs.contains(where: { $0.name == name }) {
      feeds[name] = try Tensor(type: .int64, shape: [1, values.count], values: values.map(Int64.init))
    }
    let words = try embedding(text, feeds, "text_embeds", options)
    let pixels = try embedding(
      vision, ["pixel_values": try preprocessor.apply(picture.image)], "image_embeds", options)
    guard words.count == pixels.count else {
      throw Failure(
        .shapeMismatch, "text and picture have embeddings of different size", component: "clip",
        expected: "\(words.count)", actual: "\(pixels.count)")
    }
    func product(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
    return product(words, pixels) / (product(words, words) * product(pixels, pixels)).squareRoot()
  }

  private func embedding(
    _ model: Model, _ feeds: [String: Tensor], _ name: String, _ options: RunOptions
  ) throws -> [Double] {
    do {
      let results = try model.run(feeds, outputs: [name], options: options)
      guard let tensor = results[name], tensor.type == .float32, tensor.rank == 2, tensor.shape[0] == 1 else {
        throw Failure(.shapeMismatch, "'\(name)' is no embedding", expected: "float32 (1, size)")
      }
      return withExtendedLifetime(tensor) { tensor.buffer(Float.self).map(Double.init) }
    } catch let failure as Failure {
      throw failure.adding(component: "clip")
    }
  }
}
