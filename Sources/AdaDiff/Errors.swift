import CAdaDiff
import Support

/// A failure with its texts as C strings.
final class ErrorObject: Sendable {
  let status: Status
  let message: CText
  let description: CText
  let component: CText?
  let file: CText?
  let node: CText?
  let operatorType: CText?
  let expected: CText?
  let actual: CText?

  init(_ failure: Failure) {
    status = failure.status
    message = CText(failure.message)
    description = CText(failure.description)
    component = failure.component.map(CText.init)
    file = failure.file.map(CText.init)
    node = failure.node.map(CText.init)
    operatorType = failure.operatorType.map(CText.init)
    expected = failure.expected.map(CText.init)
    actual = failure.actual.map(CText.init)
  }
}

private func find(_ error: OpaquePointer?) -> ErrorObject? { HandleTable.shared.find(error, as: ErrorObject.self) }

@c @implementation
public func adadiff_error_status(_ error: OpaquePointer?) -> adadiff_status {
  find(error)?.status.rawValue ?? Status.invalidArgument.rawValue
}

@c @implementation
public func adadiff_error_message(_ error: OpaquePointer?) -> UnsafePointer<CChar>? {
  (find(error)?.message ?? StaticTexts.empty).pointer
}

@c @implementation
public func adadiff_error_description(_ error: OpaquePointer?) -> UnsafePointer<CChar>? {
  (find(error)?.description ?? StaticTexts.empty).pointer
}

@c @implementation
public func adadiff_error_component(_ error: OpaquePointer?) -> UnsafePointer<CChar>? { find(error)?.component.pointer }

@c @implementation
public func adadiff_error_file(_ error: OpaquePointer?) -> UnsafePointer<CChar>? { find(error)?.file.pointer }

@c @implementation
public func adadiff_error_node(_ error: OpaquePointer?) -> UnsafePointer<CChar>? { find(error)?.node.pointer }

@c @implementation
public func adadiff_error_operator(_ error: OpaquePointer?) -> UnsafePointer<CChar>? {
  find(error)?.operatorType.pointer
}

@c @implementation
public func adadiff_error_expected(_ error: OpaquePointer?) -> UnsafePointer<CChar>? { find(error)?.expected.pointer }

@c @implementation
public func adadiff_error_actual(_ error: OpaquePointer?) -> UnsafePointer<CChar>? { find(error)?.actual.pointer }

@c @implementation
public func adadiff_error_free(_ error: OpaquePointer?) { HandleTable.shared.remove(error, as: ErrorObject.self) }

/// Names of the status codes, index = code.
private let statusNames = StaticTexts([
  "OK", "INVALID_ARGUMENT", "OUT_OF_RANGE", "NOT_FOUND", "IO", "CORRUPT", "UNSUPPORTED", "TYPE_MISMATCH",
  "SHAPE_MISMATCH", "UNKNOWN_NAME", "OUT_OF_MEMORY", "CANCELLED", "CALLBACK_FAILED", "NOT_FINITE", "ABI_MISMATCH",
  "INTERNAL",
])
private let unknownStatus = CText("UNKNOWN")

@c @implementation
public func adadiff_status_name(_ status: adadiff_status) -> UnsafePointer<CChar>? {
  statusNames[status] ?? unknownStatus.pointer
}
