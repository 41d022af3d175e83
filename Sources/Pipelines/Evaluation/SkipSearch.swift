import Adaptive
import Glibc
import Graph
import Support

/// A rule's path of one prompt beside the searched one with as many skips.
public struct PathComparison: Sendable {
  public var rule: String
  public var mask: SkipMask
  public var searched: SkipSearch.Path
  /// Pearson's χ² of the 2×2 table of skips, its p-value under independence, the share of equal decisions.
  public var chiSquare: (value: Double, probability: Double, agreement: Double)

  public var json: JSON {
    .object([
      "rule": JSON(rule), "mask": JSON(mask.text), "searched": JSON(searched.mask.text),
      "searched_error": JSON(searched.error), "skips": JSON(mask.skips), "searched_skips": JSON(searched.mask.skips),
      "chi_square": JSON(chiSquare.value), "p_value": JSON(chiSquare.probability),
      "agreement": JSON(chiSquare.agreement),
    ])
  }
}

/// Oracles: what the best skip path of a prompt would have been.
public enum SkipSearch {
  /// One path and how far its final latents are from the full run's.
  public struct Path: Sendable {
    public var mask: SkipMask
    /// ‖latents - full run's‖ / ‖full run's‖.
    public var error: Double
  }

  /// Calls at which guidance begins or ends within the run; the network is never left out there.
  static func breaks(_ steps: [StepRecord]) -> [Int] {
    steps.indices.dropFirst().filter { steps[$0].isGuided != steps[$0 - 1].isGuided }
  }

  /// Starts with the full path and adds, `skips` times, the single skip that leaves the final latents closest to the full
  /// run's; ties go to the later step. Runs the network about `skips * calls²` times.
  ///
  /// `settings` gives the prediction of skipped steps: parameters of `fixed-mask` other than the mask, such as
  /// `order=0,correct=false`.
  public static func greedy(
    prompt: String, skips: Int, maximumSkips: Int, settings: String, pipeline: StableDiffusionPipeline,
    options: GenerationOptions, callbacks: RunCallbacks, progress: ((Path) -> Void)? = nil
  ) throws -> [Path] {
    let session = Session(pipeline: pipeline)
    var plain = options
    plain.skip = nil
    plain.cache = nil
    plain.decode = false
    let reference = try session.generate(prompt: prompt, options: plain, callbacks: callbacks)
    let calls = reference.report.steps.count
    let breaks = breaks(reference.report.steps)
    guard skips < calls else {
      throw Failure(.outOfRange, "more skips than steps", expected: "fewer than \(calls)", actual: "\(skips)")
    }
    var entries = [SkipMask.Entry](repeating: .run, count: calls)
    var paths: [Path] = []
    for _ in 0..<skips {
      var best: (call: Int, error: Double)?
      for call in (1..<calls).reversed() where entries[call] == .run && !breaks.contains(call) {
        var candidate = entries
        candidate[call] = .skip
        guard longestSkip(candidate) <= maximumSkips else { continue }
        let error = try error(of: SkipMask(candidate))
        if error < best?.error ?? .infinity { best = (call, error) }
      }
      guard let best else { break }
      entries[best.call] = .skip
      paths.append(Path(mask: SkipMask(entries), error: best.error))
      if let last = paths.last { progress?(last) }
    }
    return paths

    func error(of mask: SkipMask) throws -> Double {
      var single = plain
      let more = settings.isEmpty ? "" : ",\(settings)"
      single.skip = try SkipSettings("fixed-mask:mask=\(mask.text)\(more)")
      let result = try session.generate(prompt: prompt, options: single, callbacks: callbacks)
      return PictureQuality.relativeError(result.latents, reference.latents)
    }
  }

  /// What `rules` skip for the prompt beside the searched `paths` (of ``greedy``): each the one with as many skips, else the
  /// longest.
  public static func compare(
    _ paths: [Path], rules: [String], prompt: String, pipeline: StableDiffusionPipeline, options: GenerationOptions,
    callbacks: RunCallbacks
  ) throws -> [PathComparison] {
    guard let longest = paths.last else { return [] }
    let session = Session(pipeline: pipeline)
    return try rules.map { rule in
      var single = options
      single.skip = try SkipSettings(rule)
      single.cache = nil
      single.decode = false
      let mask = try SkipMask(
        session.generate(prompt: prompt, options: single, callbacks: callbacks).report.mask)
      let searched = paths.first { $0.mask.skips == mask.skips } ?? longest
      return PathComparison(
        rule: rule, mask: mask, searched: searched, chiSquare: chiSquare(mask, searched.mask))
    }
  }

  private static func longestSkip(_ entries: [SkipMask.Entry]) -> Int {
    var (longest, current) = (0, 0)
    for entry in entries {
      current = entry == .run || entry == .partial ? 0 : current + 1
      longest = max(longest, current)
    }
    return longest
  }

  /// Whether two paths skip the same calls: Pearson's χ² of the 2×2 table of skips, without correction, and its p-value
  /// for one degree of freedom under independence. A small p-value means that the paths agree (or avoid each other, where
  /// `agreement` is below chance).
  public static func chiSquare(_ a: SkipMask, _ b: SkipMask) -> (value: Double, probability: Double, agreement: Double)
  {
    var table = [[0.0, 0.0], [0.0, 0.0]]
    for (x, y) in zip(a.entries, b.entries) { table[x == .run ? 0 : 1][y == .run ? 0 : 1] += 1 }
    let total = table[0][0] + table[0][1] + table[1][0] + table[1][1]
    let rows = [table[0][0] + table[0][1], table[1][0] + table[1][1]]
    let columns = [table[0][0] + table[1][0], table[0][1] + table[1][1]]
    guard total > 0, rows.allSatisfy({ $0 > 0 }), columns.allSatisfy({ $0 > 0 }) else { return (0, 1, 1) }
    var value = 0.0
    for i in 0...1 {
      for j in 0...1 {
        let expected = rows[i] * columns[j] / total
        value += (table[i][j] - expected) * (table[i][j] - expected) / expected
      }
    }
    // For one degree of freedom the survival function is erfc(√(χ² / 2)).
    return (value, erfc((value / 2).squareRoot()), (table[0][0] + table[1][1]) / total)
  }
}
