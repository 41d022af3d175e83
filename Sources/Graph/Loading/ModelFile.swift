import COnnx
import Support

/// A parsed protobuf file; every `connx` handle borrowed from it is valid while it lives.
final class ModelFile: @unchecked Sendable {
  let handle: OpaquePointer

  /// Largest protobuf message there is: its lengths are 32-bit.
  static let maximumByteCount = Int(Int32.max)

  init(bytes: UnsafeRawBufferPointer, kind: connx_kind, what: String) throws {
    guard bytes.count <= Self.maximumByteCount else {
      throw Failure(
        .unsupported, "\(what) of 2 GiB or more cannot be one protobuf message; store its weights as external data",
        actual: "\(bytes.count) bytes")
    }
    guard bytes.count > 0 else { throw Failure(.corrupt, "the file is empty") }
    guard let handle = connx_file_parse(bytes.baseAddress, bytes.count, kind) else {
      throw Failure(.corrupt, "not \(what), or truncated or damaged")
    }
    self.handle = handle
  }

  deinit { connx_file_free(handle) }
}

extension connx_text {
  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: data, count: size) }

  /// The text as a string; `what` names it in the error for bytes that are not UTF-8.
  func string(_ what: String) throws -> String {
    guard size > 0 else { return "" }
    let characters = bytes.bindMemory(to: UInt8.self)
    guard let string = String(validating: characters, as: UTF8.self) else {
      throw Failure(.corrupt, "\(what) is not valid UTF-8")
    }
    return string
  }
}

extension connx_array {
  /// The elements; `Element` must be the type that connx.h names for this array.
  func elements<Element: BitwiseCopyable>(as _: Element.Type) -> UnsafeBufferPointer<Element> {
    guard let data, count > 0 else { return UnsafeBufferPointer(start: nil, count: 0) }
    return UnsafeBufferPointer(start: data.assumingMemoryBound(to: Element.self), count: count)
  }
}
