import Support

/// A graph under construction; the scopes of functions inlined into it share it.
final class GraphBuilder {
  var graph: Graph
  init(name: String) { graph = Graph(name: name) }
}

/// What a name means at one place of a model: a graph's own names, or a function body's.
final class Scope {
  let builder: GraphBuilder
  /// The scope around a subgraph; nil for the main graph and for function bodies, which see nothing outside.
  let parent: Scope?
  let opsets: [String: Int]
  /// Attributes of the function call that reference attributes stand for; nil outside functions.
  let attributes: [String: Attribute]?
  /// Put before names of values and nodes that a function body brings in.
  let prefix: String
  /// Nesting of subgraphs and functions.
  let depth: Int
  /// Functions being inlined around here.
  let activeFunctions: Set<String>
  /// A nil value is an optional function input that the call leaves out.
  var names: [String: ValueID?] = [:]

  init(
    builder: GraphBuilder, parent: Scope?, opsets: [String: Int], attributes: [String: Attribute]?, prefix: String,
    depth: Int, activeFunctions: Set<String>
  ) {
    self.builder = builder
    self.parent = parent
    self.opsets = opsets
    self.attributes = attributes
    self.prefix = prefix
    self.depth = depth
    self.activeFunctions = activeFunctions
  }

  func define(_ name: String, type: DeclaredType = .unknown) throws -> ValueID {
    guard names[name] == nil else { throw Failure(.corrupt, "value '\(name)' is defined twice") }
    let id = builder.graph.addValue(name: prefix + name, type: type)
    names[name] = .some(id)
    return id
  }

  enum Meaning {
    case value(ValueID)
    case absent
    case undefined
  }

  /// Finds a name here or in the graphs around, which makes it a capture (or, for a constant, a local constant).
  func lookup(_ name: String) -> Meaning {
    if let known = names[name] { return known.map { .value($0) } ?? .absent }
    guard let parent else { return .undefined }
    switch parent.lookup(name) {
    case .undefined: return .undefined
    case .absent: return .absent
    case .value(let outer):
      let record = parent.builder.graph.values[outer.index]
      let local = builder.graph.addValue(name: record.name, type: record.type)
      if let constant = parent.builder.graph.constants[outer] {
        builder.graph.constants[local] = constant
      } else {
        builder.graph.captures.append((outer, local))
      }
      names[name] = .some(local)
      return .value(local)
    }
  }
}
