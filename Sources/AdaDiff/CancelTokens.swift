import CAdaDiff

@c @implementation
public func adadiff_cancel_token_new() -> OpaquePointer? { CancelTokenTable.make() }

@c @implementation
public func adadiff_cancel_token_retain(_ token: OpaquePointer?) -> OpaquePointer? {
  CancelTokenTable.changeReferences(token, by: 1) ? token : nil
}

@c @implementation
public func adadiff_cancel_token_release(_ token: OpaquePointer?) {
  CancelTokenTable.changeReferences(token, by: -1)
}

@c @implementation
public func adadiff_cancel_token_fire(_ token: OpaquePointer?) {
  CancelTokenTable.live(token)?.pointee.fired.store(true, ordering: .relaxed)
}

@c @implementation
public func adadiff_cancel_token_fired(_ token: OpaquePointer?) -> Int32 {
  CancelTokenTable.live(token)?.pointee.fired.load(ordering: .relaxed) == true ? 1 : 0
}
