import CAdaDiff
import Support

/// Where a call stores an error object or a new handle; nil when the caller does not want it.
public typealias HandleSlot = UnsafeMutablePointer<OpaquePointer?>

/// Runs the body of an exported function and maps what it throws to a status and an error object.
func mapped(_ error: HandleSlot?, _ body: () throws -> Void) -> adadiff_status {
  error?.pointee = nil
  do {
    try body()
    return Status.ok.rawValue
  } catch let failure as Failure {
    error?.pointee = HandleTable.shared.insert(ErrorObject(failure))
    return failure.status.rawValue
  } catch let other {
    error?.pointee = HandleTable.shared.insert(ErrorObject(Failure(.internalError, "\(other)")))
    return Status.internalError.rawValue
  }
}

/// As `mapped`, for functions that return a new handle; `slot` is cleared first and required.
func made(
  _ slot: HandleSlot?, _ error: HandleSlot?, named name: String, _ body: () throws -> AnyObject
) -> adadiff_status {
  slot?.pointee = nil
  return mapped(error) {
    guard let slot else { throw Failure(.invalidArgument, "argument '\(name)' is NULL") }
    slot.pointee = HandleTable.shared.insert(try body())
  }
}

/// The live object behind a handle, or a failure that names the argument.
func object<Object: AnyObject>(_ handle: OpaquePointer?, _ name: String, as kind: Object.Type = Object.self) throws
  -> Object
{
  guard let handle else { throw Failure(.invalidArgument, "argument '\(name)' is NULL") }
  guard let object = HandleTable.shared.find(handle, as: kind) else {
    throw Failure(.invalidArgument, "argument '\(name)' is not a live handle of its kind (freed, or of another kind)")
  }
  return object
}

/// Options may be NULL: then every default.
func optionsObject(_ handle: OpaquePointer?) throws -> OptionsObject {
  try handle.map { try object($0, "options") } ?? OptionsObject()
}

/// A required UTF-8 text.
func text(_ pointer: UnsafePointer<CChar>?, _ name: String) throws -> String {
  guard let pointer else { throw Failure(.invalidArgument, "argument '\(name)' is NULL") }
  guard let text = String(validatingCString: pointer) else {
    throw Failure(.invalidArgument, "argument '\(name)' is not valid UTF-8")
  }
  return text
}

/// Checks the `struct_size` that a caller or callee wrote.
func checkStructSize(_ size: Int, minimum: Int, of name: String) throws {
  // Structs only grow, by a few fields: anything far larger is an uninitialised field.
  guard size >= minimum, size <= 4096, size % MemoryLayout<Int>.alignment == 0 else {
    throw Failure(
      .abiMismatch, "\(name).struct_size does not fit this library", expected: "at least \(minimum)", actual: "\(size)")
  }
}
