import Glibc
import Graph
import Runtime
import Support

/// The denoising network: noisy latents, timestep and text features to a prediction.
struct NoisePredictor: Sendable {
  /// How the graph wants the timestep.
  private enum TimestepShape {
    case scalar
    case one
    case batch
  }

  private let component: ComponentModel
  let cuts: NetworkCuts
  private let sampleType: DataType
  private let timestepType: DataType
  private let timestepShape: TimestepShape
  private let stateType: DataType
  private let conditionType: DataType?
  private let conditionSize: Int
  private let outputName: String

  init(folder: PipelineFolder, pool: ThreadPool, precision: Precision) throws {
    (component, cuts) = try ComponentModel.network(
      "unet", in: folder.path, pool: pool, precision: precision)
    try component.allowOnlyInputs(["sample", "timestep", "encoder_hidden_states", "timestep_cond"])
    let sample = try component.requiredInput("sample")
    let timestep = try component.requiredInput("timestep")
    let states = try component.requiredInput("encoder_hidden_states")
    sampleType = try sample.floatingPointType(component: "unet")
    stateType = try states.floatingPointType(component: "unet")
    let (type, shape) = try timestep.tensorType(component: "unet")
    guard [.float32, .float16, .bfloat16, .float64, .int64, .int32].contains(type) else {
      throw Failure(
        .typeMismatch, "input 'timestep' has a type that no timestep has", component: "unet",
        expected: "a floating-point type, int64 or int32", actual: type.name)
    }
    timestepType = type
    let sampleShape = try sample.tensorType(component: "unet").shape
    timestepShape = try Self.timestepShape(shape, batch: sampleShape?.first)
    if let sampleShape, sampleShape.count == 4, case .fixed(let channels) = sampleShape[1],
      channels != folder.latentChannels
    {
      throw Failure(
        .shapeMismatch, "the graph's channels do not fit config.json", component: "unet",
        expected: "\(folder.latentChannels)", actual: "\(channels)")
    }
    conditionType = try component.input("timestep_cond").map { try $0.floatingPointType(component: "unet") }
    conditionSize = folder.timeConditionSize ?? 256
    outputName = try component.output(preferred: "out_sample")
  }

  private static func timestepShape(_ shape: [Dimension]?, batch: Dimension?) throws(Failure) -> TimestepShape {
    guard let shape else { return .scalar }
    guard let only = shape.first else { return .scalar }
    guard shape.count == 1 else {
      throw Failure(
        .unsupported, "input 'timestep' has rank \(shape.count)", component: "unet",
        expected: "a scalar or one dimension")
    }
    switch only {
    case .fixed(1): return .one
    case .fixed: return .batch
    case .symbolic(let name): if case .symbolic(name)? = batch { return .batch } else { return .one }
    case .unknown: return .one
    }
  }

  /// Inputs that change from step to step.
  static let stepInputs = ["sample", "timestep"]
  /// Inputs that keep their elements from step to step.
  var constantInputs: [String] { component.model.inputs.map(\.name).filter { !Self.stepInputs.contains($0) } }

  /// Whether the guidance scale is an input of the network instead of a second prediction.
  var embedsGuidance: Bool { conditionType != nil }

  /// Text features in the graph's type, made once per run.
  func prepared(states: Tensor) throws -> Tensor { try states.asFloatingPoint(stateType) }

  /// `timestep_cond` for distilled models: the sinusoidal embedding of guidance scale - 1, times 1000.
  func guidanceEmbedding(scale: Double, batch: Int) throws -> Tensor? {
    guard let conditionType else { return nil }
    let half = conditionSize / 2
    let embedding = try Tensor(type: .float32, shape: [batch, conditionSize])
    let values = embedding.buffer(Float.self)
    values.initialize(repeating: 0)
    for row in 0..<batch {
      for index in 0..<half {
        let angle = (scale - 1) * 1000 * exp(-log(10000.0) * Double(index) / Double(max(1, half - 1)))
        values[row * conditionSize + index] = Float(sin(angle))
        values[row * conditionSize + half + index] = Float(cos(angle))
      }
    }
    return try embedding.asFloatingPoint(conditionType)
  }

