import ArgumentParser
import Support

/// Exit codes of the command, after BSD's `sysexits.h`. `adadiff --help` lists them.
enum ExitStatus {
  static func code(for status: Status) -> Int32 {
    switch status {
    case .ok: 0
    case .invalidArgument, .outOfRange, .unknownName: 64
    case .corrupt, .typeMismatch, .shapeMismatch, .notFinite: 65
    case .notFound: 66
    case .unsupported: 69
    case .internalError, .abiMismatch, .callback: 70
    case .outOfMemory: 71
    case .io: 74
    case .cancelled: 130
    }
  }

  static let documentation = """
    EXIT CODES: 0 success, 64 wrong usage, 65 a file or array has the wrong contents, 66 a file or folder is missing, \
    69 the model needs something that is not implemented, 70 a defect of this program, 71 not enough memory, \
    74 reading or writing failed, 130 cancelled with Ctrl-C.
    """

  /// The name that the C interface gives a status, for scripts.
  static func name(of status: Status) -> String {
    switch status {
    case .ok: "OK"
    case .invalidArgument: "INVALID_ARGUMENT"
    case .outOfRange: "OUT_OF_RANGE"
    case .notFound: "NOT_FOUND"
    case .io: "IO"
    case .corrupt: "CORRUPT"
    case .unsupported: "UNSUPPORTED"
    case .typeMismatch: "TYPE_MISMATCH"
    case .shapeMismatch: "SHAPE_MISMATCH"
    case .unknownName: "UNKNOWN_NAME"
    case .outOfMemory: "OUT_OF_MEMORY"
    case .cancelled: "CANCELLED"
    case .callback: "CALLBACK_FAILED"
    case .notFinite: "NOT_FINITE"
    case .abiMismatch: "ABI_MISMATCH"
    case .internalError: "INTERNAL"
    }
  }

  /// `failure` as the one JSON object that `--json` prints.
  static func json(_ failure: Failure) -> JSON {
    var members: [String: JSON] = [
      "status": .string(name(of: failure.status)), "message": .string(failure.description),
      "exit_code": JSON(Int(code(for: failure.status))),
    ]
    let details = [
      "component": failure.component, "file": failure.file, "node": failure.node, "operator": failure.operatorType,
      "expected": failure.expected, "actual": failure.actual,
    ]
    for (key, value) in details { if let value { members[key] = .string(value) } }
    return .object(members)
  }
}
