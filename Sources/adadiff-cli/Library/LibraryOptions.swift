import CAdaDiff
import Support

/// What the library reports while it works.
struct ProgressReport {
  var stage: String
  var step: Int
  var total: Int
  var detail: String
  var seconds: Double
}

/// Latents after one sampling step.
struct PreviewReport {
  /// (count, channels, height, width)
  var shape: [Int]
  var latents: [Float]
}

/// Settings of a call, with closures for its callbacks. Keep it alive during the calls that receive it.
final class LibraryOptions {
  let handle: OpaquePointer
  private var progress: ((ProgressReport) -> Void)?
  private var preview: ((PreviewReport) -> Void)?
  private var log: ((String, String) -> Void)?

  init() throws(Failure) {
    guard let handle = adadiff_options_new() else { throw Failure(.outOfMemory, "cannot allocate options") }
    self.handle = handle
  }

  deinit { adadiff_options_free(handle) }

  /// Sets any kind of option from its text form. Text of the wrong kind is wrong usage here, not wrong data.
  func set(_ name: String, _ value: String) throws(Failure) {
    do {
      try LibraryCall.check { adadiff_options_set_string(handle, name, value, $0) }
    } catch {
      var failure = error
      if failure.status == .typeMismatch { failure.status = .invalidArgument }
      throw failure
    }
  }

  func set(_ name: String, _ value: Int) throws(Failure) {
    try LibraryCall.check { adadiff_options_set_int(handle, name, Int64(value), $0) }
  }

  func set(_ name: String, _ value: Double) throws(Failure) {
    try LibraryCall.check { adadiff_options_set_float(handle, name, value, $0) }
  }

  func set(_ name: String, _ value: Bool) throws(Failure) {
    try LibraryCall.check { adadiff_options_set_bool(handle, name, value ? 1 : 0, $0) }
  }

  func set(_ name: String, _ values: [Float], shape: [Int]) throws(Failure) {
    let dims = shape.map(Int64.init)
    try LibraryCall.check { adadiff_options_set_floats(handle, name, values, dims, Int32(clamping: dims.count), $0) }
  }

  func setCancelToken(_ token: OpaquePointer) throws(Failure) {
    try LibraryCall.check { adadiff_options_set_cancel_token(handle, token, $0) }
  }

  func onProgress(_ body: @escaping (ProgressReport) -> Void) throws(Failure) {
    progress = body
    let user = Unmanaged.passUnretained(self).toOpaque()
    try LibraryCall.check {
      adadiff_options_set_progress(handle, LibraryOptions.forwardProgress, user, $0)
    }
  }

  func onPreview(_ body: @escaping (PreviewReport) -> Void) throws(Failure) {
    preview = body
    let user = Unmanaged.passUnretained(self).toOpaque()
    try LibraryCall.check {
      adadiff_options_set_preview(handle, LibraryOptions.forwardPreview, user, $0)
    }
  }

  /// Receives (component, message) of every warning.
  func onWarning(_ body: @escaping (String, String) -> Void) throws(Failure) {
    log = body
    let user = Unmanaged.passUnretained(self).toOpaque()
    try LibraryCall.check {
      adadiff_options_set_log(
        handle, LibraryOptions.forwardLog, user, Int32(ADADIFF_LOG_WARNING.rawValue), $0)
    }
  }

  private static func owner(_ user: UnsafeMutableRawPointer?) -> LibraryOptions? {
    user.map { Unmanaged<LibraryOptions>.fromOpaque($0).takeUnretainedValue() }
  }

  private static let forwardProgress: adadiff_progress_callback = { report, user in
    guard let report = report?.pointee, let owner = owner(user) else { return 0 }
    owner.progress?(
      ProgressReport(
        stage: LibraryCall.string(report.stage_name) ?? "", step: Int(report.step), total: Int(report.total),
        detail: LibraryCall.string(report.detail) ?? "", seconds: report.elapsed_ms / 1000))
    return 0
  }

  private static let forwardPreview: adadiff_preview_callback = { report, user in
    guard let report = report?.pointee, let owner = owner(user), let latents = report.latents else { return 0 }
    let shape = [report.count, report.channels, report.height, report.width].map(Int.init)
    let count = shape.reduce(1, *)
    owner.preview?(
      PreviewReport(shape: shape, latents: Array(UnsafeBufferPointer(start: latents, count: count))))
    return 0
  }

  private static let forwardLog: adadiff_log_callback = { _, component, message, user in
    owner(user)?.log?(LibraryCall.string(component) ?? "", LibraryCall.string(message) ?? "")
  }
}
