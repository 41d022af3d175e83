import Adaptive
import Glibc
import Graph
import Schedulers
import Support

/// Full runs whose network outputs were kept, to search masks on without running the network again.
public struct RecordedTrajectories: Sendable {
  /// Per run, per call: the noise prediction.
  private var runs: [[[Float]]] = []
  private var originals: [[[Float]]] = []
  private let logSNR: [Double]
  /// noise / signal at every call and at the end.
  private let ratios: [Double]
  public let calls: Int
  /// Calls that must run and from which on earlier outputs are of no use: where guidance begins or ends.
  private var breaks: [Int] = []

  /// One full run per prompt, with `options` (no skip rule, no cache) and seeds counted from `options.seed`.
  public init(
    prompts: [String], pipeline: StableDiffusionPipeline, options: GenerationOptions, callbacks: RunCallbacks
  ) throws {
    guard case .fixed(let steps) = options.steps else {
      throw Failure(.invalidArgument, "trajectories are recorded for a fixed number of steps")
    }
    let scheduler = try SchedulerFactory.make(
      className: options.scheduler, configuration: pipeline.folder.scheduler, steps: steps, eta: options.eta)
    calls = scheduler.timesteps.count
    let signals = (0..<calls).map { max(1e-8, scheduler.signalScale(call: $0)) }
    let noises = (0..<calls).map { max(1e-8, scheduler.noiseScale(call: $0)) }
    logSNR = zip(signals, noises).map { log($0 / $1) }
    ratios = zip(signals, noises).map { $1 / $0 } + [0]
    let session = Session(pipeline: pipeline)
    for (index, prompt) in prompts.enumerated() {
      var single = options
      single.seed = (options.seed ?? 0) &+ UInt64(index)
      single.skip = nil
      single.cache = nil
      single.decode = false
      var (noise, original): ([[Float]], [[Float]]) = ([], [])
      var traced = callbacks
      traced.trace = { call, latents, output in
        let (e, o) = (scheduler.epsilonForm(call: call), scheduler.originalForm(call: call))
        noise.append(zip(latents, output).map { Float(e.sample * Double($0) + e.output * Double($1)) })
        original.append(zip(latents, output).map { Float(o.sample * Double($0) + o.output * Double($1)) })
      }
      let steps = try session.generate(prompt: prompt, options: single, callbacks: traced).report.steps
      breaks = SkipSearch.breaks(steps)
      runs.append(noise)
      originals.append(original)
    }
  }

  /// How errors along the way count at the end: in y = latents / signal the errors of the noise predictions add up with
  /// weights Δ(noise / signal). `contraction` above 0 says that the network corrects early errors, by `(end / here)` to that
  /// power; on the bundled model 1 and 2 gave much worse masks at 15 of 50 calls, and up to 0.5 made no certain difference.
  public struct Weighting: Sendable {
    public var order: Int
    public var quantity: SkipQuantity
    public var corrected: Bool
    public var contraction: Double

    public init(order: Int, quantity: SkipQuantity, corrected: Bool, contraction: Double = 0) {
      self.order = order
      self.quantity = quantity
      self.corrected = corrected
      self.contraction = contraction
    }
  }

  /// The best mask with exactly `count` network calls for all recorded runs together.
  public func bestMask(count: Int, maximumSkips: Int, weighting: Weighting) throws(Failure) -> SkipMask {
    let reach = maximumSkips + 1
    var cached = [Double](repeating: -1, count: calls * (reach + 1) * (reach + 1))
    let search = MaskSearch(calls: calls, maximumSkips: maximumSkips)
    let found = try search.best(count: count) { before, start, end in
      let gap = before < 0 ? 0 : start - before
      let key = (start * (reach + 1) + gap) * (reach + 1) + (end - start)
      if cached[key] < 0 { cached[key] = cost(before, start, end, weighting) }
      return cached[key]
    }
    return SkipMask(runs: found.runs, calls: calls)
  }

  private func cost(_ before: Int, _ start: Int, _ end: Int, _ weighting: Weighting) -> Double {
    guard end > start + 1 else { return 0 }
    guard !breaks.contains(where: { $0 > start && $0 < end }) else { return .infinity }
    let first = breaks.last { $0 <= start } ?? 0
    var nodes = [start]
    if weighting.order >= 1, before >= first { nodes.append(before) }
    if weighting.order >= 2, before > first { nodes.append(max(first, before - (start - before))) }
    if weighting.corrected, end < calls, !breaks.contains(end) { nodes.insert(end, at: 0) }
    let axis = nodes.map { logSNR[$0] }
    var total = 0.0
    let size = runs.first?.first?.count ?? 0
    var sum = [Float](repeating: 0, count: size)
    for run in runs.indices {
      for index in sum.indices { sum[index] = 0 }
      for call in start + 1..<end {
        let weights = Extrapolation.weights(nodes: axis, position: logSNR[call])
        // Clean latents' errors as errors of the noise prediction: ε = (x - signal x0) / noise.
        let scale = weighting.quantity == .original ? -1 / ratios[call] : 1
        let factor = Float((ratios[call + 1] - ratios[call]) * scale)
        let values = weighting.quantity == .original ? originals[run] : runs[run]
        add(values[call], -factor, &sum)
        for (node, weight) in zip(nodes, weights) { add(values[node], factor * Float(weight), &sum) }
      }
      var squares = 0.0
      for value in sum { squares += Double(value) * Double(value) }
      total += squares
    }
    return total / pow(max(ratios[end], 0.02), 2 * weighting.contraction)
  }

  private func add(_ values: [Float], _ factor: Float, _ sum: inout [Float]) {
    values.withUnsafeBufferPointer { values in
      sum.withUnsafeMutableBufferPointer { sum in
        for index in 0..<min(values.count, sum.count) { sum[index] += factor * values[index] }
      }
    }
  }
}
