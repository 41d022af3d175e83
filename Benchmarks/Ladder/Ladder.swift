import Graph
import Kernels
import Operators
import Support

/// One kernel written several times, from its definition to what the engine runs. Every version computes the same numbers.
public struct Ladder {
  public struct Rung {
    public var name: String
    /// What this version does that the one before did not.
    public var sentence: String
    public var run: (inout [Float]) throws -> Void
  }

  public var name: String
  /// Floating-point operations of one run; nil for kernels bound by memory, which are measured in bytes.
  public var operations: Double?
  public var bytes: Double
  public var outputCount: Int
  /// By how much rungs may differ, as a share of the largest output. Default: sums of up to 300 products in float32, in
  /// different orders.
  public var tolerance: Float = 2e-5
  public var rungs: [Rung]

  /// `small`: sizes for a test; else sizes of Stable Diffusion's layers, cut so that the first rung takes about a second.
  public static func all(small: Bool) throws -> [Ladder] {
    [
      try matrixProduct(small: small), try strassenProduct(small: small), try convolution(small: small),
      try attention(small: small),
      try groupNorm(small: small), try activation(small: small), try reducedProduct(.bfloat16, small: small),
      try reducedProduct(.int8, small: small),
    ]
  }
}

/// Deterministic numbers in −1 ... 1.
func numbers(_ count: Int, seed: UInt64) -> [Float] {
  var state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1
  return (0..<count).map { _ in
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Float(state >> 40) / Float(1 << 23) - 1
  }
}

/// One operator of the engine on one thread, prepared and with scratch memory as a plan would run it.
final class EngineOperator {
  private let implementation: any Operator
  private let inputs: [Tensor?]
  private let output: Tensor
  private let scratch: HeapBlock
  private let pool = ThreadPool(threads: 1)

  /// `constants`: positions of inputs that a model would hold.
  init(
    _ type: String, domain: String = "adadiff", version: Int = 1, _ attributes: [String: Attribute] = [:],
    inputs: [Tensor?], constants: Set<Int> = [1]
  ) throws {
    let node = Node(
      name: type, operatorType: type, domain: domain, version: version,
      inputs: inputs.indices.map { inputs[$0] == nil ? nil : ValueID($0) }, outputs: [ValueID(inputs.count)],
      attributes: attributes)
    guard
      case .planned(let make)? = OperatorRegistry.standard.entry(domain: domain, name: type, version: version)?
        .implementation
    else { throw Failure(.unsupported, "no operator \(type)") }
    let infos = inputs.enumerated().map { index, tensor in
      tensor.map { ValueInfo(type: $0.type, shape: $0.shape, constant: constants.contains(index) ? $0 : nil) }
    }
    let made = try make(node)
    implementation = try made.prepared(for: infos, threads: 1) ?? made
    guard let described = try implementation.outputs(for: infos)?.first else {
      throw Failure(.internalError, "no output shape")
    }
    self.inputs = inputs
    output = try Tensor(type: described.type, shape: described.shape)
    scratch = try HeapBlock(byteCount: implementation.scratchByteCount(for: infos, threads: 1))
  }

  func run() throws {
    try implementation.run(
      inputs: inputs, outputs: [output], context: RunContext(pool: pool, scratch: scratch.bytes))
  }

  func run(into result: inout [Float]) throws {
    try run()
    withExtendedLifetime(output) {
      let values = output.buffer(Float.self)
      for i in result.indices { result[i] = values[i] }
    }
  }
}

func tensor(_ values: [Float], _ shape: [Int]) throws -> Tensor {
  try Tensor(type: .float32, shape: shape, values: values)
}
