import Support

/// Times of nodes as nested bars, SVG: width is time, and the bars below one another are the parts of the node's name
/// (`/down_blocks.0/resnets.1/conv1/Conv` is four deep), in the order the nodes ran.
struct FlameChart {
  private static let width = 1200.0
  private static let barHeight = 18.0
  private static let characterWidth = 6.6
  private static let headerHeight = 44.0
  /// Narrower bars are left out.
  private static let smallestWidth = 0.3

  private final class Bar {
    let name: String
    var row: OperatorTimes.Row?
    var milliseconds = 0.0
    var parts: [Bar] = []

    init(_ name: String) { self.name = name }

    var depth: Int { 1 + (parts.map(\.depth).max() ?? 0) }

    /// The part of this name that is still being drawn, or a new one.
    func part(_ name: String) -> Bar {
      if let last = parts.last, last.name == name, last.row == nil { return last }
      let bar = Bar(name)
      parts.append(bar)
      return bar
    }
  }

  private let root: Bar
  private let title: String

  init(_ times: OperatorTimes, title: String) {
    self.title = title
    root = Bar("whole run")
    for row in times.rows {
      let path = row.node.split(separator: "/").map(String.init)
      var bar = root
      bar.milliseconds += row.milliseconds
      for name in path.dropLast() {
        bar = bar.part(name)
        bar.milliseconds += row.milliseconds
      }
      let leaf = Bar(path.last ?? row.operatorType)
      leaf.row = row
      leaf.milliseconds = row.milliseconds
      bar.parts.append(leaf)
    }
  }

  var svg: String {
    let height = Self.headerHeight + Double(root.depth) * Self.barHeight + 8
    var lines = [
      """
      <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(text(Self.width)) \(text(height))" \
      font-family="monospace" font-size="11">
      """,
      "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>",
      "<text x=\"4\" y=\"18\" font-size=\"14\">\(escaped(title))</text>",
      "<text x=\"4\" y=\"36\" fill=\"#555555\">\(escaped(legend))</text>",
    ]
    draw(root, x: 0, level: 0, into: &lines)
    lines.append("</svg>\n")
    return lines.joined(separator: "\n")
  }

  private var legend: String {
    "\(rounded(root.milliseconds, digits: 1)) ms; width is time; hover for the node, its kernel and its GFLOP/s"
  }

  private func draw(_ bar: Bar, x: Double, level: Int, into lines: inout [String]) {
    guard root.milliseconds > 0 else { return }
    let width = Self.width * bar.milliseconds / root.milliseconds
    guard width >= Self.smallestWidth else { return }
    let y = Self.headerHeight + Double(level) * Self.barHeight
    let share = "\(rounded(100 * bar.milliseconds / root.milliseconds, digits: 1)) %"
    var description = "\(bar.name): \(rounded(bar.milliseconds, digits: 2)) ms, \(share)"
    if let row = bar.row {
      description =
        "\(row.node)\n\(row.operatorType) \(row.kernel)\n\(rounded(bar.milliseconds, digits: 2)) ms, \(share)"
      if row.gigaOperations > 0, row.milliseconds > 0 {
        description += ", \(rounded(row.gigaOperations / row.milliseconds * 1000, digits: 0)) GFLOP/s"
      }
    }
    lines.append(
      """
      <g><title>\(escaped(description))</title><rect x="\(text(x))" y="\(text(y))" width="\(text(width))" \
      height="\(text(Self.barHeight - 1))" fill="\(color(bar))" stroke="#ffffff" stroke-width="0.5"/>
      """)
    let label = bar.row.map { "\($0.operatorType) \(bar.name)" } ?? bar.name
    let room = Int(width / Self.characterWidth) - 1
    if room >= 3 {
      let shown = label.count <= room ? label : String(label.prefix(room - 1)) + "…"
      lines.append("<text x=\"\(text(x + 3))\" y=\"\(text(y + 12))\">\(escaped(shown))</text>")
    }
    lines.append("</g>")
    var start = x
    for part in bar.parts {
      draw(part, x: start, level: level + 1, into: &lines)
      start += Self.width * part.milliseconds / root.milliseconds
    }
  }

  /// Leaves by kind of work, folders grey.
  private func color(_ bar: Bar) -> String {
    guard let row = bar.row else { return "#d8d8d8" }
    let kinds = [
      ("Conv", "#f4a261"), ("Attention", "#e76f9a"), ("MatMul", "#8ecae6"), ("Gemm", "#8ecae6"), ("Norm", "#a7c957"),
      ("Resize", "#cdb4db"), ("Concat", "#cdb4db"), ("Transpose", "#cdb4db"),
    ]
    return kinds.first { row.operatorType.contains($0.0) }?.1 ?? "#ffe8a3"
  }

  private func text(_ value: Double) -> String { rounded(value, digits: 2) }

  private func escaped(_ text: String) -> String {
    var result = ""
    for character in text {
      switch character {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      default: result.append(character)
      }
    }
    return result
  }
}
