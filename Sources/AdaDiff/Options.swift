import CAdaDiff
import Graph
import Pipelines
import Support

/// Options as a C caller fills them. Not for simultaneous use; every call copies what it needs.
final class OptionsObject: @unchecked Sendable {
  var named = NamedOptions()
  var progress: (callback: adadiff_progress_callback, user: UnsafeMutableRawPointer?)?
  var preview: (callback: adadiff_preview_callback, user: UnsafeMutableRawPointer?)?
  var log: (callback: adadiff_log_callback, user: UnsafeMutableRawPointer?, level: Int32)?
  var scorer: (callback: adadiff_score_callback, user: UnsafeMutableRawPointer?)?
  var cancelToken: CancelTokenReference?

  init() {}

  init(copying other: OptionsObject) {
    named = other.named
    progress = other.progress
    preview = other.preview
    log = other.log
    scorer = other.scorer
    cancelToken = other.cancelToken
  }
}

@c @implementation
public func adadiff_options_new() -> OpaquePointer? { HandleTable.shared.insert(OptionsObject()) }

@c @implementation
public func adadiff_options_copy(_ options: OpaquePointer?) -> OpaquePointer? {
  HandleTable.shared.find(options, as: OptionsObject.self).flatMap {
    HandleTable.shared.insert(OptionsObject(copying: $0))
  }
}

@c @implementation
public func adadiff_options_free(_ options: OpaquePointer?) {
  HandleTable.shared.remove(options, as: OptionsObject.self)
}

@c @implementation
public func adadiff_options_set_string(
  _ options: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ value: UnsafePointer<CChar>?, _ error: HandleSlot?
) -> adadiff_status {
  mapped(error) {
    try object(options, "options", as: OptionsObject.self).named.set(text(name, "name"), .text(text(value, "value")))
  }
}

@c @implementation
public func adadiff_options_set_int(
  _ options: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ value: Int64, _ error: HandleSlot?
) -> adadiff_status {
  mapped(error) {
    try object(options, "options", as: OptionsObject.self).named.set(text(name, "name"), .int(Int(value)))
  }
}

@c @implementation
public func adadiff_options_set_float(
  _ options: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ value: Double, _ error: HandleSlot?
) -> adadiff_status {
  mapped(error) { try object(options, "options", as: OptionsObject.self).named.set(text(name, "name"), .float(value)) }
}

@c @implementation
public func adadiff_options_set_bool(
  _ options: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ value: Int32, _ error: HandleSlot?
) -> adadiff_status {
  mapped(error) {
    try object(options, "options", as: OptionsObject.self).named.set(text(name, "name"), .bool(value != 0))
  }
}

@c @implementation
public func adadiff_options_set_floats(
  _ options: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ data: UnsafePointer<Float>?,
  _ dims: UnsafePointer<Int64>?, _ rank: Int32, _ error: HandleSlot?
) -> adadiff_status {
  mapped(error) {
    let target = try object(options, "options", as: OptionsObject.self)
    let name = try text(name, "name")
    let shape = try shape(dims, rank: rank, of: "option '\(name)'")
    let tensor = try Tensor(type: .float32, shape: shape)
    if tensor.bytes.count > 0 {
      guard let data else { throw Failure(.invalidArgument, "argument 'data' is NULL") }
      tensor.bytes.copyMemory(from: UnsafeRawBufferPointer(start: data, count: tensor.bytes.count))
    }
    try target.named.set(name, .floats(tensor))
  }
}

@c @implementation
public func adadiff_options_reset(
  _ options: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ error: HandleSlot?
) -> adadiff_status {
  mapped(error) { try object(options, "options", as: OptionsObject.self).named.reset(text(name, "name")) }
}

@c @implementation
public func adadiff_options_set_progress(
  _ options: OpaquePointer?, _ callback: adadiff_progress_callback?, _ user: UnsafeMutableRawPointer?,
  _ error: HandleSlot?
) -> adadiff_status {
  mapped(error) { try object(options, "options", as: OptionsObject.self).progress = callback.map { ($0, user) } }
}

@c @implementation
public func adadiff_options_set_preview(
  _ options: OpaquePointer?, _ callback: adadiff_preview_callback?, _ user: UnsafeMutableRawPointer?,
  _ error: HandleSlot?
) -> adadiff_status {
  mapped(error) { try object(options, "options", as: OptionsObject.self).preview = callback.map { ($0, user) } }
}

@c @implementation
public func adadiff_options_set_log(
  _ options: OpaquePointer?, _ callback: adadiff_log_callback?, _ user: UnsafeMutableRawPointer?, _ level: Int32,
  _ error: HandleSlot?
) -> adadiff_status {
  mapped(error) {
    guard LogLevel(rawValue: level) != nil else {
      throw Failure(.outOfRange, "unknown log level \(level)", expected: "0…3")
    }
    try object(options, "options", as: OptionsObject.self).log = callback.map { ($0, user, level) }
  }
}

@c @implementation
public func adadiff_options_set_scorer(
  _ options: OpaquePointer?, _ callback: adadiff_score_callback?, _ user: UnsafeMutableRawPointer?,
  _ error: HandleSlot?
) -> adadiff_status {
  mapped(error) { try object(options, "options", as: OptionsObject.self).scorer = callback.map { ($0, user) } }
}

@c @implementation
public func adadiff_options_set_cancel_token(
  _ options: OpaquePointer?, _ token: OpaquePointer?, _ error: HandleSlot?
) -> adadiff_status {
  mapped(error) {
    let target = try object(options, "options", as: OptionsObject.self)
    guard let token else { return target.cancelToken = nil }
    guard let reference = CancelTokenReference(retaining: token) else {
      throw Failure(.invalidArgument, "argument 'token' is not a live cancel token")
    }
    target.cancelToken = reference
  }
}
