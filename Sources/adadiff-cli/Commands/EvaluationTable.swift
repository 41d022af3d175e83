import Glibc
import Graph
import PictureFiles
import Pipelines
import Support

/// The rows that `adadiff skip eval` compares when none are given.
enum StandardRows {
  static func rows(steps: Int, ablation: Bool) -> [EvaluationRow] {
    var rows = [
      EvaluationRow("third-order (AdaptiveDiffusion)", skip: "third-order"),
      EvaluationRow("third-order-vector", skip: "third-order-vector"),
      EvaluationRow("ZEUS", skip: "zeus"), EvaluationRow("EasyCache", skip: "easycache"),
      EvaluationRow("UCache", skip: "ucache"), EvaluationRow("SADA", skip: "sada"),
      EvaluationRow("every 2nd, reuse", skip: "every:n=2,order=0,correct=false"),
      EvaluationRow("every 2nd, corrected", skip: "every:n=2"),
      EvaluationRow("every 3rd, corrected", skip: "every:n=3"),
      EvaluationRow("step control .01", skip: "step-control:tolerance=0.01"),
      EvaluationRow("step control .03", skip: "step-control:tolerance=0.03"),
    ]
    rows += [2, 3, 5].map { EvaluationRow("DeepCache N=\($0)", cache: "deepcache:interval=\($0)") }
    let fewer = Set([0.3, 0.4, 0.5, 0.6].map { max(1, Int((Double(steps) * $0).rounded())) })
    rows += fewer.sorted().map { EvaluationRow("\($0) plain steps", steps: $0) }
    if ablation {
      for delta in ["0.005", "0.01", "0.02", "0.04"] {
        for cap in [1, 2, 4, 6] {
          rows.append(
            EvaluationRow("third-order δ=\(delta) C=\(cap)", skip: "third-order:delta=\(delta),max_skip=\(cap)"))
        }
      }
    }
    return rows
  }
}

/// Rows as they come, for people.
struct EvaluationTable {
  let json: Bool

  func header(prompts: Int, steps: Int, scheduler: String) {
    guard !json else { return }
    Terminal.print("\(prompts) prompts, full run of \(steps) steps with \(scheduler); mean ± 95 % interval")
    Terminal.print(Self.columns(["row", "calls", "partial", "PSNR dB", "latent error", "ms", "speed-up"]))
  }

  func line(_ result: EvaluationResult, full: EvaluationResult) {
    guard !json else { return }
    func text(_ values: [Double], _ digits: Int) -> String {
      let interval = MeanInterval(values)
      return values.isEmpty
        ? "–" : "\(rounded(interval.mean, digits: digits)) ± \(rounded(interval.halfWidth, digits: digits))"
    }
    let speed = MeanInterval(full.milliseconds).mean / max(1e-9, MeanInterval(result.milliseconds).mean)
    Terminal.print(
      Self.columns([
        result.row.name, rounded(MeanInterval(result.calls.map(Double.init)).mean, digits: 2),
        rounded(MeanInterval(result.partialCalls.map(Double.init)).mean, digits: 1), text(result.psnr, 2),
        text(result.latentError, 4), rounded(MeanInterval(result.milliseconds).mean, digits: 1),
        rounded(speed, digits: 2) + "×",
      ]))
  }

  private static func columns(_ cells: [String]) -> String {
    let widths = [36, 7, 8, 16, 18, 9, 8]
    return zip(cells, widths).map { cell, width in
      cell + String(repeating: " ", count: max(1, width - cell.count))
    }.joined()
  }
}

/// A picture tensor as a PNG file.
enum PictureFile {
  static func write(_ picture: Tensor, to path: String) throws {
    guard picture.rank == 3 else { throw Failure(.internalError, "a picture has three dimensions") }
    let bytes = try withExtendedLifetime(picture) {
      try PNGFile.encode(
        pixels: UnsafeBufferPointer(picture.buffer(UInt8.self)), width: picture.shape[1], height: picture.shape[0])
    }
    try FileBytes.write(bytes, to: path)
  }
}

/// The process's peak resident memory since the last reset, as Linux counts it.
enum PeakMemory {
  static var kibibytes: Int? {
    guard let bytes = try? FileBytes.read("/proc/self/status") else { return nil }
    for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") where line.hasPrefix("VmHWM:") {
      return line.split(whereSeparator: { $0 == " " || $0 == "\t" }).compactMap { Int($0) }.first
    }
    return nil
  }

  static func reset() { try? FileBytes.write(Array("5".utf8), to: "/proc/self/clear_refs") }
}
