import Graph
import Support

@testable import Operators

/// Deterministic numbers in −range ... range.
func sequence(_ count: Int, seed: UInt64 = 1, range: Float = 1) -> [Float] {
  var state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1
  return (0..<count).map { _ in
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return (Float(state >> 40) / Float(1 << 24) * 2 - 1) * range
  }
}

/// Runs one operator the ways a plan does: as made, prepared for constant inputs, with planned scratch memory.
struct DenseRunner {
  var type: String
  var domain = "adadiff"
  var version = 1
  var attributes: [String: Attribute] = [:]
  var outputCount = 1
  /// Inputs that are constants of the model; nil: none is, and the operator is not prepared.
  var constants: Set<Int>? = nil
  var threads = 2
  var cancelled = false

  func run(_ inputs: [Tensor?]) throws -> [Tensor] {
    let node = Node(
      name: "n", operatorType: type, domain: domain, version: version,
      inputs: inputs.indices.map { inputs[$0] == nil ? nil : ValueID($0) },
      outputs: (0..<outputCount).map { ValueID(inputs.count + $0) }, attributes: attributes)
    guard let entry = OperatorRegistry.standard.entry(domain: domain, name: type, version: version),
      case .planned(let make) = entry.implementation
    else { throw Failure(.unsupported, "no planned operator \(type)") }
    var implementation = try make(node)
    let infos = inputs.enumerated().map { index, tensor in
      tensor.map {
        ValueInfo(type: $0.type, shape: $0.shape, constant: constants?.contains(index) == true ? $0 : nil)
      }
    }
    var given = inputs
    if constants != nil, let prepared = try implementation.prepared(for: infos, threads: threads) {
      implementation = prepared
      // A plan may drop consumed constants.
      for index in implementation.consumedInputs { given[index] = nil }
    }
    implementation = try implementation.bound(to: infos, threads: threads) ?? implementation
    let known = inputs.map { tensor in tensor.map { ValueInfo(type: $0.type, shape: $0.shape, constant: $0) } }
    guard let described = try implementation.outputs(for: known) else {
      throw Failure(.internalError, "shapes are not known although every input is")
    }
    let outputs = try described.map { try Tensor(type: $0.type, shape: $0.shape) }
    let scratch = try HeapBlock(byteCount: implementation.scratchByteCount(for: infos, threads: threads))
    let stop = cancelled
    let context = RunContext(
      pool: ThreadPool(threads: threads), scratch: scratch.bytes,
      checkCancelled: { if stop { throw Failure(.cancelled, "stop") } })
    try implementation.run(inputs: given, outputs: outputs, context: context)
    return withExtendedLifetime(scratch) { outputs }
  }
}

/// Largest difference, relative to the largest expected magnitude.
func difference(_ actual: Tensor, _ expected: [Double]) -> Double {
  guard actual.count == expected.count else { return .infinity }
  let scale = max(1e-30, expected.reduce(0) { max($0, abs($1)) })
  return zip(actual.values(Float.self), expected).reduce(0) {
    let d = abs(Double($1.0) - $1.1) / scale
    return d.isNaN ? .infinity : max($0, d)
  }
}
