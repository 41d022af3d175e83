import Adaptive
import Glibc
import Support

/// `adaptive.json`: the ways of making a picture that calibration found worth their time, cheapest first.
public struct AdaptiveProfile: Sendable, Equatable {
  public static let fileName = "adaptive.json"
  public static let format = 1

  /// A way of making a picture.
  public struct Entry: Sendable, Equatable {
    public var name: String
    public var steps: Int
    public var skip: String
    public var cache: String
    /// Mean PSNR in dB against the full run, and the half width of its 95 % interval.
    public var quality: Double
    public var qualityHalfWidth: Double
    public var networkCalls: Double
    /// Of the sampling loop, on the machine that calibrated.
    public var milliseconds: Double

    /// Only fewer steps.
    public var isPlain: Bool { skip.isEmpty && cache.isEmpty }

    public init(_ result: EvaluationResult, steps: Int) {
      let quality = MeanInterval(result.psnr)
      name = result.row.name
      self.steps = result.row.steps ?? steps
      skip = result.row.skip
      cache = result.row.cache
      self.quality = quality.mean.isFinite ? quality.mean : 100
      qualityHalfWidth = quality.halfWidth
      networkCalls = MeanInterval(result.calls.map(Double.init)).mean
      milliseconds = MeanInterval(result.milliseconds).mean
    }

    init(_ json: JSON, file: String) throws(Failure) {
      func missing(_ key: String) -> Failure {
        Failure(.corrupt, "an entry has no usable '\(key)'", component: "adaptive", file: file)
      }
      guard let steps = json["steps"]?.int, (1...1000).contains(steps) else { throw missing("steps") }
      guard let quality = json["quality"]?.double, quality.isFinite else { throw missing("quality") }
      guard let milliseconds = json["ms"]?.double, milliseconds >= 0 else { throw missing("ms") }
      self.steps = steps
      self.quality = quality
      self.milliseconds = milliseconds
      name = json["name"]?.string ?? ""
      skip = json["skip"]?.string ?? ""
      cache = json["cache"]?.string ?? ""
      qualityHalfWidth = json["quality_half_width"]?.double ?? 0
      networkCalls = json["network_calls"]?.double ?? Double(steps)
      do throws(Failure) {
        if !skip.isEmpty { _ = try SkipSettings(skip) }
        if !cache.isEmpty { _ = try FeatureCacheSettings(cache) }
      } catch {
        throw error.adding(component: "adaptive", file: file)
      }
    }

    var json: JSON {
      .object([
        "name": JSON(name), "steps": JSON(steps), "skip": JSON(skip), "cache": JSON(cache),
        "quality": JSON(quality), "quality_half_width": JSON(qualityHalfWidth),
        "network_calls": JSON(networkCalls), "ms": JSON(milliseconds),
      ])
    }
  }

  /// The scheduler that the entries were measured with.
  public var scheduler: String
  /// Steps of the full run.
  public var steps: Int
  /// By time, ascending; quality ascends with it.
  public var entries: [Entry]

  /// Keeps the Pareto front of `candidates`.
  public init(scheduler: String, steps: Int, candidates: [Entry]) {
    self.scheduler = scheduler
    self.steps = steps
    entries = []
    // Equal cost: the better one first.
    for entry in candidates.sorted(by: { ($0.milliseconds, -$0.quality) < ($1.milliseconds, -$1.quality) })
    where entry.quality > entries.last?.quality ?? -.infinity {
      entries.append(entry)
    }
  }

  /// Reads `folder/adaptive.json`; nil where there is none.
  public init?(folder: String) throws(Failure) {
    let file = "\(folder)/\(Self.fileName)"
    guard access(file, F_OK) == 0 else { return nil }
    let json = try JSON.parse(file: file)
    guard json["format"]?.int == Self.format, let listed = json["entries"]?.array, !listed.isEmpty,
      listed.count <= 1000, let steps = json["steps"]?.int
    else {
      throw Failure(
        .corrupt, "not a calibration of this library", component: "adaptive", file: file,
        expected: "format \(Self.format) with steps and entries")
    }
    var entries: [Entry] = []
    for entry in listed { entries.append(try Entry(entry, file: file)) }
    scheduler = json["scheduler"]?.string ?? ""
    self.steps = steps
    self.entries = entries
  }

  public func json(prompts: Int) -> JSON {
    .object([
      "format": JSON(Self.format), "scheduler": JSON(scheduler), "steps": JSON(steps), "prompts": JSON(prompts),
      "quality_unit": "mean PSNR in dB against the full run with the same noise", "build": Build.information,
      "entries": .array(entries.map(\.json)),
    ])
  }

  /// The cheapest entry of at least this quality, else the best one.
  public func entry(quality: Double) -> Entry? { entries.first { $0.quality >= quality } ?? entries.last }
}
