import Graph
import KernelTable
import Support

extension Node {
  /// The attribute that `ReducedPrecisionPass` sets: how constant weights are stored and multiplied.
  func elementFormat() throws -> ElementFormat {
    switch try string(ReducedPrecisionPass.attribute, default: "") {
    case "": .float32
    case Precision.bfloat16.rawValue, ReducedPrecisionPass.roundedWeights: .bfloat16
    case Precision.int8.rawValue: .int8
    case let name: throw Failure(.unsupported, "precision '\(name)'")
    }
  }

  /// Of bfloat16, nothing but the weights is rounded (`WeightStorage`).
  var roundsWeightsOnly: Bool {
    (try? string(ReducedPrecisionPass.attribute, default: "")) == ReducedPrecisionPass.roundedWeights
  }
}
