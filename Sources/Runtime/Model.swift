import Graph
import Operators
import Support

/// Name and declared ONNX type of a model input or output.
public struct TensorDescription: Sendable, Hashable {
  public var name: String
  public var type: DeclaredType

  public init(name: String, type: DeclaredType) {
    self.name = name
    self.type = type
  }
}

/// How a model is loaded.
public struct ModelOptions: Sendable {
  /// Runs use this pool unless `RunOptions.pool` names another; nil: a pool of one thread.
  public var pool: ThreadPool?
  /// Plan the graph (fold, fuse, assign memory). Off: every node runs as the file writes it; slow, for checking.
  public var optimized = true
  /// Of the large products, in a planned graph.
  public var precision = Precision.float32

  public init(pool: ThreadPool? = nil, optimized: Bool = true, precision: Precision = .float32) {
    self.pool = pool
    self.optimized = optimized
    self.precision = precision
  }
}

/// What one run may say.
public struct RunOptions {
  public var pool: ThreadPool?
  /// Polled between nodes and inside long kernels; throws `.cancelled` when the run's token has fired.
  public var checkCancelled: (() throws -> Void)?
  /// Receives the time of every node.
  public var profiler: Profiler?
  /// Shares what constant inputs give with the other runs of the series, and computes once what repeated inputs give.
  public var series: RunSeries?

  public init(
    pool: ThreadPool? = nil, checkCancelled: (() throws -> Void)? = nil, profiler: Profiler? = nil,
    series: RunSeries? = nil
  ) {
    self.series = series
    self.pool = pool
    self.checkCancelled = checkCancelled
    self.profiler = profiler
  }
}

/// An ONNX model ready to run. Immutable from outside; several threads may run it at the same time.
public final class Model: @unchecked Sendable {
  public let inputs: [TensorDescription]
  public let outputs: [TensorDescription]
  /// Metadata properties of the file.
  public let metadata: [String: String]
  /// Of its large products.
  public let precision: Precision

  let path: String?
  private let pool: ThreadPool
  private enum Engine {
    case planned(PlanCache)
    /// Every node runs as the file writes it.
    case eager(CompiledGraph)
  }
  private let engine: Engine

  /// The graph that plans are made from.
  var plannedGraph: Graph? { if case .planned(let plans) = engine { plans.graph } else { nil } }

  /// Loads the ONNX file at `path`. Every operator without an implementation is reported here, never at run time.
  public convenience init(path: String, options: ModelOptions = ModelOptions()) throws {
    let loaded = try ModelLoader.load(path: path)
    do {
      try self.init(loaded, path: path, options: options)
    } catch let failure as Failure {
      throw failure.adding(file: path)
    }
  }

  /// A model from a graph that is already in memory.
  public init(_ loaded: LoadedModel, path: String? = nil, options: ModelOptions = ModelOptions()) throws {
    let graph = loaded.graph
    let compiled = try CompiledGraph.compile(graph)
    inputs = graph.inputs.map {
      TensorDescription(name: graph.values[$0.index].name, type: graph.values[$0.index].type)
    }
    outputs = graph.outputs.map {
      TensorDescription(name: graph.values[$0.index].name, type: graph.values[$0.index].type)
    }
    metadata = loaded.metadata
    let pool = options.pool ?? ThreadPool(threads: 1)
    self.pool = pool
    precision = options.optimized ? options.precision : .float32
    engine =
      options.optimized ? .planned(try PlanCache(graph, precision: precision, pool: pool)) : .eager(compiled)
    self.path = path
  }

  /// Runs the model. `feeds` holds one tensor per input name; `outputs` nil asks for all outputs.
  public func run(
    _ feeds: [String: Tensor], outputs: [String]? = nil, options: RunOptions = RunOptions()
  ) throws -> [String: Tensor] {
    try run(values: feeds.mapValues { .tensor($0) }, outputs: outputs, options: options).mapValues { value in
      switch value {
      case .tensor(let tensor): return tensor
      case .optional(.tensor(let tensor)?): return tensor
      default: throw Failure(.unsupported, "an output is a sequence or an empty optional, not a tensor", file: path)
      }
    }
  }

  /// As `run`, for models whose inputs or outputs are sequences or optionals.
  public func run(
    values feeds: [String: Value], outputs names: [String]? = nil, options: RunOptions = RunOptions()
  ) throws -> [String: Value] {
    do {
      let ordered = try orderedInputs(feeds)
      for name in names ?? [] where !outputs.contains(where: { $0.name == name }) {
        throw Failure(
          .unknownName, "the model has no output '\(name)'", expected: outputs.map(\.name).joined(separator: ", "))
      }
      let pool = options.pool ?? self.pool
      let checkCancelled = options.checkCancelled ?? {}
      let wanted = outputs.indices.filter { names?.contains(outputs[$0].name) ?? true }
      var named: [String: Value] = [:]
      switch engine {
      case .planned(let plans):
        func positions(where holds: (RunSeries, Int) -> Bool) -> [Int] {
          options.series.map { series in inputs.indices.filter { holds(series, $0) } } ?? []
        }
        let plan = try plans.plan(
          for: ordered, wanted: wanted,
          constantInputs: positions { $0.constantInputs.contains(inputs[$1].name) },
          repeatedInputs: positions { $0.isRepeated(inputs[$1].name, ordered[$1]) }, pool: pool,
          checkCancelled: checkCancelled)
        let executor = PlanExecutor(pool: pool, checkCancelled: checkCancelled, profiler: options.profiler)
        for (position, value) in zip(wanted, try executor.run(plan, inputs: ordered, series: options.series)) {
          named[outputs[position].name] = value
        }
      case .eager(let compiled):
        let executor = EagerExecutor(pool: pool, checkCancelled: checkCancelled, profiler: options.profiler)
        let results = try executor.run(compiled, captured: [], inputs: ordered)
        for position in wanted { named[outputs[position].name] = results[position] }
      }
      return named
    } catch let failure as Failure {
      throw failure.adding(file: path)
    }
  }

  private func orderedInputs(_ feeds: [String: Value]) throws -> [Value?] {
    let known = inputs.map(\.name).joined(separator: ", ")
    for name in feeds.keys where !inputs.contains(where: { $0.name == name }) {
      throw Failure(.unknownName, "the model has no input '\(name)'", expected: known)
    }
    return try inputs.map { input in
      guard let value = feeds[input.name] else {
        if case .optional = input.type { return .optional(nil) }
        throw Failure(.invalidArgument, "input '\(input.name)' is missing", expected: known)
      }
      try FeedCheck.check(value, name: input.name, declared: input.type)
      return value
    }
  }
}
