import Support

/// Comma-separated values as RFC 4180 has them: fields may be quoted, quotes inside are doubled, lines end in LF or CRLF.
struct CSVReader {
  private let bytes: UnsafeRawBufferPointer
  private let file: String
  private var position = 0
  /// Line of the record that `next` returned last, from 1.
  private(set) var line = 1
  private var nextLine = 1

  /// Fields per record and bytes per field at most: tables are wide by metrics, not by thousands.
  private static let maximumFields = 4096

  init(bytes: UnsafeRawBufferPointer, file: String) {
    self.bytes = bytes
    self.file = file
    // A byte order mark, as spreadsheets write it.
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { position = 3 }
  }

  func failure(_ message: String, expected: String? = nil, actual: String? = nil) -> Failure {
    Failure(
      .corrupt, "line \(line): \(message)", component: "table", file: file, expected: expected, actual: actual)
  }

  /// The fields of the next record, nil at the end; empty lines are skipped.
  mutating func next() throws(Failure) -> [String]? {
    while position < bytes.count, bytes[position] == 0x0A || bytes[position] == 0x0D {
      if bytes[position] == 0x0A { nextLine += 1 }
      position += 1
    }
    guard position < bytes.count else { return nil }
    line = nextLine
    var fields: [String] = []
    while true {
      fields.append(try field())
      guard fields.count <= Self.maximumFields else { throw failure("more than \(Self.maximumFields) fields") }
      guard position < bytes.count, bytes[position] == UInt8(ascii: ",") else { break }
      position += 1
    }
    return fields
  }

  private mutating func field() throws(Failure) -> String {
    var content: [UInt8] = []
    if position < bytes.count, bytes[position] == UInt8(ascii: "\"") {
      position += 1
      while true {
        guard position < bytes.count else { throw failure("a quoted field does not end") }
        let byte = bytes[position]
        position += 1
        if byte == UInt8(ascii: "\"") {
          guard position < bytes.count, bytes[position] == byte else { break }
          position += 1
        } else if byte == 0x0A {
          nextLine += 1
        }
        content.append(byte)
      }
      if position < bytes.count, ![UInt8(ascii: ","), 0x0A, 0x0D].contains(bytes[position]) {
        throw failure("text follows a quoted field")
      }
    } else {
      while position < bytes.count, ![UInt8(ascii: ","), 0x0A, 0x0D].contains(bytes[position]) {
        content.append(bytes[position])
        position += 1
      }
    }
    guard let text = String(validating: content, as: UTF8.self) else { throw failure("invalid UTF-8") }
    return text
  }

  /// `text` as one field.
  static func quoted(_ text: String) -> String {
    text.utf8.contains { [UInt8(ascii: ","), UInt8(ascii: "\""), 0x0A, 0x0D].contains($0) }
      ? "\"" + text.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\"" : text
  }
}
