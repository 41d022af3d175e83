import CAdaDiff
import Pipelines
import Support

/// Names of stages as C strings, index = stage.
private let stageNames = StaticTexts(Stage.allCases.map(\.name))

extension RunCallbacks {
  /// The host's functions as the pipeline calls them, all on the calling thread.
  init(_ options: OptionsObject) {
    self.init()
    let start = Clock.milliseconds()
    if let (callback, user) = options.progress {
      progress = { progress in
        try progress.detail.withCString { detail in
          var report = adadiff_progress()
          report.struct_size = MemoryLayout<adadiff_progress>.size
          report.stage = progress.stage.rawValue
          report.stage_name = stageNames[progress.stage.rawValue]
          report.step = Int64(progress.step)
          report.total = Int64(progress.total)
          report.detail = detail
          report.elapsed_ms = Clock.milliseconds() - start
          try check(callback(&report, user), of: "progress")
        }
      }
    }
    if let (callback, user) = options.preview {
      preview = { preview in
        guard preview.latents.shape.count == 4 else { return }
        var view = adadiff_preview()
        view.struct_size = MemoryLayout<adadiff_preview>.size
        view.step = Int64(preview.step)
        view.total = Int64(preview.total)
        view.timestep = preview.timestep
        view.count = Int64(preview.latents.shape[0])
        view.channels = Int64(preview.latents.shape[1])
        view.height = Int64(preview.latents.shape[2])
        view.width = Int64(preview.latents.shape[3])
        view.latents = UnsafePointer(preview.latents.pointer(Float.self))
        view.predicted_original = preview.predictedOriginal.map { UnsafePointer($0.pointer(Float.self)) }
        view.action = preview.action.rawValue
        try withExtendedLifetime(preview) { try check(callback(&view, user), of: "preview") }
      }
    }
    if let (callback, user, minimum) = options.log {
      log = { level, component, message in
        guard level.rawValue >= minimum else { return }
        component.withCString { component in
          message.withCString { message in callback(level.rawValue, component, message, user) }
        }
      }
    }
    if let token = options.cancelToken { isCancelled = { token.fired } }
  }
}

private func check(_ answer: Int32, of callback: String) throws {
  if answer > 0 { throw Failure(.cancelled, "the \(callback) callback asked to stop") }
  if answer < 0 { throw Failure(.callback, "the \(callback) callback reported failure \(answer)") }
}
