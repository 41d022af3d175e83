import Graph
import Support

/// `--dim name=size` arguments: sizes for free dimensions, by name.
struct DimensionSizes {
  private(set) var sizes: [String: Int] = [:]

  init(_ arguments: [String]) throws(Failure) {
    for argument in arguments {
      let parts = argument.split(separator: "=", omittingEmptySubsequences: false)
      guard parts.count == 2, let size = Int(parts[1]), size >= 0 else {
        throw Failure(.invalidArgument, "--dim takes name=size", actual: "'\(argument)'")
      }
      sizes[String(parts[0])] = size
    }
  }

  /// Shapes of a graph's tensor inputs; free dimensions without a size become 1.
  func shapes(of graph: Graph) -> [String: [Int]] {
    var shapes: [String: [Int]] = [:]
    for id in graph.inputs {
      guard case .tensor(_, let dimensions?) = graph.values[id.index].type else { continue }
      shapes[graph.values[id.index].name] = dimensions.map { dimension in
        switch dimension {
        case .fixed(let size): size
        case .symbolic(let name): sizes[name] ?? 1
        case .unknown: 1
        }
      }
    }
    return shapes
  }
}
