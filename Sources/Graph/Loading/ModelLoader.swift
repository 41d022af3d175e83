import COnnx
import Support

/// An ONNX file as the engine sees it: one graph without functions, and what the file says about itself.
public struct LoadedModel: Sendable {
  public var graph: Graph
  public var irVersion: Int
  /// Opset version by domain.
  public var opsets: [String: Int]
  public var producer: String
  public var metadata: [String: String]
}

/// Reads ONNX files. Structure is checked here; whether every operator is implemented is the runtime's question.
public enum ModelLoader {
  public static let supportedIRVersions = 3...13

  /// Loads the file at `path`. Its external data must lie in the same folder; where both are links, they must lead to the same folder.
  public static func load(path: String) throws -> LoadedModel {
    do {
      let mapping = try MappedFile(path: path)
      // The parser holds only the mapping's address.
      defer { withExtendedLifetime(mapping) {} }
      return try load(bytes: mapping.bytes, external: ExternalData(model: path))
    } catch let failure as Failure {
      throw failure.adding(file: path)
    }
  }

  /// Loads a model from memory. Without `folder` it may have no external data.
  public static func load(bytes: UnsafeRawBufferPointer, folder: String? = nil) throws -> LoadedModel {
    try load(bytes: bytes, external: ExternalData(folder: folder))
  }

  private static func load(bytes: UnsafeRawBufferPointer, external: ExternalData) throws -> LoadedModel {
    let file = try ModelFile(bytes: bytes, kind: CONNX_MODEL, what: "an ONNX model")
    return try withExtendedLifetime(file) { try load(file, external: external) }
  }

  private static func load(_ file: ModelFile, external: ExternalData) throws -> LoadedModel {
    let handle = file.handle
    let irVersion = connx_model_ir_version(handle)
    guard let graphProto = connx_model_graph(handle), irVersion > 0 else {
      throw Failure(.corrupt, "not an ONNX model (no graph or no IR version)")
    }
    guard let version = Int(exactly: irVersion), supportedIRVersions.contains(version) else {
      throw Failure(.unsupported, "ONNX IR version \(irVersion)", expected: "\(supportedIRVersions)")
    }
    var opsets: [String: Int] = [:]
    for index in 0..<connx_model_opset_count(handle) {
      let domain = normalizedDomain(try connx_model_opset_domain(handle, index).string("opset domain"))
      opsets[domain] = Int(connx_model_opset_version(handle, index))
    }
    var metadata: [String: String] = [:]
    for index in 0..<connx_model_metadata_count(handle) {
      let key = try connx_model_metadata_key(handle, index).string("metadata key")
      metadata[key] = try connx_model_metadata_value(handle, index).string("metadata '\(key)'")
    }
    let loader = GraphLoader(
      tensors: TensorLoader(file: file, external: external), functions: try FunctionTable(file: handle))
    let graph = try loader.graph(graphProto, parent: nil, opsets: opsets, attributes: nil, depth: 0)
    return LoadedModel(
      graph: graph, irVersion: version, opsets: opsets,
      producer: try connx_model_producer(handle).string("producer name"), metadata: metadata)
  }

  /// The default domain has two spellings.
  static func normalizedDomain(_ domain: String) -> String { domain == "ai.onnx" ? "" : domain }
}
