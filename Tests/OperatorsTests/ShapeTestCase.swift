import Graph
import Operators
import Support

/// Runs one operator as the executor does: made from a node, shapes inferred with every input known, then computed.
struct ShapeTestCase {
  var name: String
  var version = 21
  var attributes: [String: Attribute] = [:]
  var inputs: [Tensor?]
  var outputCount = 1
  var threads = 1

  func run() throws -> [Tensor?] {
    let ids = inputs.indices.map { inputs[$0] == nil ? nil : ValueID($0) }
    let node = Node(
      name: "n", operatorType: name, version: version, inputs: ids,
      outputs: (0..<outputCount).map { ValueID(inputs.count + $0) }, attributes: attributes)
    guard let entry = OperatorRegistry.standard.entry(domain: "", name: name, version: version) else {
      throw Failure(.unsupported, "no operator \(name) in version \(version)")
    }
    let context = RunContext(pool: ThreadPool(threads: threads))
    switch entry.implementation {
    case .dynamic(let make):
      let values = inputs.map { $0.map { Value.tensor($0) } }
      return try make(node).evaluate(values, context: context).map { value in
        if case .tensor(let tensor)? = value { tensor } else { nil }
      }
    case .planned(let make):
      let operation = try make(node)
      let infos = inputs.map { $0.map { ValueInfo(type: $0.type, shape: $0.shape, constant: $0) } }
      guard let described = try operation.outputs(for: infos) else {
        throw Failure(.internalError, "the output shapes are not known")
      }
      let outputs = try described.map { try Tensor(type: $0.type, shape: $0.shape) }
      let bound = try operation.bound(to: infos, threads: threads) ?? operation
      try bound.run(inputs: inputs, outputs: outputs, context: context)
      return outputs
    }
  }

  func first() throws -> Tensor {
    guard let tensor = try run().first ?? nil else { throw Failure(.internalError, "no output") }
    return tensor
  }
}

func floats(_ values: [Float], _ shape: [Int]) throws -> Tensor {
  try Tensor(type: .float32, shape: shape, values: values)
}

func counting(_ shape: [Int]) throws -> Tensor {
  try floats((0..<shape.reduce(1, *)).map { Float($0) }, shape)
}

func int64s(_ values: [Int64], _ shape: [Int]? = nil) throws -> Tensor {
  try Tensor(type: .int64, shape: shape ?? [values.count], values: values)
}

extension Tensor {
  var floats: [Float] { type == .float32 ? Array(buffer(Float.self)) : [] }
  var int64s: [Int64] { type == .int64 ? Array(buffer(Int64.self)) : [] }
  var rawBytes: [UInt8] { Array(bytes) }
}
