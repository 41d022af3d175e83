import COnnx
import Support

extension GraphLoader {
  /// Converts an attribute. Nil: it refers to an attribute that the function call leaves out.
  func convert(attribute proto: OpaquePointer, name: String, in scope: Scope) throws -> Attribute? {
    let reference = try connx_attribute_reference(proto).string("attribute reference")
    guard reference.isEmpty else {
      guard let bound = scope.attributes else {
        throw Failure(.corrupt, "attribute '\(name)' refers to '\(reference)' outside a function")
      }
      return bound[reference]
    }
    switch connx_attribute_kind(proto) {
    case 1: return .float(connx_attribute_float(proto))
    case 2: return .int(connx_attribute_int(proto))
    case 3: return .string(try connx_attribute_string(proto).string("attribute '\(name)'"))
    case 4: return .tensor(try tensors.tensor(try present(connx_attribute_tensor(proto), name), name: name))
    case 5: return .graph(try subgraph(connx_attribute_graph(proto), name: name, in: scope))
    case 6: return .floats(Array(connx_attribute_floats(proto).elements(as: Float.self)))
    case 7: return .ints(Array(connx_attribute_ints(proto).elements(as: Int64.self)))
    case 8:
      return .strings(
        try (0..<connx_attribute_string_count(proto)).map {
          try connx_attribute_string_at(proto, $0).string("attribute '\(name)'")
        })
    case 9:
      return .tensors(
        try (0..<connx_attribute_tensor_count(proto)).map {
          try tensors.tensor(try present(connx_attribute_tensor_at(proto, $0), name), name: name)
        })
    case 10:
      return .graphs(
        try (0..<connx_attribute_graph_count(proto)).map {
          try subgraph(connx_attribute_graph_at(proto, $0), name: name, in: scope)
        })
    case 11: return .tensor(try tensors.dense(try present(connx_attribute_sparse(proto), name), name: name))
    case 13: return .type(try declaredType(connx_attribute_type(proto), depth: 0))
    case let kind: throw Failure(.unsupported, "attribute '\(name)' has kind \(kind)")
    }
  }

  private func present(_ handle: OpaquePointer?, _ name: String) throws -> OpaquePointer {
    guard let handle else { throw Failure(.corrupt, "attribute '\(name)' has no value") }
    return handle
  }

  private func subgraph(_ proto: OpaquePointer?, name: String, in scope: Scope) throws -> Graph {
    try graph(
      try present(proto, name), parent: scope, opsets: scope.opsets, attributes: scope.attributes,
      depth: scope.depth + 1)
  }

  func declaredType(_ proto: OpaquePointer?, depth: Int) throws -> DeclaredType {
    guard let proto else { return .unknown }
    guard depth < 16 else { throw Failure(.unsupported, "a type nests deeper than 16") }
    let kind = connx_type_get_kind(proto)
    if kind == CONNX_TYPE_TENSOR {
      let element = connx_type_tensor_element(proto)
      guard element != 0 else { return .unknown }
      guard let type = DataType(rawValue: element) else {
        throw Failure(.unsupported, "element type \(element) is not known")
      }
      guard connx_type_tensor_has_shape(proto) else { return .tensor(type, shape: nil) }
      let shape: [Dimension] = try (0..<connx_type_tensor_rank(proto)).map { index in
        var value: Int64 = 0
        var symbol = connx_text()
        switch connx_type_tensor_dim(proto, index, &value, &symbol) {
        // Some exporters write -1 for a dimension they do not know.
        case 1: return value >= 0 ? .fixed(Int(value)) : .unknown
        case 2: return .symbolic(try symbol.string("dimension name"))
        default: return .unknown
        }
      }
      return .tensor(type, shape: shape)
    }
    if kind == CONNX_TYPE_SEQUENCE { return .sequence(try declaredType(connx_type_element(proto), depth: depth + 1)) }
    if kind == CONNX_TYPE_OPTIONAL { return .optional(try declaredType(connx_type_element(proto), depth: depth + 1)) }
    return .unknown
  }
}
