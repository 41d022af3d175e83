import Glibc
import Graph
import Support

/// Random tensors. Every run gives the same numbers: from the `seed` attribute, or from the node's name without one.
struct RandomGenerator: Operator {
  enum Distribution {
    case uniform(low: Double, high: Double)
    case normal(mean: Double, scale: Double)
  }

  let distribution: Distribution
  /// Nil: the first input's shape.
  let shape: [Int]?
  let type: DataType?
  let seed: UInt32

  static func uniform(_ node: Node, like: Bool) throws -> RandomGenerator {
    let low = try node.float("low", default: 0)
    let high = try node.float("high", default: 1)
    return try RandomGenerator(node, .uniform(low: Double(low), high: Double(high)), like: like)
  }

  static func normal(_ node: Node, like: Bool) throws -> RandomGenerator {
    let mean = try node.float("mean", default: 0)
    let scale = try node.float("scale", default: 1)
    return try RandomGenerator(node, .normal(mean: Double(mean), scale: Double(scale)), like: like)
  }

  private init(_ node: Node, _ distribution: Distribution, like: Bool) throws {
    self.distribution = distribution
    shape = like ? nil : try node.required(node.ints("shape"), "shape")
    type = try node.dataType("dtype") ?? (like ? nil : .float32)
    seed = try node.randomSeed()
    if let shape { _ = try CheckedSize.product(shape, of: "attribute 'shape'") }
    try type.map(Self.check)
  }

  private static func check(_ type: DataType) throws(Failure) {
    guard [.float32, .float64, .float16, .bfloat16].contains(type) else {
      throw Failure(.unsupported, "random numbers of this element type are not implemented", actual: type.name)
    }
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    if let shape, let type { return [ValueInfo(type: type, shape: shape)] }
    let model = try inputs.info(at: 0, named: "input")
    try Self.check(type ?? model.type)
    return [ValueInfo(type: type ?? model.type, shape: shape ?? model.shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let output = outputs.optionalTensor(at: 0) else { return }
    try withNumericElement(of: output.type, Fill(output: output, distribution: distribution, seed: seed))
  }

  private struct Fill: NumericComputation {
    let output: Tensor
    let distribution: Distribution
    let seed: UInt32

    func run<Element: NumericElement>(_: Element.Type) {
      var random = NumPyRandomState(seed: seed)
      for index in 0..<output.count {
        let number: Double
        switch distribution {
        case .uniform(let low, let high): number = low + (high - low) * random.uniform()
        case .normal(let mean, let scale):
          // Box and Muller (1958); 1 - u lies in (0, 1], where the logarithm is finite.
          let radius = (-2 * log(1 - random.uniform())).squareRoot()
          number = mean + scale * radius * cos(2 * .pi * random.uniform())
        }
        output.pointer(Element.self)[index] = Element(rounding: number)
      }
    }
  }
}

extension Node {
  /// The `seed` attribute's bits, or a number made from the node's name (FNV-1a) so that two nodes differ.
  func randomSeed() throws -> UInt32 {
    if let seed = try float("seed") {
      return seed >= 0 && seed < 4_294_967_296 && seed == seed.rounded() ? UInt32(seed) : seed.bitPattern
    }
    return name.utf8.reduce(2_166_136_261) { ($0 ^ UInt32($1)) &* 16_777_619 }
  }
}

/// Bernoulli: 1 with the probability that the input gives.
struct Bernoulli: Operator {
  let type: DataType?
  let seed: UInt32

  init(_ node: Node) throws {
    type = try node.dataType("dtype")
    seed = try node.randomSeed()
    try type?.requireComputable(named: "dtype")
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "input")
    try data.type.requireComputable(named: "input")
    return [ValueInfo(type: type ?? data.type, shape: data.shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let probabilities = try inputs.tensor(at: 0).numbers()
    var random = NumPyRandomState(seed: seed)
    try outputs.optionalTensor(at: 0)?.store(probabilities.map { random.uniform() < $0 ? 1 : 0 })
  }
}

/// Multinomial: class numbers drawn from unnormalised log-probabilities (batch, classes).
struct Multinomial: Operator {
  let type: DataType
  let sampleCount: Int
  let seed: UInt32

  init(_ node: Node) throws {
    type = try node.dataType("dtype") ?? .int32
    sampleCount = try node.int("sample_size", default: 1)
    seed = try node.randomSeed()
    guard type == .int32 || type == .int64 else {
      throw Failure(.typeMismatch, "'dtype' must be int32 or int64", actual: type.name)
    }
    guard sampleCount >= 0 else { throw Failure(.outOfRange, "sample_size \(sampleCount) is negative") }
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "input")
    try ShapeRules.requireRank(data, 2, named: "input")
    try data.type.requireComputable(named: "input")
    guard data.shape[1] > 0 || data.shape[0] == 0 || sampleCount == 0 else {
      throw Failure(.shapeMismatch, "at least one class is required", actual: "\(data.shape)")
    }
    let shape = [data.shape[0], sampleCount]
    _ = try CheckedSize.product(shape, of: "samples")
    return [ValueInfo(type: type, shape: shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let data = try inputs.tensor(at: 0)
    guard let output = outputs.optionalTensor(at: 0) else { return }
    let classes = data.shape[1]
    let logarithms = try data.numbers()
    var random = NumPyRandomState(seed: seed)
    var samples: [Double] = []
    for row in 0..<data.shape[0] {
      let line = logarithms[(row * classes)..<((row + 1) * classes)]
      let peak = line.max() ?? 0
      var sum = 0.0
      let cumulative = line.map { value in
        sum += exp(value - peak)
        return sum
      }
      for _ in 0..<sampleCount {
        let threshold = random.uniform() * sum
        samples.append(Double(cumulative.firstIndex { threshold < $0 } ?? classes - 1))
      }
    }
    try output.store(samples)
  }
}