  /// `sample` float32 (batch, channels, height, width) to a float32 prediction of the same shape. `stream` numbers the
  /// kinds of call of a run (with the prompt alone, for guidance), each of which has a feature of its own in the cache.
  func predict(
    sample: Tensor, timestep: Double, states: Tensor, condition: Tensor?, part: NetworkPart = .whole,
    stream: Int = 0, options: RunOptions
  ) throws -> Tensor {
    var feeds = [
      "sample": try sample.asFloatingPoint(sampleType),
      "timestep": try timestepTensor(timestep, batch: sample.shape[0]),
      "encoder_hidden_states": states,
    ]
    if let condition { feeds["timestep_cond"] = condition }
    switch part {
    case .whole: return try component.run(feeds, output: outputName, shape: sample.shape, options: options)
    case .keeping(let cache):
      let name = cuts.names[cache.branch]
      let results = try component.run(feeds, outputs: [outputName, name], options: options)
      guard let deep = results[name] else {
        throw Failure(.internalError, "no feature '\(name)'", component: component.name)
      }
      cache[stream] = deep
      return try component.checked(results, output: outputName, shape: sample.shape)
    case .outer(let cache):
      guard let deep = cache[stream] else {
        throw Failure(.internalError, "a step reads a feature that no step kept", component: component.name)
      }
      feeds[cuts.names[cache.branch]] = deep
      let outer = ComponentModel(name: component.name, model: try cuts.outerModel(branch: cache.branch))
      return try outer.run(feeds, output: outputName, shape: sample.shape, options: options)
    }
  }

  /// Operations of one call on `batch` inputs; `branch` nil: of the whole network.
  func multiplyAccumulates(
    batch: Int, latentShape: [Int], states: [Int], branch: Int? = nil
  ) throws -> MultiplyAccumulates {
    let count = timestepShape == .batch ? [batch] : timestepShape == .one ? [1] : []
    var shapes = [
      "sample": [batch] + latentShape.dropFirst(), "timestep": count,
      "encoder_hidden_states": [batch] + states.dropFirst(),
    ]
    if conditionType != nil { shapes["timestep_cond"] = [batch, conditionSize] }
    let whole = try component.model.multiplyAccumulates(shapes: shapes, outputs: [outputName])
    guard let branch else { return whole }
    try cuts.check(branch: branch)
    // What the kept feature saves is what its own computation costs, less what the outer part needs as well.
    return try cuts.outerModel(branch: branch).multiplyAccumulates(
      shapes: shapes.merging([cuts.names[branch]: try deepShape(shapes, branch: branch)]) { $1 },
      outputs: [outputName])
  }

  private func deepShape(_ shapes: [String: [Int]], branch: Int) throws -> [Int] {
    try component.model.inferredShape(of: cuts.names[branch], shapes: shapes)
  }

  private func timestepTensor(_ timestep: Double, batch: Int) throws(Failure) -> Tensor {
    guard let nearest = Int32(exactly: timestep.rounded()) else {
      throw Failure(
        .notFinite, "the scheduler gave an unusable timestep", component: "scheduler", actual: "\(timestep)")
    }
    let shape: [Int] =
      switch timestepShape {
      case .scalar: []
      case .one: [1]
      case .batch: [batch]
      }
    let count = timestepShape == .batch ? batch : 1
    switch timestepType {
    case .int64:
      // Karras sigmas and the like give fractions; integer graphs get the nearest timestep.
      return try Tensor(type: .int64, shape: shape, values: Array(repeating: Int64(nearest), count: count))
    case .int32:
      return try Tensor(type: .int32, shape: shape, values: Array(repeating: nearest, count: count))
    default:
      return try Tensor(type: .float32, shape: shape, values: Array(repeating: Float(timestep), count: count))
        .asFloatingPoint(timestepType)
    }
  }
}
