import AdaDiff
import CAdaDiff
import Foundation

/// What a C caller learns from a failed call.
struct CallFailure: Equatable, CustomStringConvertible {
  var status: Int
  var message: String
  var text: String

  var description: String { "\(status) \(text)" }
}

enum ABI {
  static let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().path
  static let tiny = tests + "/Fixtures/tiny-sd"

  /// Calls with an error slot; nil on success. Frees the error.
  static func failure(_ call: (UnsafeMutablePointer<OpaquePointer?>) -> adadiff_status) -> CallFailure? {
    var error: OpaquePointer?
    let status = call(&error)
    defer { adadiff_error_free(error) }
    if status == ADADIFF_OK {
      return error == nil ? nil : CallFailure(status: -1, message: "error on success", text: "")
    }
    guard error != nil, adadiff_error_status(error) == status else {
      return CallFailure(status: -1, message: "no error object", text: "")
    }
    return CallFailure(
      status: Int(status), message: string(adadiff_error_message(error)),
      text: string(adadiff_error_description(error)))
  }

  static func string(_ pointer: UnsafePointer<CChar>?) -> String { pointer.map { String(cString: $0) } ?? "" }

  static func pipeline(_ path: String = tiny) -> (handle: OpaquePointer?, failure: CallFailure?) {
    var handle: OpaquePointer?
    let failure = failure { adadiff_pipeline_open(path, nil, &handle, $0) }
    return (handle, failure)
  }

  /// Runs `body` with options set from text forms, a session on the tiny pipeline, and frees everything.
  static func withSession(_ body: (_ session: OpaquePointer?, _ options: OpaquePointer?) throws -> Void) rethrows {
    let pipeline = pipeline().handle
    var session: OpaquePointer?
    _ = adadiff_session_new(pipeline, &session, nil)
    adadiff_pipeline_free(pipeline)
    let options = adadiff_options_new()
    defer {
      adadiff_options_free(options)
      adadiff_session_free(session)
    }
    try body(session, options)
  }

  static func set(_ options: OpaquePointer?, _ values: [String: String]) -> CallFailure? {
    for (name, value) in values.sorted(by: { $0.key < $1.key }) {
      if let failure = failure({ adadiff_options_set_string(options, name, value, $0) }) { return failure }
    }
    return nil
  }

  static func generate(
    _ session: OpaquePointer?, _ prompt: String, _ options: OpaquePointer?
  ) -> (result: OpaquePointer?, failure: CallFailure?) {
    var result: OpaquePointer?
    let failure = failure { adadiff_session_generate(session, prompt, options, &result, $0) }
    return (result, failure)
  }

  /// A copy of the tiny pipeline that a test may damage.
  static func withCopy(_ body: (String) throws -> Void) throws {
    let copy = NSTemporaryDirectory() + "/adadiff-" + UUID().uuidString
    try FileManager.default.copyItem(atPath: tiny, toPath: copy)
    defer { try? FileManager.default.removeItem(atPath: copy) }
    try body(copy)
  }
}

/// The header's enumerations, which C passes as int32_t.
protocol CCode: RawRepresentable where RawValue == UInt32 {}
extension adadiff_status_code: CCode {}
extension adadiff_type: CCode {}
extension adadiff_stage: CCode {}
extension adadiff_action: CCode {}
extension adadiff_list: CCode {}
extension adadiff_option_type: CCode {}

extension Int32 {
  init(_ code: some CCode) { self.init(bitPattern: code.rawValue) }
}

func == (number: Int32, code: some CCode) -> Bool { number == Int32(code) }
func == (number: Int?, code: some CCode) -> Bool { number == Int(code.rawValue) }
func != (number: Int32, code: some CCode) -> Bool { number != Int32(code) }
