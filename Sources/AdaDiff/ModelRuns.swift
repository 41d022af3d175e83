import CAdaDiff
import Graph
import Pipelines
import Runtime
import Support

/// Feeds of a run, checked for names and duplicates.
private func feeds(_ inputs: [CheckedView], of model: Model) throws -> [String: Tensor] {
  var feeds: [String: Tensor] = [:]
  for view in inputs {
    guard model.inputs.contains(where: { $0.name == view.name }) else {
      throw Failure(
        .unknownName, "the model has no input '\(view.name)'",
        expected: "one of \(model.inputs.map(\.name).joined(separator: ", "))", actual: view.name)
    }
    guard feeds[view.name] == nil else { throw Failure(.invalidArgument, "input '\(view.name)' is given twice") }
    feeds[view.name] = try view.inputTensor()
  }
  for input in model.inputs where feeds[input.name] == nil {
    throw Failure(.invalidArgument, "input '\(input.name)' is missing")
  }
  return feeds
}

private func checkOutput(_ name: String, of model: Model) throws {
  guard model.outputs.contains(where: { $0.name == name }) else {
    throw Failure(
      .unknownName, "the model has no output '\(name)'",
      expected: "one of \(model.outputs.map(\.name).joined(separator: ", "))", actual: name)
  }
}

/// Runs with the options' pool, token and profiler; returns results and a report.
private func run(
  _ object: ModelObject, _ feeds: [String: Tensor], outputs: [String]?, options: OptionsObject
) throws -> (results: [String: Tensor], report: JSON) {
  let callbacks = RunCallbacks(options)
  let profiler = options.named.generation.profile ? Profiler() : nil
  let start = Clock.milliseconds()
  let results = try object.model.run(
    feeds, outputs: outputs,
    options: RunOptions(
      checkCancelled: { try callbacks.checkCancelled() }, profiler: profiler, series: object.series))
  var report: [String: JSON] = [
    "milliseconds": JSON(Clock.milliseconds() - start), "precision": JSON(object.model.precision.rawValue),
  ]
  if let profiler {
    report["operators"] = GenerationReport.operators(profiler)
    report["nodes"] = GenerationReport.nodes(profiler)
  }
  return (results, .object(report))
}

@c @implementation
public func adadiff_model_run(
  _ model: OpaquePointer?, _ inputs: UnsafePointer<adadiff_tensor>?, _ input_count: Int32,
  _ output_names: UnsafePointer<UnsafePointer<CChar>?>?, _ output_count: Int32, _ options: OpaquePointer?,
  _ results: HandleSlot?, _ error: HandleSlot?
) -> adadiff_status {
  made(results, error, named: "results") {
    let object = try object(model, "model", as: ModelObject.self)
    let options = try optionsObject(options)
    let inputs = try views(inputs, count: input_count, named: "inputs").map { try CheckedView($0, of: "inputs") }
    let names: [String]
    if let output_names {
      guard (1...65536).contains(output_count) else {
        throw Failure(.outOfRange, "output_count is out of range", expected: "1…65536", actual: "\(output_count)")
      }
      names = try (0..<Int(output_count)).map { try text(output_names[$0], "output_names[\($0)]") }
    } else {
      guard output_count == 0 else {
        throw Failure(.invalidArgument, "argument 'output_names' is NULL while output_count is \(output_count)")
      }
      names = object.model.outputs.map(\.name)
    }
    for name in names { try checkOutput(name, of: object.model) }
    let (tensors, report) = try run(object, feeds(inputs, of: object.model), outputs: names, options: options)
    return TensorsObject(
      try names.map { name in
        guard let tensor = tensors[name] else { throw Failure(.internalError, "the run gave no output '\(name)'") }
        return (name, try detached(tensor, from: inputs))
      }, report: report.text)
  }
}

/// A tensor that no longer refers to the caller's input memory (graphs may pass inputs through).
private func detached(_ tensor: Tensor, from inputs: [CheckedView]) throws -> Tensor {
  guard let start = tensor.bytes.baseAddress else { return tensor }
  let overlaps = inputs.contains { view in
    guard let input = view.bytes.baseAddress else { return false }
    return start < input + view.bytes.count && input < start + tensor.bytes.count
  }
  guard overlaps || tensor.owner == nil else { return tensor }
  let copy = try Tensor(type: tensor.type, shape: tensor.shape)
  copy.bytes.copyMemory(from: UnsafeRawBufferPointer(tensor.bytes))
  return copy
}

@c @implementation
public func adadiff_model_run_into(
  _ model: OpaquePointer?, _ inputs: UnsafePointer<adadiff_tensor>?, _ input_count: Int32,
  _ outputs: UnsafePointer<adadiff_tensor>?, _ output_count: Int32, _ options: OpaquePointer?, _ error: HandleSlot?
) -> adadiff_status {
  mapped(error) {
    let object = try object(model, "model", as: ModelObject.self)
    let options = try optionsObject(options)
    let inputs = try views(inputs, count: input_count, named: "inputs").map { try CheckedView($0, of: "inputs") }
    let outputs = try views(outputs, count: output_count, named: "outputs").map { try CheckedView($0, of: "outputs") }
    guard !outputs.isEmpty else { throw Failure(.invalidArgument, "no outputs were asked for") }
    for output in outputs {
      try checkOutput(output.name, of: object.model)
      guard output.type != .string else {
        throw Failure(.unsupported, "output '\(output.name)' holds strings, which cannot be written into a buffer")
      }
    }
    let (tensors, _) = try run(
      object, feeds(inputs, of: object.model), outputs: outputs.map(\.name), options: options)
    for output in outputs {
      guard let tensor = tensors[output.name] else {
        throw Failure(.internalError, "the run gave no output '\(output.name)'")
      }
      guard tensor.type == output.type else {
        throw Failure(
          .typeMismatch, "output '\(output.name)' has another element type", expected: tensor.type.name,
          actual: output.type.name)
      }
      guard tensor.shape == output.shape else {
        throw Failure(
          .shapeMismatch, "output '\(output.name)' has another shape", expected: "\(tensor.shape)",
          actual: "\(output.shape)")
      }
      output.bytes.copyMemory(from: UnsafeRawBufferPointer(tensor.bytes))
    }
  }
}
