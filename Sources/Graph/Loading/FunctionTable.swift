import COnnx
import Support

/// A model-local function, ready to be inlined.
struct ModelFunction {
  var key: String
  var name: String
  var inputs: [String]
  var outputs: [String]
  /// Default attribute protos by name (borrowed from the file).
  var defaults: [(name: String, proto: OpaquePointer)]
  var nodes: [OpaquePointer]
  var opsets: [String: Int]
}

/// The functions a model brings along, found by domain, name and overload.
struct FunctionTable {
  private var functions: [String: ModelFunction] = [:]

  init(file: OpaquePointer) throws {
    for index in 0..<connx_model_function_count(file) {
      guard let proto = connx_model_function(file, index) else { continue }
      let name = try connx_function_name(proto).string("function name")
      let what = "function '\(name)'"
      let domain = ModelLoader.normalizedDomain(try connx_function_domain(proto).string("domain of \(what)"))
      let overload = try connx_function_overload(proto).string("overload of \(what)")
      var opsets: [String: Int] = [:]
      for opset in 0..<connx_function_opset_count(proto) {
        let imported = try connx_function_opset_domain(proto, opset).string("opset domain of \(what)")
        opsets[ModelLoader.normalizedDomain(imported)] = Int(connx_function_opset_version(proto, opset))
      }
      let key = Self.key(domain: domain, name: name, overload: overload)
      guard functions[key] == nil else { throw Failure(.corrupt, "\(what) is defined twice") }
      functions[key] = ModelFunction(
        key: key, name: name,
        inputs: try (0..<connx_function_input_count(proto)).map {
          try connx_function_input(proto, $0).string("input of \(what)")
        },
        outputs: try (0..<connx_function_output_count(proto)).map {
          try connx_function_output(proto, $0).string("output of \(what)")
        },
        defaults: try (0..<connx_function_default_count(proto)).compactMap { index in
          guard let attribute = connx_function_default(proto, index) else { return nil }
          return (try connx_attribute_name(attribute).string("attribute of \(what)"), attribute)
        },
        nodes: (0..<connx_function_node_count(proto)).compactMap { connx_function_node(proto, $0) },
        opsets: opsets)
    }
  }

  func function(domain: String, name: String, overload: String) -> ModelFunction? {
    functions.isEmpty ? nil : functions[Self.key(domain: domain, name: name, overload: overload)]
  }

  private static func key(domain: String, name: String, overload: String) -> String {
    "\(domain):\(name):\(overload)"
  }
}
