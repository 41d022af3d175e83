import CAdaDiff
import Support

/// Calls into the C interface with its errors as `Failure`.
///
/// The command uses the same entry points as every other host program, so that it can do nothing they cannot.
enum LibraryCall {
  /// Runs `body` with a place for the error object and throws what it left there.
  static func check(_ body: (UnsafeMutablePointer<OpaquePointer?>) -> adadiff_status) throws(Failure) {
    var error: OpaquePointer?
    let status = body(&error)
    defer { adadiff_error_free(error) }
    guard status != 0 else { return }
    guard let error else {
      throw Failure(Status(rawValue: status) ?? .internalError, string(adadiff_status_name(status)) ?? "unknown status")
    }
    throw Failure(
      Status(rawValue: adadiff_error_status(error)) ?? .internalError,
      string(adadiff_error_message(error)) ?? "", component: string(adadiff_error_component(error)),
      file: string(adadiff_error_file(error)), node: string(adadiff_error_node(error)),
      operatorType: string(adadiff_error_operator(error)), expected: string(adadiff_error_expected(error)),
      actual: string(adadiff_error_actual(error)))
  }

  /// A handle made by `body`, which receives the place for it and the place for the error.
  static func make(
    _ body: (UnsafeMutablePointer<OpaquePointer?>, UnsafeMutablePointer<OpaquePointer?>) -> adadiff_status
  ) throws(Failure) -> OpaquePointer {
    var handle: OpaquePointer?
    try check { body(&handle, $0) }
    guard let handle else { throw Failure(.internalError, "the library reported success without a handle") }
    return handle
  }

  static func string(_ pointer: UnsafePointer<CChar>?) -> String? { pointer.map { String(cString: $0) } }

  static func json(_ pointer: UnsafePointer<CChar>?) throws(Failure) -> JSON {
    guard let text = string(pointer) else { return .null }
    return try JSON.parse(text)
  }

  /// The names of one of the library's lists (schedulers, operators, …).
  static func names(_ list: adadiff_list) -> [String] {
    let list = Int32(list.rawValue)
    return (0..<adadiff_list_count(list)).compactMap { string(adadiff_list_name(list, $0)) }
  }
}
