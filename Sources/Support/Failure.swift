/// Stable status codes, equal in name and value to `adadiff_status` in `include/adadiff.h`.
public enum Status: Int32, Sendable, CaseIterable {
  case ok = 0
  /// A caller's argument is NULL, malformed or contradicts another argument.
  case invalidArgument = 1
  /// A number lies outside the documented range.
  case outOfRange = 2
  /// A file or folder does not exist.
  case notFound = 3
  /// Reading or writing a file failed.
  case io = 4
  /// A file's bytes are not what its format says (truncated, corrupted, contradictory).
  case corrupt = 5
  /// Valid, but this library has no implementation for it.
  case unsupported = 6
  /// A tensor has another element type than required.
  case typeMismatch = 7
  /// A tensor has another shape than required.
  case shapeMismatch = 8
  /// A name (input, scheduler, policy, option) is not known; the message lists the known ones.
  case unknownName = 9
  /// Memory could not be allocated or a size exceeds the limit.
  case outOfMemory = 10
  /// The cancel token fired.
  case cancelled = 11
  /// A host callback reported failure.
  case callback = 12
  /// The numbers are not usable (NaN or infinity where finite values are required).
  case notFinite = 13
  /// The caller was compiled against another ABI.
  case abiMismatch = 14
  /// A defect of this library.
  case internalError = 15
}

/// Every error of the library: a stable code and the names of the things involved.
///
/// Fields that do not apply stay nil. `message` alone must already make sense to a user.
public struct Failure: Error, Sendable, CustomStringConvertible {
  public var status: Status
  public var message: String
  /// Pipeline component (`unet`, `tokenizer`, …).
  public var component: String?
  public var file: String?
  public var node: String?
  /// ONNX operator type, with its domain where it is not the default one.
  public var operatorType: String?
  public var expected: String?
  public var actual: String?

  public init(
    _ status: Status, _ message: String, component: String? = nil, file: String? = nil, node: String? = nil,
    operatorType: String? = nil, expected: String? = nil, actual: String? = nil
  ) {
    self.status = status
    self.message = message
    self.component = component
    self.file = file
    self.node = node
    self.operatorType = operatorType
    self.expected = expected
    self.actual = actual
  }

  /// One line: `[component] file: node 'n' (Op): message (expected …, got …)`.
  public var description: String {
    var line = ""
    if let component { line += "[\(component)] " }
    if let file { line += "\(file): " }
    switch (node, operatorType) {
    case (let node?, let op?): line += "node '\(node)' (\(op)): "
    case (let node?, nil): line += "node '\(node)': "
    case (nil, let op?): line += "\(op): "
    case (nil, nil): break
    }
    line += message
    switch (expected, actual) {
    case (let e?, let a?): line += " (expected \(e), got \(a))"
    case (let e?, nil): line += " (expected \(e))"
    case (nil, let a?): line += " (got \(a))"
    case (nil, nil): break
    }
    return line
  }

  /// The same failure with fields that were still unknown deeper down filled in.
  public func adding(
    component: String? = nil, file: String? = nil, node: String? = nil, operatorType: String? = nil
  ) -> Failure {
    var copy = self
    copy.component = copy.component ?? component
    copy.file = copy.file ?? file
    copy.node = copy.node ?? node
    copy.operatorType = copy.operatorType ?? operatorType
    return copy
  }
}
