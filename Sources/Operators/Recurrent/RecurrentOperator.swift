import Graph
import Support

/// RNN, GRU and LSTM in both directions. Computed in Double without a fast path: pipelines do not use them, models that
/// surround pipelines sometimes do.
struct RecurrentOperator: Operator {
  private let kind: RecurrentKind
  private let isReversed: [Bool]
  private let activations: [[CellActivation]]
  private let clip: Double?
  private let linearBeforeReset: Bool
  private let couplesForget: Bool
  /// Batch is the first axis of X and the states, not the second.
  private let batchFirst: Bool
  private let declaredHidden: Int?

  init(_ kind: RecurrentKind, _ node: Node) throws {
    self.kind = kind
    switch try node.string("direction", default: "forward") {
    case "forward": isReversed = [false]
    case "reverse": isReversed = [true]
    case "bidirectional": isReversed = [false, true]
    case let other: throw Failure(.corrupt, "attribute 'direction' is '\(other)'")
    }
    let perDirection = kind.defaultActivations.count
    let names =
      try node.strings("activations")
      ?? [[String]](repeating: kind.defaultActivations, count: isReversed.count).flatMap { $0 }
    guard names.count == perDirection * isReversed.count else {
      throw Failure(.corrupt, "\(perDirection) activations per direction are required", actual: "\(names)")
    }
    let alphas = try node.floats("activation_alpha") ?? []
    let betas = try node.floats("activation_beta") ?? []
    let all = try names.enumerated().map { index, name in
      try CellActivation(
        name, alpha: index < alphas.count ? alphas[index] : nil, beta: index < betas.count ? betas[index] : nil)
    }
    activations = isReversed.indices.map { Array(all[($0 * perDirection)..<(($0 + 1) * perDirection)]) }
    clip = try node.float("clip").map(Double.init)
    linearBeforeReset = try node.bool("linear_before_reset", default: false)
    couplesForget = try node.bool("input_forget", default: false)
    batchFirst = try node.int("layout", default: 0) == 1
    declaredHidden = try node.int("hidden_size")
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x: ValueInfo = try inputs.operand(0)
    let w: ValueInfo = try inputs.operand(1)
    let r: ValueInfo = try inputs.operand(2)
    try x.requireType(x.type.isFloatingPoint && ComputeKind(x.type) != nil, "a floating-point type")
    guard x.shape.count == 3, w.shape.count == 3, r.shape.count == 3 else {
      throw Failure(.shapeMismatch, "X, W and R have three axes", actual: "\(x.shape), \(w.shape), \(r.shape)")
    }
    let directions = isReversed.count
    let hidden = r.shape[2]
    let (steps, batch) = batchFirst ? (x.shape[1], x.shape[0]) : (x.shape[0], x.shape[1])
    let rows = kind.gates * hidden
    let state = batchFirst ? [batch, directions, hidden] : [directions, batch, hidden]
    let expected: [(Int, String, [Int])] = [
      (1, "W", [directions, rows, x.shape[2]]), (2, "R", [directions, rows, hidden]), (3, "B", [directions, 2 * rows]),
      (4, "sequence_lens", [batch]), (5, "initial_h", state), (6, "initial_c", state),
      (7, "P", [directions, 3 * hidden]),
    ]
    for (index, name, shape) in expected {
      guard let info: ValueInfo = inputs.optionalOperand(index) else { continue }
      if index == 4 {
        try info.requireType(info.type == .int32, "int32")
      } else {
        try info.requireSameType(as: x)
      }
      guard info.shape == shape else {
        throw Failure(.shapeMismatch, "\(name) has the wrong shape", expected: "\(shape)", actual: "\(info.shape)")
      }
    }
    if let declaredHidden, declaredHidden != hidden {
      throw Failure(.shapeMismatch, "hidden_size contradicts R", expected: "\(declaredHidden)", actual: "\(hidden)")
    }
    let sequence =
      batchFirst ? [batch, steps, directions, hidden] : [steps, directions, batch, hidden]
    let states = [ValueInfo](
      repeating: ValueInfo(type: x.type, shape: state), count: kind == .lstm ? 2 : 1)
    return [ValueInfo(type: x.type, shape: sequence)] + states
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let x: Tensor = try inputs.operand(0)
    let w: Tensor = try inputs.operand(1)
    let r: Tensor = try inputs.operand(2)
    let directions = isReversed.count
    let (hidden, inputSize) = (r.shape[2], x.shape[2])
    let (steps, batch) = batchFirst ? (x.shape[1], x.shape[0]) : (x.shape[0], x.shape[1])
    let rows = kind.gates * hidden
    func optional(_ index: Int, _ count: Int) throws -> [Double] {
      try (inputs.optionalOperand(index) as Tensor?)?.numbers() ?? [Double](repeating: 0, count: count)
    }
    let elements = try x.numbers()
    let (weights, recurrence) = (try w.numbers(), try r.numbers())
    let bias = try optional(3, directions * 2 * rows)
    let peepholes = try optional(7, directions * 3 * hidden)
    let lengths = try (inputs.optionalOperand(4) as Tensor?)?.integers() ?? [Int](repeating: steps, count: batch)
    guard lengths.allSatisfy({ $0 >= 0 && $0 <= steps }) else {
      throw Failure(.outOfRange, "a sequence is longer than X", expected: "0...\(steps)", actual: "\(lengths)")
    }
    var finalH = try optional(5, directions * batch * hidden)
    var finalC = try optional(6, directions * batch * hidden)
    var sequence = [Double](repeating: 0, count: steps * directions * batch * hidden)
    for direction in 0..<directions {
      let cell = RecurrentCell(
        kind: kind, inputSize: inputSize, hidden: hidden,
        weights: Array(weights[(direction * rows * inputSize)..<((direction + 1) * rows * inputSize)]),
        recurrence: Array(recurrence[(direction * rows * hidden)..<((direction + 1) * rows * hidden)]),
        bias: Array(bias[(direction * 2 * rows)..<((direction + 1) * 2 * rows)]),
        peepholes: Array(peepholes[(direction * 3 * hidden)..<((direction + 1) * 3 * hidden)]),
        activations: activations[direction], clip: clip, linearBeforeReset: linearBeforeReset,
        couplesForget: couplesForget)
      for element in 0..<batch {
        let state = (batchFirst ? element * directions + direction : direction * batch + element) * hidden
        var h = Array(finalH[state..<(state + hidden)])
        var c = Array(finalC[state..<(state + hidden)])
        for count in 0..<lengths[element] {
          try context.checkCancelled()
          let step = isReversed[direction] ? lengths[element] - 1 - count : count
          let start = (batchFirst ? element * steps + step : step * batch + element) * inputSize
          cell.step(elements[start..<(start + inputSize)], h: &h, c: &c)
          let target =
            batchFirst
            ? (element * steps + step) * directions + direction : (step * directions + direction) * batch + element
          sequence.replaceSubrange((target * hidden)..<((target + 1) * hidden), with: h)
        }
        finalH.replaceSubrange(state..<(state + hidden), with: h)
        finalC.replaceSubrange(state..<(state + hidden), with: c)
      }
    }
    if let result: Tensor = outputs.optionalOperand(0) { try result.store(sequence) }
    if let result: Tensor = outputs.optionalOperand(1) { try result.store(finalH) }
    if let result: Tensor = outputs.optionalOperand(2) { try result.store(finalC) }
  }
}

/// Recurrent networks, with the inputs and layouts since opset 7.
let recurrentOperators: [OperatorEntry] = [
  OperatorEntry("RNN", versions: 7...99) { try RecurrentOperator(.simple, $0) },
  OperatorEntry("GRU", versions: 7...99) { try RecurrentOperator(.gru, $0) },
  OperatorEntry("LSTM", versions: 7...99) { try RecurrentOperator(.lstm, $0) },
]
