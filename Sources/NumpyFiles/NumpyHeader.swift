import Support

/// The dictionary at the start of a `.npy` file: `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`.
struct NumpyHeader: Equatable {
  var type: NumpyType
  var fortranOrder: Bool
  var shape: [Int]

  /// numpy itself allows 64 dimensions since 2.0.
  static let maximumRank = 64
  /// Bytes of header text; numpy refuses longer ones too (`max_header_size`).
  static let maximumLength = 10_000

  /// Parses the header text; `file` is named in failures.
  static func parse(_ text: some Collection<UInt8>, file: String) throws(Failure) -> NumpyHeader {
    var parser = HeaderParser(bytes: Array(text), file: file)
    return try parser.header()
  }

  /// The text for a row-major file, without padding.
  var text: String {
    let dimensions = shape.map(String.init).joined(separator: ", ") + (shape.count == 1 ? "," : "")
    let order = fortranOrder ? "True" : "False"
    return "{'descr': '\(type.descriptor)', 'fortran_order': \(order), 'shape': (\(dimensions)), }"
  }
}

/// Reads the Python literal that numpy writes: one flat dictionary of strings, booleans and a tuple of integers.
private struct HeaderParser {
  let bytes: [UInt8]
  let file: String
  var position = 0

  mutating func header() throws(Failure) -> NumpyHeader {
    var type: NumpyType?
    var fortranOrder: Bool?
    var shape: [Int]?
    try expect("{")
    while !accept("}") {
      let key = try string()
      try expect(":")
      switch key {
      case "descr" where type == nil: type = try descriptor()
      case "fortran_order" where fortranOrder == nil: fortranOrder = try boolean()
      case "shape" where shape == nil: shape = try tuple()
      default: throw corrupt("unexpected key '\(key)'")
      }
      if !accept(",") {
        try expect("}")
        break
      }
    }
    skipSpace()
    guard position == bytes.count else { throw corrupt("text after the dictionary") }
    guard let type, let fortranOrder, let shape else { throw corrupt("descr, fortran_order or shape is missing") }
    return NumpyHeader(type: type, fortranOrder: fortranOrder, shape: shape)
  }

  private func corrupt(_ detail: String) -> Failure {
    Failure(.corrupt, "not a valid .npy header: \(detail) at byte \(position)", file: file)
  }

  private mutating func skipSpace() {
    while position < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[position]) { position += 1 }
  }

  private mutating func accept(_ character: Unicode.Scalar) -> Bool {
    skipSpace()
    guard position < bytes.count, bytes[position] == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private mutating func expect(_ character: Unicode.Scalar) throws(Failure) {
    guard accept(character) else { throw corrupt("'\(character)' expected") }
  }

  private mutating func string() throws(Failure) -> String {
    skipSpace()
    guard position < bytes.count, bytes[position] == UInt8(ascii: "'") || bytes[position] == UInt8(ascii: "\"") else {
      throw corrupt("a string expected")
    }
    let quote = bytes[position]
    let start = position + 1
    guard let end = bytes[start...].firstIndex(of: quote) else { throw corrupt("unterminated string") }
    position = end + 1
    return String(decoding: bytes[start..<end], as: UTF8.self)
  }

  private mutating func boolean() throws(Failure) -> Bool {
    skipSpace()
    for (word, value) in [("True", true), ("False", false)] where bytes[position...].starts(with: word.utf8) {
      position += word.utf8.count
      return value
    }
    throw corrupt("True or False expected")
  }

  private mutating func descriptor() throws(Failure) -> NumpyType {
    if accept("[") {
      throw Failure(.unsupported, "a structured array; plain numbers are supported", file: file)
    }
    let name = try string()
    let kind = String(name.drop { "<|=>".contains($0) })
    guard let type = NumpyType(rawValue: kind) else {
      let known = NumpyType.allCases.map(\.descriptor).joined(separator: ", ")
      throw Failure(.unsupported, "element type '\(name)' (supported: \(known))", file: file)
    }
    guard !name.hasPrefix(">") || type.byteCount == 1 else {
      throw Failure(
        .unsupported, "big-endian element type '\(name)'; save it with array.astype('<\(kind)')", file: file)
    }
    return type
  }

  private mutating func tuple() throws(Failure) -> [Int] {
    var sizes: [Int] = []
    try expect("(")
    while !accept(")") {
      guard sizes.count < NumpyHeader.maximumRank else { throw corrupt("too many dimensions") }
      sizes.append(try size())
      if !accept(",") {
        try expect(")")
        break
      }
    }
    return sizes
  }

  private mutating func size() throws(Failure) -> Int {
    skipSpace()
    let start = position
    while position < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[position]) { position += 1 }
    guard let value = Int(String(decoding: bytes[start..<position], as: UTF8.self)) else {
      throw corrupt("a dimension expected")
    }
    // Python 2 wrote long integers with a suffix.
    if position < bytes.count, bytes[position] == UInt8(ascii: "L") { position += 1 }
    return value
  }
}
