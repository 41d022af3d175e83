import Support

/// The per-operator times of a report with `profile`, as a table.
struct OperatorTimes {
  struct Row {
    var operatorType: String
    var milliseconds: Double
    var runs: Int
  }

  var rows: [Row] = []

  /// Reads `operators` of a report: objects with `operator`, `milliseconds` and `runs`; other shapes are ignored.
  init(_ report: JSON) {
    for entry in report["operators"]?.array ?? [] {
      guard let name = (entry["operator"] ?? entry["type"] ?? entry["name"])?.string,
        let milliseconds = (entry["milliseconds"] ?? entry["ms"])?.double
      else { continue }
      rows.append(
        Row(operatorType: name, milliseconds: milliseconds, runs: (entry["runs"] ?? entry["count"])?.int ?? 1))
    }
    rows.sort { $0.milliseconds > $1.milliseconds }
  }

  func print() {
    guard !rows.isEmpty else { return }
    let total = rows.reduce(0) { $0 + $1.milliseconds }
    var lines = [["Operator", "calls", "ms", "share"]]
    for row in rows {
      lines.append([
        row.operatorType, "\(row.runs)", rounded(row.milliseconds, digits: 2),
        total > 0 ? "\(rounded(100 * row.milliseconds / total, digits: 1)) %" : "",
      ])
    }
    Terminal.print("")
    for line in table(lines) { Terminal.print(line) }
  }
}
