import Graph
import Operators
import Support

/// The layers of a network for which the engine chooses between algorithms: what `bench --tune` measures.
public struct ConvolutionTuning: Sendable {
  public struct Layer: Sendable {
    public var trial: ConvolutionTrial
    /// Layers of this size in the network.
    public var count: Int
  }

  /// Distinct sizes in the order they first occur.
  public private(set) var layers: [Layer] = []

  /// `shapes`: of the graph inputs by name; every input must be given.
  public init(_ loaded: LoadedModel, shapes: [String: [Int]]) throws {
    let specialized = try Specialization.fused(loaded.graph, shapes: shapes)
    for node in specialized.graph.nodes {
      let inputs = node.inputs.map { $0.flatMap { specialized.infos[$0.index] } }
      guard let trial = ConvolutionTrial(node, inputs: inputs) else { continue }
      if let known = layers.firstIndex(where: { $0.trial == trial }) {
        layers[known].count += 1
      } else {
        layers.append(Layer(trial: trial, count: 1))
      }
    }
  }
}
