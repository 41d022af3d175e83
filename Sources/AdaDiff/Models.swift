import CAdaDiff
import Graph
import Pipelines
import Runtime
import Support

/// Name, type and dimensions of one input or output, as C callers read them.
private struct Port: Sendable {
  let name: CText
  let type: DataType?
  /// Nil: rank not declared.
  let dims: [(size: Int64, name: CText?)]?

  init(_ description: TensorDescription) {
    name = CText(description.name)
    if case .tensor(let type, let shape) = description.type {
      self.type = type
      dims = shape?.map { dimension in
        switch dimension {
        case .fixed(let size): (Int64(size), nil)
        case .symbolic(let name): (-1, CText(name))
        case .unknown: (-1, nil)
        }
      }
    } else {
      type = nil
      dims = nil
    }
  }
}

/// A model behind its handle.
final class ModelObject: Sendable {
  let model: Model
  /// Of all its runs; nil without constant and repeated inputs.
  let series: RunSeries?
  fileprivate let inputs: [Port]
  fileprivate let outputs: [Port]
  let information: CText

  init(_ loaded: LoadedModel, path: String?, options: OptionsObject) throws {
    let opening = options.named.pipeline
    let model = try Model(
      loaded, path: path, options: ModelOptions(pool: opening.makePool(), precision: opening.precision))
    let (constant, repeated) = (opening.constantInputs, opening.repeatedInputs)
    for (option, names) in [("constant_inputs", constant), ("repeated_inputs", repeated)] {
      for name in names where !model.inputs.contains(where: { $0.name == name }) {
        throw Failure(
          .unknownName, "option '\(option)': the model has no input '\(name)'",
          expected: "one of \(model.inputs.map(\.name).joined(separator: ", "))", actual: name)
      }
    }
    self.model = model
    series =
      constant.isEmpty && repeated.isEmpty ? nil : RunSeries(constantInputs: constant, repeatedInputs: repeated)
    inputs = model.inputs.map(Port.init)
    outputs = model.outputs.map(Port.init)
    information = CText(ModelInformation.json(of: loaded, precision: model.precision).text)
  }
}

@c @implementation
public func adadiff_model_open(
  _ path: UnsafePointer<CChar>?, _ options: OpaquePointer?, _ model: HandleSlot?, _ error: HandleSlot?
) -> adadiff_status {
  made(model, error, named: "model") {
    let options = try optionsObject(options)
    let path = try text(path, "path")
    do {
      return try ModelObject(ModelLoader.load(path: path), path: path, options: options)
    } catch let failure as Failure {
      throw failure.adding(file: path)
    }
  }
}

@c @implementation
public func adadiff_model_open_memory(
  _ bytes: UnsafeRawPointer?, _ byte_count: Int, _ folder: UnsafePointer<CChar>?, _ options: OpaquePointer?,
  _ model: HandleSlot?, _ error: HandleSlot?
) -> adadiff_status {
  made(model, error, named: "model") {
    let options = try optionsObject(options)
    guard let bytes, byte_count > 0 else { throw Failure(.invalidArgument, "argument 'bytes' is NULL or empty") }
    let folder = try folder.map { try text($0, "folder") }
    return try ModelObject(
      ModelLoader.load(bytes: UnsafeRawBufferPointer(start: bytes, count: byte_count), folder: folder), path: nil,
      options: options)
  }
}

@c @implementation
public func adadiff_model_free(_ model: OpaquePointer?) { HandleTable.shared.remove(model, as: ModelObject.self) }

@c @implementation
public func adadiff_model_info(_ model: OpaquePointer?) -> UnsafePointer<CChar>? {
  HandleTable.shared.find(model, as: ModelObject.self)?.information.pointer
}

// MARK: Inputs and outputs

private func ports(_ model: OpaquePointer?, _ side: KeyPath<ModelObject, [Port]>) -> [Port] {
  HandleTable.shared.find(model, as: ModelObject.self)?[keyPath: side] ?? []
}

private func port(_ model: OpaquePointer?, _ side: KeyPath<ModelObject, [Port]>, _ index: Int32) -> Port? {
  let all = ports(model, side)
  return all.indices.contains(Int(index)) ? all[Int(index)] : nil
}

private func dim(_ port: Port?, _ axis: Int32) -> (size: Int64, name: CText?)? {
  guard let dims = port?.dims, dims.indices.contains(Int(axis)) else { return nil }
  return dims[Int(axis)]
}

@c @implementation
public func adadiff_model_input_count(_ model: OpaquePointer?) -> Int32 {
  Int32(clamping: ports(model, \.inputs).count)
}

@c @implementation
public func adadiff_model_input_name(_ model: OpaquePointer?, _ index: Int32) -> UnsafePointer<CChar>? {
  port(model, \.inputs, index)?.name.pointer
}

@c @implementation
public func adadiff_model_input_type(_ model: OpaquePointer?, _ index: Int32) -> Int32 {
  port(model, \.inputs, index)?.type?.rawValue ?? 0
}

@c @implementation
public func adadiff_model_input_rank(_ model: OpaquePointer?, _ index: Int32) -> Int32 {
  port(model, \.inputs, index)?.dims.map { Int32(clamping: $0.count) } ?? -1
}

@c @implementation
public func adadiff_model_input_dim(_ model: OpaquePointer?, _ index: Int32, _ axis: Int32) -> Int64 {
  dim(port(model, \.inputs, index), axis)?.size ?? -1
}

@c @implementation
public func adadiff_model_input_dim_name(_ model: OpaquePointer?, _ index: Int32, _ axis: Int32) -> UnsafePointer<
  CChar
>? {
  dim(port(model, \.inputs, index), axis)?.name.pointer
}

@c @implementation
public func adadiff_model_output_count(_ model: OpaquePointer?) -> Int32 {
  Int32(clamping: ports(model, \.outputs).count)
}

@c @implementation
public func adadiff_model_output_name(_ model: OpaquePointer?, _ index: Int32) -> UnsafePointer<CChar>? {
  port(model, \.outputs, index)?.name.pointer
}

@c @implementation
public func adadiff_model_output_type(_ model: OpaquePointer?, _ index: Int32) -> Int32 {
  port(model, \.outputs, index)?.type?.rawValue ?? 0
}

@c @implementation
public func adadiff_model_output_rank(_ model: OpaquePointer?, _ index: Int32) -> Int32 {
  port(model, \.outputs, index)?.dims.map { Int32(clamping: $0.count) } ?? -1
}

@c @implementation
public func adadiff_model_output_dim(_ model: OpaquePointer?, _ index: Int32, _ axis: Int32) -> Int64 {
  dim(port(model, \.outputs, index), axis)?.size ?? -1
}

@c @implementation
public func adadiff_model_output_dim_name(_ model: OpaquePointer?, _ index: Int32, _ axis: Int32) -> UnsafePointer<
  CChar
>? {
  dim(port(model, \.outputs, index), axis)?.name.pointer
}
