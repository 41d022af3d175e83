import Glibc
import Support

/// Results go to stdout, everything else (progress, warnings, errors) to stderr.
enum Terminal {
  static var isInteractive: Bool { isatty(2) == 1 }

  static func print(_ line: String) { write(line + "\n", to: 1) }

  static func printError(_ line: String) { write(line + "\n", to: 2) }

  /// Writes all of `text`; a closed pipe is not an error of this program.
  static func write(_ text: String, to descriptor: Int32) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { return }
      bytes = bytes.dropFirst(count)
    }
  }

  /// Columns of the terminal behind stderr; 80 when unknown.
  static var width: Int {
    var size = winsize()
    return ioctl(2, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
  }
}

/// Times for people: `85 ms`, `2.31 s`, `4 min 05 s`.
func formatted(seconds: Double) -> String {
  if seconds < 0.01 { return "\(rounded(seconds * 1000, digits: 2)) ms" }
  if seconds < 1 { return "\(rounded(seconds * 1000, digits: 0)) ms" }
  if seconds < 100 { return "\(rounded(seconds, digits: 2)) s" }
  let whole = Int(seconds.rounded())
  return "\(whole / 60) min \(whole % 60 < 10 ? "0" : "")\(whole % 60) s"
}

/// Decimal text with exactly `digits` digits after the point (0 to 9).
func rounded(_ value: Double, digits: Int) -> String {
  guard value.isFinite, abs(value) < 1e9 else { return "\(value)" }
  let scale = (0..<digits).reduce(1) { product, _ in product * 10 }
  let whole = Int((abs(value) * Double(scale)).rounded())
  let sign = value < 0 && whole > 0 ? "-" : ""
  guard digits > 0 else { return "\(sign)\(whole)" }
  let fraction = String(whole % scale)
  return "\(sign)\(whole / scale).\(String(repeating: "0", count: digits - fraction.count))\(fraction)"
}

/// Sizes for people: `12.3 MB` (powers of ten).
func formatted(bytes: Double) -> String {
  for (unit, size) in [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)] where bytes >= size {
    return "\(rounded(bytes / size, digits: 1)) \(unit)"
  }
  return "\(Int(bytes)) bytes"
}

/// Lines up columns; the first is left-aligned, the others right-aligned.
func table(_ rows: [[String]]) -> [String] {
  let columns = rows.map(\.count).max() ?? 0
  let widths = (0..<columns).map { column in rows.map { $0.count > column ? $0[column].count : 0 }.max() ?? 0 }
  return rows.map { row in
    row.enumerated().map { column, text in
      let padding = String(repeating: " ", count: widths[column] - text.count)
      return column == 0 ? text + padding : padding + text
    }.joined(separator: "  ")
  }
}
