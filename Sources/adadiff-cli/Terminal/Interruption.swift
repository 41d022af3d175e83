import CAdaDiff
import Glibc
import Support

/// The token that Ctrl-C fires. Written once before the handler is installed, then only read.
nonisolated(unsafe) private var interruptionToken: OpaquePointer?

/// Turns Ctrl-C into a cancelled run: the first one asks the library to stop, a second one ends the process.
enum Interruption {
  /// The process's token; the first call installs the handler.
  static func token() throws(Failure) -> OpaquePointer {
    if let interruptionToken { return interruptionToken }
    guard let token = adadiff_cancel_token_new() else { throw Failure(.outOfMemory, "cannot allocate a cancel token") }
    interruptionToken = token
    for number in [SIGINT, SIGTERM] {
      signal(number) { _ in
        if adadiff_cancel_token_fired(interruptionToken) != 0 { _exit(130) }
        adadiff_cancel_token_fire(interruptionToken)
      }
    }
    return token
  }
}
