import Support

/// Prompts, one per line.
public enum PromptFile {
  /// Throws with the line's number for empty lines, repeated prompts and invalid UTF-8; the last line may end in a newline.
  public static func read(_ path: String) throws(Failure) -> [String] {
    let file = try MappedFile(path: path)
    defer { withExtendedLifetime(file) {} }
    var prompts: [String] = []
    var seen: [String: Int] = [:]
    var start = 0
    var line = 1
    func bad(_ message: String) -> Failure {
      Failure(.corrupt, "line \(line): \(message)", component: "prompts", file: path)
    }
    while start < file.bytes.count {
      var end = start
      while end < file.bytes.count, file.bytes[end] != 0x0A { end += 1 }
      guard var text = String(validating: file.bytes[start..<end], as: UTF8.self) else { throw bad("invalid UTF-8") }
      if text.hasSuffix("\r") { text.removeLast() }
      guard !text.allSatisfy(\.isWhitespace) else { throw bad("an empty line") }
      guard !text.contains("\0"), !text.contains("\r") else { throw bad("a control character") }
      if let first = seen[text] { throw bad("the same prompt as in line \(first)") }
      seen[text] = line
      prompts.append(text)
      start = end + 1
      line += 1
    }
    guard !prompts.isEmpty else { throw Failure(.corrupt, "the file has no prompts", component: "prompts", file: path) }
    return prompts
  }
}
