import COnnx
import Support

extension GraphLoader {
  /// Puts a function's body in place of a call. Names inside get the call's name as prefix.
  func inline(_ function: ModelFunction, call: Node, in scope: Scope) throws {
    guard !scope.activeFunctions.contains(function.key) else {
      throw Failure(.corrupt, "function '\(function.name)' calls itself")
    }
    guard scope.depth + 1 < Self.maximumDepth else {
      throw Failure(.unsupported, "subgraphs and functions nest deeper than \(Self.maximumDepth)")
    }
    guard call.inputs.count <= function.inputs.count, call.outputs.count <= function.outputs.count else {
      throw Failure(
        .corrupt, "function '\(function.name)' is called with too many inputs or outputs",
        expected: "\(function.inputs.count) and \(function.outputs.count)",
        actual: "\(call.inputs.count) and \(call.outputs.count)")
    }
    var bound = call.attributes
    for (name, proto) in function.defaults where bound[name] == nil {
      bound[name] = try convert(attribute: proto, name: name, in: scope)
    }
    let body = Scope(
      builder: scope.builder, parent: nil, opsets: function.opsets, attributes: bound, prefix: call.name + "/",
      depth: scope.depth + 1, activeFunctions: scope.activeFunctions.union([function.key]))
    for (index, name) in function.inputs.enumerated() {
      guard body.names[name] == nil else { throw Failure(.corrupt, "function input '\(name)' is defined twice") }
      body.names[name] = .some(index < call.inputs.count ? call.inputs[index] : nil)
    }
    // A body's output is the caller's value itself, unless the function hands an input through.
    var results: [String: ValueID] = [:]
    var copies: [(source: String, target: ValueID)] = []
    for (index, name) in function.outputs.enumerated() {
      let wanted = index < call.outputs.count ? call.outputs[index] : nil
      if body.names[name] != nil || results[name] != nil {
        if let wanted { copies.append((name, wanted)) }
      } else {
        results[name] = wanted ?? scope.builder.graph.addValue(name: body.prefix + name)
      }
    }
    try defineOutputs(of: function.nodes, in: body, formalOutputs: results)
    for name in results.keys where body.names[name] == nil {
      throw Failure(.corrupt, "function '\(function.name)' does not produce its output '\(name)'")
    }
    for node in function.nodes { try convert(node, in: body) }
    for (name, target) in copies {
      guard case .value(let source) = body.lookup(name) else {
        throw Failure(.corrupt, "function '\(function.name)' hands through '\(name)', which the call leaves out")
      }
      scope.builder.graph.nodes.append(
        Node(
          name: body.prefix + name, operatorType: "Identity", version: function.opsets[""] ?? scope.opsets[""] ?? 13,
          inputs: [source], outputs: [target]))
    }
  }
}
