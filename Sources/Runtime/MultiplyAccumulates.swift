import Graph
import Operators
import Support

/// Multiply-accumulate operations of one run, from shapes alone.
public struct MultiplyAccumulates: Sendable, Equatable {
  /// In products with weights: convolutions and linear layers. What papers on diffusion networks report.
  public var weights = 0
  /// In products of two activations: attention.
  public var activations = 0

  public var total: Int { weights + activations }
}

extension Model {
  /// The operations of a run with inputs of these shapes; nothing is computed and no weight is read.
  public func multiplyAccumulates(shapes: [String: [Int]], outputs wanted: [String]? = nil) throws
    -> MultiplyAccumulates
  {
    let positions = outputs.indices.filter { wanted?.contains(outputs[$0].name) ?? true }
    let specialized = try specialization(shapes: shapes, wanted: positions)
    let graph = specialized.graph
    var isWeight = Set(graph.constants.keys)
    var result = MultiplyAccumulates()
    for node in graph.nodes {
      let inputs = node.inputs.compactMap { $0 }
      if inputs.allSatisfy({ isWeight.contains($0) }) {
        for case let output? in node.outputs { isWeight.insert(output) }
        continue
      }
      let infos = node.inputs.map { $0.flatMap { specialized.infos[$0.index] } }
      let count = try Operators.multiplyAccumulates(
        of: node, inputs: infos, output: node.outputs.first?.flatMap { specialized.infos[$0.index] }?.shape ?? [0])
      if inputs.prefix(2).contains(where: isWeight.contains) {
        result.weights += count
      } else {
        result.activations += count
      }
    }
    return result
  }

  /// The shape of an output for inputs of these shapes.
  public func inferredShape(of output: String, shapes: [String: [Int]]) throws -> [Int] {
    let positions = outputs.indices.filter { outputs[$0].name == output }
    let specialized = try specialization(shapes: shapes, wanted: positions)
    guard let id = specialized.graph.outputs.first, let info = specialized.infos[id.index] else {
      throw Failure(.unsupported, "the shape of '\(output)' depends on data", file: path)
    }
    return info.shape
  }

  private func specialization(shapes: [String: [Int]], wanted: [Int]) throws -> Specialization {
    guard let graph = plannedGraph else {
      throw Failure(.unsupported, "operations are counted on planned models only", file: path)
    }
    var source = graph
    source.outputs = wanted.map { graph.outputs[$0] }
    var infos: [ValueID: ValueInfo] = [:]
    for id in source.inputs {
      let record = source.values[id.index]
      guard let shape = shapes[record.name] else { continue }
      guard case .tensor(let type, _) = record.type else {
        infos[id] = ValueInfo(type: .float32, shape: shape)
        continue
      }
      infos[id] = ValueInfo(type: type, shape: shape)
    }
    let executor = EagerExecutor(pool: ThreadPool(threads: 1), checkCancelled: {})
    return try Specialization.specialize(source, inputs: infos, executor: executor)
  }
}
