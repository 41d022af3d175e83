import COnnx
import Support

/// Turns GraphProtos into graphs: resolves names, inlines functions, makes constants of Constant nodes, sorts.
final class GraphLoader {
  let tensors: TensorLoader
  let functions: FunctionTable
  private var nodeCount = 0

  /// Nesting of subgraphs and functions.
  static let maximumDepth = 64
  /// Nodes after inlining, in all graphs together.
  static let maximumNodes = 1 << 20

  init(tensors: TensorLoader, functions: FunctionTable) {
    self.tensors = tensors
    self.functions = functions
  }

  /// Converts a graph; for a subgraph, `parent` is where its node stands.
  func graph(
    _ proto: OpaquePointer, parent: Scope?, opsets: [String: Int], attributes: [String: Attribute]?, depth: Int
  ) throws -> Graph {
    guard depth < Self.maximumDepth else {
      throw Failure(.unsupported, "subgraphs and functions nest deeper than \(Self.maximumDepth)")
    }
    let scope = Scope(
      builder: GraphBuilder(name: try connx_graph_name(proto).string("graph name")), parent: parent, opsets: opsets,
      attributes: attributes, prefix: "", depth: depth, activeFunctions: parent?.activeFunctions ?? [])
    try defineInputsAndInitializers(proto, in: scope)
    let nodes = (0..<connx_graph_node_count(proto)).compactMap { connx_graph_node(proto, $0) }
    try defineOutputs(of: nodes, in: scope)
    try readValueInfos(proto, in: scope)
    for node in nodes { try convert(node, in: scope) }
    for index in 0..<connx_graph_output_count(proto) {
      guard let info = connx_graph_output(proto, index) else { continue }
      let name = try connx_value_info_name(info).string("graph output name")
      guard case .value(let id) = scope.lookup(name) else {
        throw Failure(.corrupt, "graph output '\(name)' is not produced by any node")
      }
      let type = try declaredType(connx_value_info_type(info), depth: 0)
      if type != .unknown { scope.builder.graph.values[id.index].type = type }
      scope.builder.graph.outputs.append(id)
    }
    try scope.builder.graph.sortNodes()
    return scope.builder.graph
  }

  private func defineInputsAndInitializers(_ proto: OpaquePointer, in scope: Scope) throws {
    var inputs: [ValueID] = []
    for index in 0..<connx_graph_input_count(proto) {
      guard let info = connx_graph_input(proto, index) else { continue }
      let name = try connx_value_info_name(info).string("graph input name")
      guard !name.isEmpty else { throw Failure(.corrupt, "graph input \(index) has no name") }
      inputs.append(try scope.define(name, type: try declaredType(connx_value_info_type(info), depth: 0)))
    }
    func addConstant(_ name: String, _ tensor: Tensor) throws {
      guard !name.isEmpty else { throw Failure(.corrupt, "an initializer has no name") }
      let id: ValueID
      if let known = scope.names[name] ?? nil, scope.builder.graph.constants[known] == nil {
        id = known  // IR 3 lists initializers among the inputs too.
      } else {
        id = try scope.define(name)
      }
      scope.builder.graph.values[id.index].type = .tensor(tensor.type, shape: tensor.shape.map { .fixed($0) })
      scope.builder.graph.constants[id] = tensor
    }
    for index in 0..<connx_graph_initializer_count(proto) {
      guard let tensor = connx_graph_initializer(proto, index) else { continue }
      let name = try connx_tensor_name(tensor).string("initializer name")
      try addConstant(name, try tensors.tensor(tensor, name: name))
    }
    for index in 0..<connx_graph_sparse_initializer_count(proto) {
      guard let sparse = connx_graph_sparse_initializer(proto, index), let values = connx_sparse_values(sparse) else {
        continue
      }
      let name = try connx_tensor_name(values).string("sparse initializer name")
      try addConstant(name, try tensors.dense(sparse, name: name))
    }
    scope.builder.graph.inputs = inputs.filter { scope.builder.graph.constants[$0] == nil }
  }

  /// Gives every value that `nodes` produce its number before any node is converted: files may be unsorted.
  func defineOutputs(of nodes: [OpaquePointer], in scope: Scope, formalOutputs: [String: ValueID] = [:]) throws {
    for node in nodes {
      for index in 0..<connx_node_output_count(node) {
        let name = try connx_node_output(node, index).string("output name of a node")
        guard !name.isEmpty else { continue }
        if let formal = formalOutputs[name] {
          guard scope.names[name] == nil else { throw Failure(.corrupt, "value '\(name)' is defined twice") }
          scope.names[name] = .some(formal)
        } else {
          do {
            _ = try scope.define(name)
          } catch let failure as Failure {
            throw try describe(failure, node)
          }
        }
      }
    }
  }

