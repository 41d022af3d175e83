import Adaptive
import CAdaDiff
import Graph
import Pipelines
import Support
import Training

@c @implementation
public func adadiff_policy_decide(
  _ pipeline: OpaquePointer?, _ prompt: UnsafePointer<CChar>?, _ options: OpaquePointer?, _ decision: HandleSlot?,
  _ error: HandleSlot?
) -> adadiff_status {
  made(decision, error, named: "decision") {
    let object = try object(pipeline, "pipeline", as: PipelineObject.self)
    let options = try optionsObject(options)
    let decision = try object.pipeline.decide(
      text(prompt, "prompt"), options: options.named.generation, callbacks: RunCallbacks(options))
    return TensorsObject(
      [], report: JSON.object(["steps": JSON(decision.steps), "policy": decision.json]).text)
  }
}

@c @implementation
public func adadiff_policy_collect(
  _ pipeline: OpaquePointer?, _ prompts_path: UnsafePointer<CChar>?, _ table_path: UnsafePointer<CChar>?,
  _ options: OpaquePointer?, _ summary: HandleSlot?, _ error: HandleSlot?
) -> adadiff_status {
  made(summary, error, named: "summary") {
    let object = try object(pipeline, "pipeline", as: PipelineObject.self)
    let options = try optionsObject(options)
    let collection = try RewardCollection(
      pipeline: object.pipeline, promptsFile: text(prompts_path, "prompts_path"),
      tableFile: text(table_path, "table_path"), options: options.named, host: hostScorer(options))
    return TensorsObject([], report: try collection.run(callbacks: RunCallbacks(options)).text)
  }
}

@c @implementation
public func adadiff_policy_train(
  _ pipeline: OpaquePointer?, _ table_path: UnsafePointer<CChar>?, _ output_folder: UnsafePointer<CChar>?,
  _ options: OpaquePointer?, _ summary: HandleSlot?, _ error: HandleSlot?
) -> adadiff_status {
  made(summary, error, named: "summary") {
    let object = try object(pipeline, "pipeline", as: PipelineObject.self)
    let options = try optionsObject(options)
    let report = try PolicyWork.train(
      pipeline: object.pipeline, tableFile: text(table_path, "table_path"),
      outputFolder: text(output_folder, "output_folder"), options: options.named, callbacks: RunCallbacks(options))
    return TensorsObject([], report: report.text)
  }
}

@c @implementation
public func adadiff_policy_evaluate(
  _ pipeline: OpaquePointer?, _ table_path: UnsafePointer<CChar>?, _ options: OpaquePointer?, _ summary: HandleSlot?,
  _ error: HandleSlot?
) -> adadiff_status {
  made(summary, error, named: "summary") {
    let object = try object(pipeline, "pipeline", as: PipelineObject.self)
    let options = try optionsObject(options)
    let report = try PolicyWork.evaluate(
      pipeline: object.pipeline, tableFile: text(table_path, "table_path"), options: options.named,
      callbacks: RunCallbacks(options))
    return TensorsObject([], report: report.text)
  }
}

@c @implementation
public func adadiff_pipeline_score(
  _ pipeline: OpaquePointer?, _ prompt: UnsafePointer<CChar>?, _ pixels: UnsafePointer<UInt8>?, _ width: Int32,
  _ height: Int32, _ options: OpaquePointer?, _ scores: HandleSlot?, _ error: HandleSlot?
) -> adadiff_status {
  made(scores, error, named: "scores") {
    let object = try object(pipeline, "pipeline", as: PipelineObject.self)
    let options = try optionsObject(options)
    guard let pixels else { throw Failure(.invalidArgument, "argument 'pixels' is NULL") }
    guard (1...16384).contains(width), (1...16384).contains(height) else {
      throw Failure(.outOfRange, "the picture's size", expected: "1…16384", actual: "\(width) × \(height)")
    }
    let image = try Tensor(type: .uint8, shape: [Int(height), Int(width), 3])
    image.bytes.copyMemory(from: UnsafeRawBufferPointer(start: pixels, count: image.bytes.count))
    let prompt = try text(prompt, "prompt")
    let scorers = try PictureScorers(
      options.named.policyWork.scorers, pipeline: object.pipeline, host: hostScorer(options))
    let values = try scorers.scores(
      ScoredPicture(prompt: prompt, steps: 0, seed: 0, image: image), callbacks: RunCallbacks(options))
    return TensorsObject(
      [],
      report: JSON.object([
        "scores": .object(
          Dictionary(zip(scorers.names, values.map { JSON($0) }), uniquingKeysWith: { first, _ in first }))
      ]).text)
  }
}

/// The host's callback as a scorer; nil where it set none.
private func hostScorer(_ options: OptionsObject) -> HostScore? {
  guard let (callback, user) = options.scorer else { return nil }
  return { picture in
    try picture.prompt.withCString { prompt in
      var scoring = adadiff_scoring()
      scoring.struct_size = MemoryLayout<adadiff_scoring>.size
      scoring.prompt = prompt
      scoring.steps = Int64(picture.steps)
      scoring.seed = Int64(picture.seed)
      scoring.height = Int32(clamping: picture.image.shape[0])
      scoring.width = Int32(clamping: picture.image.shape[1])
      scoring.channels = 3
      scoring.pixels = UnsafePointer(picture.image.pointer(UInt8.self))
      scoring.score = .nan
      let answer = withExtendedLifetime(picture) { callback(&scoring, user) }
      if answer > 0 { throw Failure(.cancelled, "the score callback asked to stop") }
      if answer < 0 { throw Failure(.callback, "the score callback reported failure \(answer)") }
      return scoring.score
    }
  }
}
