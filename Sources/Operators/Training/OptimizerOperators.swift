import Glibc
import Graph
import Support

/// One step of an optimizer from `ai.onnx.preview.training` on any number of tensors.
///
/// Inputs: learning rate R, update count T, then the tensors X, their gradients G, and one or two groups of state; outputs
/// the new X and the new state, group by group. Elementwise, in Double.
struct OptimizerOperator: Operator {
  /// (learning rate, update count, x, gradient with regularisation, state) to (x, state).
  typealias Step = @Sendable (Double, Double, Double, Double, [Double]) -> (Double, [Double])

  let stateCount: Int
  let regularization: Double
  let step: Step

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let groups = stateCount + 2
    guard inputs.count > 2, (inputs.count - 2) % groups == 0 else {
      throw Failure(.corrupt, "inputs come in groups of \(groups)", actual: "\(inputs.count - 2) tensors")
    }
    let rate: ValueInfo = try inputs.operand(0)
    let updates: ValueInfo = try inputs.operand(1)
    guard rate.shape.allSatisfy({ $0 == 1 }), updates.shape.allSatisfy({ $0 == 1 }) else {
      throw Failure(.shapeMismatch, "learning rate and update count are scalars")
    }
    try rate.requireType(rate.type.isFloatingPoint, "a floating-point type")
    try updates.requireType(updates.type == .int64, "int64")
    let tensors = (inputs.count - 2) / groups
    for index in 0..<tensors {
      let x: ValueInfo = try inputs.operand(2 + index)
      try x.requireType(x.type == .float32 || x.type == .float64, "float32 or float64")
      for group in 1..<groups {
        let other: ValueInfo = try inputs.operand(2 + group * tensors + index)
        try other.requireSameType(as: x)
        guard other.shape == x.shape else {
          throw Failure(
            .shapeMismatch, "gradient and state have the tensor's shape", expected: "\(x.shape)",
            actual: "\(other.shape)")
        }
      }
    }
    return try (0..<(1 + stateCount)).flatMap { group in
      try (0..<tensors).map { index in
        let x: ValueInfo = try inputs.operand(2 + index)
        return ValueInfo(type: x.type, shape: x.shape)
      }
    }
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let rate = try (inputs.operand(0) as Tensor).numbers().first ?? 0
    let updates = try (inputs.operand(1) as Tensor).numbers().first ?? 0
    let tensors = (inputs.count - 2) / (stateCount + 2)
    for index in 0..<tensors {
      let groups = try (0..<(stateCount + 2)).map { try (inputs.operand(2 + $0 * tensors + index) as Tensor).numbers() }
      var results = [[Double]](repeating: [], count: 1 + stateCount)
      for element in groups[0].indices {
        let x = groups[0][element]
        let gradient = regularization * x + groups[1][element]
        let (next, state) = step(rate, updates, x, gradient, groups.dropFirst(2).map { $0[element] })
        results[0].append(next)
        for (group, value) in state.enumerated() { results[group + 1].append(value) }
      }
      for group in results.indices {
        if let output: Tensor = outputs.optionalOperand(group * tensors + index) { try output.store(results[group]) }
      }
    }
  }
}

extension OptimizerOperator {
  static func adagrad(_ node: Node) throws -> OptimizerOperator {
    let decay = Double(try node.float("decay_factor", default: 0))
    let epsilon = Double(try node.float("epsilon", default: 1e-6))
    return OptimizerOperator(stateCount: 1, regularization: Double(try node.float("norm_coefficient", default: 0))) {
      rate, updates, x, gradient, state in
      let squares = state[0] + gradient * gradient
      return (x - rate / (1 + updates * decay) * gradient / (squares.squareRoot() + epsilon), [squares])
    }
  }

  static func adam(_ node: Node) throws -> OptimizerOperator {
    let alpha = Double(try node.float("alpha", default: 0.9))
    let beta = Double(try node.float("beta", default: 0.999))
    let epsilon = Double(try node.float("epsilon", default: 1e-6))
    let post = Double(try node.float("norm_coefficient_post", default: 0))
    return OptimizerOperator(stateCount: 2, regularization: Double(try node.float("norm_coefficient", default: 0))) {
      rate, updates, x, gradient, state in
      let momentum = alpha * state[0] + (1 - alpha) * gradient
      let squares = beta * state[1] + (1 - beta) * gradient * gradient
      // The bias correction of both averages, from the first update on.
      let corrected = updates > 0 ? rate * (1 - pow(beta, updates)).squareRoot() / (1 - pow(alpha, updates)) : rate
      return ((1 - post) * (x - corrected * momentum / (squares.squareRoot() + epsilon)), [momentum, squares])
    }
  }

  static func momentum(_ node: Node) throws -> OptimizerOperator {
    let alpha = Double(try node.required(node.float("alpha"), "alpha"))
    let beta = Double(try node.required(node.float("beta"), "beta"))
    let mode = try node.required(node.string("mode"), "mode")
    guard mode == "standard" || mode == "nesterov" else {
      throw Failure(.corrupt, "attribute 'mode' is '\(mode)'", expected: "standard or nesterov")
    }
    let looksAhead = mode == "nesterov"
    return OptimizerOperator(stateCount: 1, regularization: Double(try node.float("norm_coefficient", default: 0))) {
      rate, updates, x, gradient, state in
      let velocity = alpha * state[0] + (updates > 0 ? beta : 1) * gradient
      return (x - rate * (looksAhead ? gradient + alpha * velocity : velocity), [velocity])
    }
  }
}
