import CAdaDiff
import Pipelines
import Support

private let version = CText(Build.version)
private let buildInfo = CText(Build.information.text)

@c @implementation
public func adadiff_version() -> UnsafePointer<CChar>? { version.pointer }

@c @implementation
public func adadiff_abi_version() -> Int32 { ADADIFF_ABI_VERSION }

@c @implementation
public func adadiff_build_info() -> UnsafePointer<CChar>? { buildInfo.pointer }

@c @implementation
public func adadiff_abi_check(_ header_abi_version: Int32, _ error: HandleSlot?) -> adadiff_status {
  mapped(error) {
    guard header_abi_version == ADADIFF_ABI_VERSION else {
      throw Failure(
        .abiMismatch, "this library has another ABI version than the caller's header",
        expected: "\(ADADIFF_ABI_VERSION)", actual: "\(header_abi_version)")
    }
  }
}
