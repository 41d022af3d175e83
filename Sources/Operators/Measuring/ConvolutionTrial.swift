import Graph
import Kernels
import Support

/// One 3×3 convolution computed every way that the engine has, on made-up numbers: what the choice between them rests on.
public struct ConvolutionTrial: Sendable, Equatable {
  /// Sizes in words, equal for layers of equal cost.
  public let layer: String
  public let multiplyAccumulates: Int
  /// What a plan would take: the name of one of `alternatives`.
  public let chosen: String
  private let node: Node
  private let inputs: [ValueInfo?]

  public static func == (a: ConvolutionTrial, b: ConvolutionTrial) -> Bool { a.layer == b.layer }

  /// Time and expected cost of one way.
  public struct Alternative: Sendable {
    public var name: String
    public var seconds: Double
    /// In the model's own unit; only the ratio to the other alternatives means something.
    public var expectedCost: Double
  }

  /// Nil where there is nothing to choose.
  package init?(_ node: Node, inputs: [ValueInfo?]) {
    guard let shape = convolutionShape(of: node, inputs: inputs), WinogradConvolution.applies(to: shape),
      node.operatorType == "ConvNHWC"
    else { return nil }
    let w = shape.window
    let enlarged = shape.enlargement == 1 ? "" : ", enlarged"
    layer = "\(shape.batch) × \(w.input.y) × \(w.input.x)\(enlarged), \(shape.inChannels) → \(shape.outChannels)"
    multiplyAccumulates = shape.rows * shape.depth * shape.outChannels
    chosen = shape.algorithmName(nil)
    self.node = node
    self.inputs = inputs
  }

  /// Runs every alternative `runs` times after a first time and takes the best.
  public func measure(runs: Int, pool: ThreadPool) throws -> [Alternative] {
    guard let shape = convolutionShape(of: node, inputs: inputs) else { return [] }
    let kernels = Kernels.current
    let x = try Self.numbers([shape.batch, shape.storedInputCount, shape.inChannels])
    let weights = try Self.numbers([shape.outChannels, shape.depth])
    let y = try Tensor(type: .float32, shape: [shape.rows, shape.outChannels])
    let bank = try FilterBank(weights.floats, shape, kernels: kernels)
    guard case .matrices(let matrices) = bank, let matrix = matrices.first else { return [] }
    let convolution = Convolution(shape: shape, x: UnsafePointer(x.floats), y: y.floats)
    let transforms = WinogradSquares.allCases.filter { $0.apply(to: shape) }.map {
      WinogradConvolution(unconditionally: shape, kernels: kernels, squares: $0)
    }
    let context = RunContext(pool: pool)
    let scratch = try HeapBlock(
      byteCount: transforms.reduce(Convolution.scratchByteCount(shape, bank, threads: pool.threads, kernels)) {
        max($0, $1.scratchByteCount(threads: pool.threads))
      })
    func best(_ body: (inout ScratchMemory) throws -> Void) throws -> Double {
      func run() throws {
        var memory = ScratchMemory(scratch.bytes)
        try body(&memory)
      }
      try run()
      return try seconds(runs: runs) { () throws(any Error) in try run() }
    }
    let direct = try best { try convolution.run(bank, context: context, scratch: &$0) }
    let transformed = try transforms.map { winograd in
      let seconds = try best { try winograd.run(convolution, matrix, context: context, scratch: &$0) }
      return Alternative(name: winograd.name, seconds: seconds, expectedCost: winograd.cost)
    }
    withExtendedLifetime((x, weights, y, scratch)) {}
    return [
      Alternative(name: "direct", seconds: direct, expectedCost: WinogradConvolution.directCost(shape, kernels))
    ] + transformed
  }

  private static func numbers(_ shape: [Int]) throws(Failure) -> Tensor {
    let tensor = try Tensor(type: .float32, shape: shape)
    let values = tensor.buffer(Float.self)
    for index in values.indices { values[index] = Float((index &* 7919) % 1009) / 504 - 1 }
    return tensor
  }
}
