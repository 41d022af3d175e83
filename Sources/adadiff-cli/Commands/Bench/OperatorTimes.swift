import Operators
import Support

/// The per-operator times of a report with `profile`, as a table.
struct OperatorTimes {
  struct Row {
    var operatorType: String
    var kernel: String
    var node: String
    var milliseconds: Double
    var runs: Int
    /// Operations of the definition, in 10⁹.
    var gigaOperations: Double
    /// Activations read and written, in 10⁶ bytes.
    var megabytes: Double

    /// Share of the machine's peak: of arithmetic where the operator multiplies matrices, else of copying memory.
    func efficiency(_ peak: MachinePeak) -> Double {
      let seconds = milliseconds / 1000
      guard seconds > 0 else { return 0 }
      return gigaOperations > 0
        ? gigaOperations * 1e9 / seconds / peak.operationsPerSecond : megabytes * 1e6 / seconds / peak.bytesPerSecond
    }
  }

  var rows: [Row] = []

  /// `key`: `operators` or `nodes` of a report, as `adadiff_tensors_report` describes them.
  init(_ report: JSON, key: String = "operators") {
    for entry in report[key]?.array ?? [] {
      guard let name = entry["operator"]?.string, let milliseconds = entry["ms"]?.double else { continue }
      rows.append(
        Row(
          operatorType: name, kernel: entry["kernel"]?.string ?? "", node: entry["node"]?.string ?? "",
          milliseconds: milliseconds, runs: entry["runs"]?.int ?? 1, gigaOperations: entry["gflop"]?.double ?? 0,
          megabytes: entry["mbytes"]?.double ?? 0))
    }
  }

  var milliseconds: Double { rows.reduce(0) { $0 + $1.milliseconds } }
  var gigaOperations: Double { rows.reduce(0) { $0 + $1.gigaOperations } }

  /// `peak` nil: times alone.
  func print(peak: MachinePeak? = nil) {
    guard !rows.isEmpty else { return }
    let total = milliseconds
    var lines = [["Operator", "kernel", "calls", "ms", "share"] + (peak == nil ? [] : ["GFLOP/s", "of peak"])]
    for row in rows {
      var line = [
        row.operatorType, row.kernel, "\(row.runs)", rounded(row.milliseconds, digits: 2),
        total > 0 ? "\(rounded(100 * row.milliseconds / total, digits: 1)) %" : "",
      ]
      if let peak {
        let speed = row.milliseconds > 0 ? row.gigaOperations / row.milliseconds * 1000 : 0
        line.append(row.gigaOperations > 0 ? rounded(speed, digits: 0) : "")
        line.append(
          "\(rounded(100 * row.efficiency(peak), digits: 0)) %\(row.gigaOperations > 0 ? "" : " memory")")
      }
      lines.append(line)
    }
    Terminal.print("")
    for line in table(lines) { Terminal.print(line) }
  }
}
