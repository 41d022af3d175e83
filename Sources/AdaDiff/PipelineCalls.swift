import CAdaDiff
import Pipelines
import Support

/// A pipeline behind its handle.
final class PipelineObject: Sendable {
  let pipeline: StableDiffusionPipeline
  let information: CText

  init(_ pipeline: StableDiffusionPipeline) {
    self.pipeline = pipeline
    information = CText(pipeline.information.text)
  }
}

/// A session behind its handle.
final class SessionObject: Sendable {
  let session: Session
  init(_ session: Session) { self.session = session }
}

@c @implementation
public func adadiff_pipeline_open(
  _ path: UnsafePointer<CChar>?, _ options: OpaquePointer?, _ pipeline: HandleSlot?, _ error: HandleSlot?
) -> adadiff_status {
  made(pipeline, error, named: "pipeline") {
    let options = try optionsObject(options)
    return PipelineObject(
      try StableDiffusionPipeline(
        path: text(path, "path"), options: options.named.pipeline, callbacks: RunCallbacks(options)))
  }
}

@c @implementation
public func adadiff_pipeline_free(_ pipeline: OpaquePointer?) {
  HandleTable.shared.remove(pipeline, as: PipelineObject.self)
}

@c @implementation
public func adadiff_pipeline_info(_ pipeline: OpaquePointer?) -> UnsafePointer<CChar>? {
  HandleTable.shared.find(pipeline, as: PipelineObject.self)?.information.pointer
}

@c @implementation
public func adadiff_pipeline_tokenize(
  _ pipeline: OpaquePointer?, _ text: UnsafePointer<CChar>?, _ tensors: HandleSlot?, _ error: HandleSlot?
) -> adadiff_status {
  made(tensors, error, named: "tensors") {
    let object = try object(pipeline, "pipeline", as: PipelineObject.self)
    return TensorsObject(
      try object.pipeline.tokenize(AdaDiff.text(text, "text")), report: "{}")
  }
}

@c @implementation
public func adadiff_session_new(
  _ pipeline: OpaquePointer?, _ session: HandleSlot?, _ error: HandleSlot?
) -> adadiff_status {
  made(session, error, named: "session") {
    SessionObject(Session(pipeline: try object(pipeline, "pipeline", as: PipelineObject.self).pipeline))
  }
}

@c @implementation
public func adadiff_session_free(_ session: OpaquePointer?) {
  HandleTable.shared.remove(session, as: SessionObject.self)
}

@c @implementation
public func adadiff_session_generate(
  _ session: OpaquePointer?, _ prompt: UnsafePointer<CChar>?, _ options: OpaquePointer?, _ result: HandleSlot?,
  _ error: HandleSlot?
) -> adadiff_status {
  made(result, error, named: "result") {
    let object = try object(session, "session", as: SessionObject.self)
    let options = try optionsObject(options)
    return ResultObject(
      try object.session.generate(
        prompt: text(prompt, "prompt"), options: options.named.generation, callbacks: RunCallbacks(options)))
  }
}
