import Graph
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
    func shape(_ id: ValueID?) -> [Int]? { id.flatMap { specialized.infos[$0.index]?.shape } }
    for node in graph.nodes {
      let inputs = node.inputs.compactMap { $0 }
      if inputs.allSatisfy({ isWeight.contains($0) }) {
        for case let output? in node.outputs { isWeight.insert(output) }
        continue
      }
      guard node.domain.isEmpty, node.inputs.count >= 2, let a = shape(node.inputs[0]), let b = shape(node.inputs[1]),
        let out = shape(node.outputs.first ?? nil)
      else { continue }
      var inner: [Int]
      var outer = out
      switch node.operatorType {
      case "Conv", "ConvInteger", "QLinearConv": inner = Array(b.dropFirst())
      case "ConvTranspose": (inner, outer) = (Array(b.dropFirst()), a)
      case "MatMul", "MatMulInteger": inner = Array(a.suffix(1))
      case "Gemm":
        if case .int(1)? = node.attributes["transA"] { inner = Array(a.prefix(1)) } else { inner = Array(a.suffix(1)) }
      default: continue
      }
      let count = try CheckedSize.product(outer + inner, of: "operations")
      if isWeight.contains(inputs[1]) || isWeight.contains(inputs[0]) {
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
