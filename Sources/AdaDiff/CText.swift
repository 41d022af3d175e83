import Glibc

/// A NUL-terminated copy of a string that lives as long as this object. Interior NUL characters become U+FFFD so that
/// nothing is cut off silently.
final class CText: @unchecked Sendable {
  let pointer: UnsafePointer<CChar>?

  init(_ text: String) {
    pointer = UnsafePointer(strdup(text.contains("\0") ? text.replacingNulls : text))
  }

  deinit { free(UnsafeMutablePointer(mutating: pointer)) }
}

extension String {
  fileprivate var replacingNulls: String { String(map { $0 == "\0" ? "\u{FFFD}" : $0 }) }
}

extension Optional where Wrapped == CText {
  var pointer: UnsafePointer<CChar>? { self?.pointer ?? nil }
}

/// Texts that live as long as the process.
struct StaticTexts: Sendable {
  private let texts: [CText]

  init(_ texts: [String]) { self.texts = texts.map(CText.init) }

  var count: Int { texts.count }

  /// Nil outside the range.
  subscript(index: Int32) -> UnsafePointer<CChar>? {
    texts.indices.contains(Int(index)) ? texts[Int(index)].pointer : nil
  }

  static let empty = CText("")
}
