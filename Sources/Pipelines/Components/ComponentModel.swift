import Graph
import Runtime
import Support

/// One component's ONNX graph with checks that name the component.
struct ComponentModel: Sendable {
  let name: String
  let model: Model

  /// Loads `folder/component/model.onnx`.
  init(_ name: String, in folder: String, pool: ThreadPool, precision: Precision) throws {
    self.name = name
    let file = "\(folder)/\(name)/model.onnx"
    do {
      model = try Model(path: file, options: ModelOptions(pool: pool, precision: precision))
    } catch let failure as Failure {
      throw failure.adding(component: name, file: file)
    }
  }

  /// A network that can be cut at its skip connections.
  static func network(
    _ name: String, in folder: String, pool: ThreadPool, precision: Precision
  ) throws -> (ComponentModel, NetworkCuts) {
    let file = "\(folder)/\(name)/model.onnx"
    do {
      var loaded = try ModelLoader.load(path: file)
      let options = ModelOptions(pool: pool, precision: precision)
      let cuts = NetworkCuts(&loaded, options: options)
      let model = try Model(loaded, path: file, options: options)
      return (ComponentModel(name: name, model: model), cuts)
    } catch let failure as Failure {
      throw failure.adding(component: name, file: file)
    }
  }

  init(name: String, model: Model) {
    self.name = name
    self.model = model
  }

  /// The declared input of that name, or nil.
  func input(_ name: String) -> TensorDescription? { model.inputs.first { $0.name == name } }

  func requiredInput(_ input: String) throws(Failure) -> TensorDescription {
    guard let description = self.input(input) else {
      throw Failure(
        .unsupported, "the graph has no input '\(input)'", component: name, expected: input,
        actual: model.inputs.map(\.name).joined(separator: ", "))
    }
    return description
  }

  /// Refuses graphs that want more than the pipeline can give.
  func allowOnlyInputs(_ known: [String]) throws(Failure) {
    for input in model.inputs where !known.contains(input.name) {
      throw Failure(
        .unsupported, "the graph wants the additional input '\(input.name)', which this pipeline does not make",
        component: name, expected: known.joined(separator: ", "), actual: input.name)
    }
  }

  /// The output of that name, else the first one (exporters name them differently, the order is fixed).
  func output(preferred: String) throws(Failure) -> String {
    guard let first = model.outputs.first else { throw Failure(.corrupt, "the graph has no outputs", component: name) }
    return model.outputs.contains { $0.name == preferred } ? preferred : first.name
  }

  func run(_ feeds: [String: Tensor], outputs: [String], options: RunOptions) throws -> [String: Tensor] {
    do {
      return try model.run(feeds, outputs: outputs, options: options)
    } catch let failure as Failure {
      throw failure.adding(component: name)
    }
  }

  /// As `run` with one output, checked for shape and converted to float32.
  func run(_ feeds: [String: Tensor], output: String, shape: [Int?], options: RunOptions) throws -> Tensor {
    try checked(run(feeds, outputs: [output], options: options), output: output, shape: shape)
  }

  /// One of the results, checked for shape and converted to float32.
  func checked(_ results: [String: Tensor], output: String, shape: [Int?]) throws -> Tensor {
    guard let tensor = results[output] else { throw Failure(.internalError, "no output '\(output)'", component: name) }
    guard tensor.rank == shape.count, zip(tensor.shape, shape).allSatisfy({ $1 == nil || $0 == $1 }) else {
      throw Failure(
        .shapeMismatch, "output '\(output)' has another shape", component: name,
        expected: "(\(shape.map { $0.map(String.init) ?? "?" }.joined(separator: ", ")))", actual: "\(tensor.shape)")
    }
    do throws(Failure) {
      return try tensor.asFloat32()
    } catch {
      throw error.adding(component: name)
    }
  }
}

extension TensorDescription {
  /// Element type and declared dimensions of a tensor input; throws for sequences and unknown types.
  func tensorType(component: String) throws(Failure) -> (type: DataType, shape: [Dimension]?) {
    guard case .tensor(let type, let shape) = type else {
      throw Failure(.unsupported, "'\(name)' is no tensor", component: component)
    }
    return (type, shape)
  }

  /// As `tensorType`, which must be floating point.
  func floatingPointType(component: String) throws(Failure) -> DataType {
    let type = try tensorType(component: component).type
    guard [.float32, .float16, .bfloat16, .float64].contains(type) else {
      throw Failure(
        .typeMismatch, "input '\(name)' must be floating point", component: component, expected: "float32",
        actual: type.name)
    }
    return type
  }
}
