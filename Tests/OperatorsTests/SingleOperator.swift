import Graph
import Operators
import Support

/// Runs one operator as a model with a single node would.
struct SingleOperator {
  var type: String
  var version = 23
  var domain = ""
  var attributes: [String: Attribute] = [:]
  var outputCount = 1
  var threads = 1

  func callAsFunction(_ inputs: Tensor?...) throws -> [Tensor] { try run(inputs) }

  func run(_ inputs: [Tensor?]) throws -> [Tensor] {
    let node = Node(
      name: "n", operatorType: type, domain: domain, version: version,
      inputs: inputs.indices.map { inputs[$0] == nil ? nil : ValueID($0) },
      outputs: (0..<outputCount).map { ValueID(inputs.count + $0) }, attributes: attributes)
    guard let entry = OperatorRegistry.standard.entry(domain: domain, name: type, version: version),
      case .planned(let make) = entry.implementation
    else { throw Failure(.unsupported, "no planned operator \(type) at version \(version)") }
    let implementation = try make(node)
    let known = inputs.map { tensor in tensor.map { ValueInfo(type: $0.type, shape: $0.shape, constant: $0) } }
    guard let infos = try implementation.outputs(for: known) else {
      throw Failure(.internalError, "shapes are not known although every input is")
    }
    let results = try infos.map { try Tensor(type: $0.type, shape: $0.shape) }
    let context = RunContext(pool: ThreadPool(threads: threads))
    let bound = try implementation.bound(to: known, threads: threads) ?? implementation
    try bound.run(inputs: inputs, outputs: results, context: context)
    return results
  }
}

extension Tensor {
  init(_ values: [Float], _ shape: [Int]? = nil) throws {
    try self.init(type: .float32, shape: shape ?? [values.count], values: values)
  }

  init(doubles values: [Double], _ shape: [Int]? = nil) throws {
    try self.init(type: .float64, shape: shape ?? [values.count], values: values)
  }

  init(bools values: [Bool], _ shape: [Int]? = nil) throws {
    try self.init(type: .bool, shape: shape ?? [values.count], values: values.map { UInt8($0 ? 1 : 0) })
  }

  func values<Element: BitwiseCopyable>(_: Element.Type = Element.self) -> [Element] {
    withExtendedLifetime(self) { Array(buffer(Element.self)) }
  }

  /// The memory as it is, for types below one byte.
  var packedBytes: [UInt8] { withExtendedLifetime(self) { Array(bytes) } }
}
