import Adaptive
import Graph
import Support

/// Measures candidates on a pipeline and keeps the Pareto front of quality against time on this machine.
public struct Calibration {
  public let pipeline: StableDiffusionPipeline
  public let prompts: [String]
  /// Scheduler, guidance, seed and the steps of the full run.
  public let options: GenerationOptions

  public init(pipeline: StableDiffusionPipeline, prompts: [String], options: GenerationOptions) {
    self.pipeline = pipeline
    self.prompts = prompts
    self.options = options
  }

  /// Most skips in a row of a mask; 12 was no better for certain on 16 prompts of the bundled model.
  public static let maximumSkips = 9

  /// Fixed masks by dynamic programming, one per number of network calls, of the prediction that `weighting` says.
  public static func maskRows(
    _ trajectories: RecordedTrajectories, counts: [Int], maximumSkips: Int = maximumSkips,
    weighting: RecordedTrajectories.Weighting = .init(order: 1, quantity: .epsilon, corrected: true)
  ) throws(Failure) -> [EvaluationRow] {
    var rows: [EvaluationRow] = []
    for count in counts {
      let mask = try trajectories.bestMask(count: count, maximumSkips: maximumSkips, weighting: weighting)
      rows.append(
        EvaluationRow(
          "fixed mask, \(count) calls",
          skip: "fixed-mask:mask=\(mask.text),order=\(weighting.order),of=\(weighting.quantity.rawValue),"
            + "correct=\(weighting.corrected ? "auto" : "false")"))
    }
    return rows
  }

  /// The run with noise that no evaluation of these options draws: masks are searched on it and measured without it.
  public static func otherNoise(_ options: GenerationOptions) -> GenerationOptions {
    var other = options
    other.seed = (options.seed ?? 0) &+ 1_000_000
    return other
  }

  /// Everything that calibration tries for a full run of `steps`; `branches` are the network's skip connections.
  public func candidates(callbacks: RunCallbacks) throws -> [EvaluationRow] {
    guard case .fixed(let steps) = options.steps else {
      throw Failure(.invalidArgument, "calibration needs a fixed number of steps")
    }
    var rows: [EvaluationRow] = []
    let shares = [0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6]
    let counts = Set(shares.map { max(2, Int((Double(steps) * $0).rounded())) }).sorted()
    rows += counts.map { EvaluationRow("\($0) plain steps", steps: $0) }
    rows += [0.002, 0.005, 0.01, 0.02, 0.04].map {
      EvaluationRow("step control \($0)", skip: "step-control:tolerance=\($0)")
    }
    rows += [2, 3].map { EvaluationRow("every \($0)", skip: "every:n=\($0)") }
    rows += ["0.005", "0.01", "0.02"].map { EvaluationRow("third-order \($0)", skip: "third-order:delta=\($0)") }
    let branches = try pipeline.noisePredictor.get().cuts.names.count
    for interval in [2, 3] where branches > 0 {
      for branch in Set([0, min(2, branches - 1)]).sorted() {
        rows.append(
          EvaluationRow(
            "DeepCache \(interval), branch \(branch)", cache: "deepcache:branch=\(branch),interval=\(interval)"))
      }
    }
    let recorded = try RecordedTrajectories(
      prompts: prompts, pipeline: pipeline, options: Self.otherNoise(options), callbacks: callbacks)
    let masked = counts.filter { $0 * (Self.maximumSkips + 1) >= recorded.calls && $0 <= recorded.calls }
    rows += try Self.maskRows(recorded, counts: masked)
    return rows
  }

  /// Measures `rows` and keeps the front; the full run is always a candidate.
  public func run(
    _ rows: [EvaluationRow], callbacks: RunCallbacks, progress: ((EvaluationResult, EvaluationResult) -> Void)? = nil
  ) throws -> AdaptiveProfile {
    guard case .fixed(let steps) = options.steps else {
      throw Failure(.invalidArgument, "calibration needs a fixed number of steps")
    }
    let evaluation = try SkipEvaluation(prompts: prompts, pipeline: pipeline, options: options, callbacks: callbacks)
    var full = evaluation.full
    full.psnr = [.infinity]
    var entries = [AdaptiveProfile.Entry(full, steps: steps)]
    for row in rows {
      let result = try evaluation.evaluate(row, callbacks: callbacks)
      progress?(result, full)
      entries.append(AdaptiveProfile.Entry(result, steps: steps))
    }
    return AdaptiveProfile(
      scheduler: options.scheduler ?? pipeline.folder.scheduler.className ?? "", steps: steps, candidates: entries)
  }
}