  private func readValueInfos(_ proto: OpaquePointer, in scope: Scope) throws {
    for index in 0..<connx_graph_value_info_count(proto) {
      guard let info = connx_graph_value_info(proto, index) else { continue }
      let name = try connx_value_info_name(info).string("value name")
      guard let id = scope.names[name] ?? nil, scope.builder.graph.values[id.index].type == .unknown else { continue }
      scope.builder.graph.values[id.index].type = try declaredType(connx_value_info_type(info), depth: 0)
    }
  }

  /// The failure with the node's name and operator.
  func describe(_ failure: Failure, _ node: OpaquePointer) throws -> Failure {
    failure.adding(
      node: try connx_node_name(node).string("node name"),
      operatorType: try connx_node_operator_type(node).string("operator type"))
  }

  func convert(_ proto: OpaquePointer, in scope: Scope) throws {
    nodeCount += 1
    guard nodeCount <= Self.maximumNodes else {
      throw Failure(.unsupported, "the model has more than \(Self.maximumNodes) nodes")
    }
    do {
      try convertNode(proto, in: scope)
    } catch let failure as Failure {
      throw try describe(failure, proto)
    }
  }

  private func convertNode(_ proto: OpaquePointer, in scope: Scope) throws {
    let operatorType = try connx_node_operator_type(proto).string("operator type")
    let domain = ModelLoader.normalizedDomain(try connx_node_domain(proto).string("domain"))
    guard !operatorType.isEmpty else { throw Failure(.corrupt, "a node names no operator") }
    func resolved(_ name: String) throws -> ValueID? {
      guard !name.isEmpty else { return nil }
      switch scope.lookup(name) {
      case .value(let id): return id
      case .absent: return nil
      case .undefined: throw Failure(.corrupt, "input '\(name)' is not produced by any node")
      }
    }
    let inputs = try (0..<connx_node_input_count(proto)).map {
      try resolved(try connx_node_input(proto, $0).string("input name"))
    }
    let outputs: [ValueID?] = try (0..<connx_node_output_count(proto)).map {
      let name = try connx_node_output(proto, $0).string("output name")
      return name.isEmpty ? nil : (scope.names[name] ?? nil)
    }
    var name = try connx_node_name(proto).string("node name")
    if name.isEmpty { name = operatorType + (outputs.first.flatMap { $0 }.map { "_\($0.index)" } ?? "") }
    var attributes: [String: Attribute] = [:]
    for index in 0..<connx_node_attribute_count(proto) {
      guard let attribute = connx_node_attribute(proto, index) else { continue }
      let key = try connx_attribute_name(attribute).string("attribute name")
      guard attributes[key] == nil else { throw Failure(.corrupt, "attribute '\(key)' is given twice") }
      attributes[key] = try convert(attribute: attribute, name: key, in: scope)
    }
    var node = Node(
      name: scope.prefix + name, operatorType: operatorType, domain: domain, version: 0, inputs: inputs,
      outputs: outputs, attributes: attributes)
    let overload = try connx_node_overload(proto).string("overload")
    if let function = functions.function(domain: domain, name: operatorType, overload: overload) {
      return try inline(function, call: node, in: scope)
    }
    guard let version = scope.opsets[domain] else {
      throw Failure(.corrupt, "the model imports no opset for domain '\(domain.isEmpty ? "ai.onnx" : domain)'")
    }
    node.version = version
    if domain.isEmpty, operatorType == "Constant" {
      guard let output = outputs.first ?? nil else { return }
      let value = try constantValue(of: node)
      scope.builder.graph.values[output.index].type = .tensor(value.type, shape: value.shape.map { .fixed($0) })
      scope.builder.graph.constants[output] = value
      return
    }
    scope.builder.graph.nodes.append(node)
  }

  /// Value of a Constant node. Its sparse form was made dense with the other attributes.
  private func constantValue(of node: Node) throws -> Tensor {
    guard node.attributes.count == 1, let (key, attribute) = node.attributes.first else {
      throw Failure(.corrupt, "Constant needs exactly one value", actual: "\(node.attributes.count)")
    }
    switch (key, attribute) {
    case ("value", .tensor(let tensor)), ("sparse_value", .tensor(let tensor)): return tensor
    case ("value_float", .float(let value)): return try Tensor(type: .float32, shape: [], values: [value])
    case ("value_floats", .floats(let values)):
      return try Tensor(type: .float32, shape: [values.count], values: values)
    case ("value_int", .int(let value)): return try Tensor(type: .int64, shape: [], values: [value])
    case ("value_ints", .ints(let values)): return try Tensor(int64: values)
    case ("value_string", .string(let value)): return Tensor(strings: [value], shape: [])
    case ("value_strings", .strings(let values)): return Tensor(strings: values, shape: [values.count])
    default: throw Failure(.corrupt, "Constant has an attribute '\(key)' of the wrong kind")
    }
  }
}
