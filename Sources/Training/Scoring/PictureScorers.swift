import Graph
import Pipelines
import Support

/// A picture and what it was made from.
public struct ScoredPicture: Sendable {
  public var prompt: String
  public var steps: Int
  public var seed: Int
  /// uint8 (height, width, 3).
  public var image: Tensor

  public init(prompt: String, steps: Int, seed: Int, image: Tensor) {
    self.prompt = prompt
    self.steps = steps
    self.seed = seed
    self.image = image
  }
}

/// The host's own judgement of a picture.
public typealias HostScore = (ScoredPicture) throws -> Double

/// Judges pictures: larger is better.
protocol PictureScorer {
  func score(_ picture: ScoredPicture, checkCancelled: @escaping () throws -> Void) throws -> Double
}

private struct HostScorer: PictureScorer {
  let body: HostScore
  func score(_ picture: ScoredPicture, checkCancelled: @escaping () throws -> Void) throws -> Double {
    try body(picture)
  }
}

/// The scorers that a run asked for, each under the name of its column.
public struct PictureScorers {
  public static let kinds = ["reward", "clip", "niqe", "host"]

  public private(set) var names: [String] = []
  private var scorers: [any PictureScorer] = []

  /// `text` lists `kind` or `kind:path` separated by commas; `reward` without a path is the pipeline's own reward model.
  public init(_ text: String, pipeline: StableDiffusionPipeline, host: HostScore?) throws {
    for part in text.split(separator: ",", omittingEmptySubsequences: false).map(String.init) {
      let colon = part.firstIndex(of: ":")
      let kind = String(part[..<(colon ?? part.endIndex)])
      let path = colon.map { String(part[part.index(after: $0)...]) }
      guard Self.kinds.contains(kind), path != "" else {
        throw Failure(
          .unknownName, "there is no scorer '\(part)'", component: "reward",
          expected: "one of \(Self.kinds.joined(separator: ", ")), with :path where it has one", actual: text)
      }
      guard !names.contains(kind) else {
        throw Failure(.invalidArgument, "the scorer '\(kind)' is named twice", component: "reward", actual: text)
      }
      names.append(kind)
      scorers.append(try Self.make(kind, path, pipeline, host))
    }
  }

  private static func make(
    _ kind: String, _ path: String?, _ pipeline: StableDiffusionPipeline, _ host: HostScore?
  ) throws -> any PictureScorer {
    switch (kind, path) {
    case ("reward", _): return try RewardModel(folder: path ?? pipeline.path + "/reward", pipeline: pipeline)
    case ("clip", let path?): return try ClipScore(folder: path, pool: pipeline.threadPool)
    case ("niqe", let path?): return try Niqe(parametersFile: path)
    case ("host", nil):
      guard let host else {
        throw Failure(
          .invalidArgument, "the scorer 'host' needs a callback (adadiff_options_set_scorer)", component: "reward")
      }
      return HostScorer(body: host)
    default:
      throw Failure(
        .invalidArgument, "the scorer '\(kind)' \(path == nil ? "needs" : "takes no") a path", component: "reward",
        expected: path == nil ? "\(kind):path" : kind)
    }
  }

  /// One number per name. Throws `.notFinite` for anything else than a number.
  public func scores(_ picture: ScoredPicture, callbacks: RunCallbacks) throws -> [Double] {
    try zip(names, scorers).map { name, scorer in
      let score = try scorer.score(picture, checkCancelled: { try callbacks.checkCancelled() })
      guard score.isFinite else {
        throw Failure(
          .notFinite, "the scorer '\(name)' gave no finite number for '\(picture.prompt.prefix(80))'",
          component: "reward", actual: "\(score)")
      }
      return score
    }
  }

  /// A video's score: the mean over its frames.
  public func scores(frames: [ScoredPicture], callbacks: RunCallbacks) throws -> [Double] {
    guard !frames.isEmpty else { throw Failure(.invalidArgument, "a video has no frames", component: "reward") }
    var totals = [Double](repeating: 0, count: names.count)
    for frame in frames {
      for (index, score) in try scores(frame, callbacks: callbacks).enumerated() { totals[index] += score }
    }
    return totals.map { $0 / Double(frames.count) }
  }
}
