import Graph
import Support

/// ONNX `RNN`, `GRU` and `LSTM`, by their equations.
struct RecurrentOperator: Operator {
  enum Kind: Int, Sendable {
    case rnn = 1
    case gru = 3
    case lstm = 4

    /// Gates, in the order of the weights: RNN: i; GRU: z, r, h; LSTM: i, o, f, c.
    var gates: Int { rawValue }
    var defaultActivations: [String] {
      switch self {
      case .rnn: ["Tanh"]
      case .gru: ["Sigmoid", "Tanh"]
      case .lstm: ["Sigmoid", "Tanh", "Tanh"]
      }
    }
  }

  enum Function: String, Sendable {
    case sigmoid = "Sigmoid"
    case tanh = "Tanh"
    case relu = "Relu"

    func callAsFunction<T: Real>(_ x: T) -> T {
      switch self {
      case .sigmoid: 1 / (1 + T.exp(-x))
      case .tanh: T.tanh(x)
      case .relu: x < 0 ? 0 : x
      }
    }
  }

  let kind: Kind
  let directions: Int
  let startsReversed: Bool
  let hidden: Int?
  let clip: Float?
  /// `defaultActivations.count` functions per direction.
  let functions: [Function]
  let batchFirst: Bool
  let linearBeforeReset: Bool
  let inputForget: Bool

  init(_ node: Node, _ kind: Kind) throws {
    self.kind = kind
    let direction = try node.string("direction", default: "forward")
    guard ["forward", "reverse", "bidirectional"].contains(direction) else {
      throw Failure(.corrupt, "direction '\(direction)'")
    }
    directions = direction == "bidirectional" ? 2 : 1
    startsReversed = direction == "reverse"
    hidden = try node.int("hidden_size")
    clip = try node.float("clip")
    let standard = kind.defaultActivations
    let names = try node.strings("activations") ?? Array(repeating: standard, count: directions).flatMap { $0 }
    guard names.count == standard.count * directions else {
      throw Failure(.corrupt, "number of activations", expected: "\(standard.count * directions)", actual: "\(names)")
    }
    functions = try names.map { name in
      guard let function = Function(rawValue: name) else { throw Failure(.unsupported, "activation '\(name)'") }
      return function
    }
    batchFirst = try node.bool("layout", default: false)
    linearBeforeReset = try node.bool("linear_before_reset", default: false)
    inputForget = try node.bool("input_forget", default: false)
    guard node.version >= 7 else { throw Failure(.unsupported, "opsets before 7") }
  }

  private struct Sizes {
    var steps: Int
    var batch: Int
    var input: Int
    var hidden: Int
  }

  private func sizes(_ x: [Int], _ r: [Int]) throws -> Sizes {
    guard x.count == 3, r.count == 3, hidden ?? r[2] == r[2] else {
      throw Failure(.shapeMismatch, "shapes of X and R with hidden_size \(hidden ?? 0)", actual: "\(x) and \(r)")
    }
    return Sizes(steps: batchFirst ? x[1] : x[0], batch: batchFirst ? x[0] : x[1], input: x[2], hidden: r[2])
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let x = try inputs.input(0, named: "X")
    let w = try inputs.input(1, named: "W")
    let r = try inputs.input(2, named: "R")
    try x.expectType(realTypes, named: "X")
    let s = try sizes(x.shape, r.shape)
    let rows = kind.gates * s.hidden
    let state = batchFirst ? [s.batch, directions, s.hidden] : [directions, s.batch, s.hidden]
    let expected: [(ValueInfo?, [Int], String)] = [
      (w, [directions, rows, s.input], "W"), (r, [directions, rows, s.hidden], "R"),
      (inputs.optionalInput(3), [directions, 2 * rows], "B"), (inputs.optionalInput(5), state, "initial_h"),
      (inputs.optionalInput(6), state, "initial_c"), (inputs.optionalInput(7), [directions, 3 * s.hidden], "P"),
    ]
    for (info, shape, name) in expected {
      try info?.expectType([x.type], named: name)
      try info?.expectShape(shape, named: name)
    }
    if let lengths = inputs.optionalInput(4) {
      try lengths.expectType([.int32], named: "sequence_lens")
      try lengths.expectShape([s.batch], named: "sequence_lens")
    }
    let all =
      batchFirst ? [s.batch, s.steps, directions, s.hidden] : [s.steps, directions, s.batch, s.hidden]
    let last = ValueInfo(type: x.type, shape: state)
    return [ValueInfo(type: x.type, shape: all), last] + (kind == .lstm ? [last] : [])
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let x = try inputs.tensor(0, named: "X")
    if x.type == .float64 {
      try compute(Double.self, x, inputs, outputs, context: context)
    } else {
      try compute(Float.self, x, inputs, outputs, context: context)
    }
  }

  private func compute<T: Real>(
    _: T.Type, _ x: Tensor, _ inputs: [Tensor?], _ outputs: [Tensor?], context: RunContext
  ) throws {
    let r = try inputs.tensor(2, named: "R")
    let s = try sizes(x.shape, r.shape)
    let lengths = try inputs.optionalTensor(4)?.integers() ?? [Int](repeating: s.steps, count: s.batch)
    guard lengths.allSatisfy({ $0 >= 0 && $0 <= s.steps }) else {
      throw Failure(.outOfRange, "sequence_lens", expected: "0 to \(s.steps)", actual: "\(lengths)")
    }
    let px = x.pointer(T.self)
    let py = outputs.optionalTensor(0)
    if let py { py.pointer(T.self).update(repeating: 0, count: py.count) }
    for direction in 0..<directions {
      let backwards = startsReversed || direction == 1
      for item in 0..<s.batch {
        try context.checkCancelled()
        let place = (batchFirst ? item * directions + direction : direction * s.batch + item) * s.hidden
        var cell = Cell<T>(self, direction, s.input, s.hidden, inputs, r)
        if let h = inputs.optionalTensor(5) { cell.h = (0..<s.hidden).map { h.pointer(T.self)[place + $0] } }
        if let c = inputs.optionalTensor(6) { cell.c = (0..<s.hidden).map { c.pointer(T.self)[place + $0] } }
        for count in 0..<lengths[item] {
          let step = backwards ? lengths[item] - 1 - count : count
          cell.advance(px + (batchFirst ? item * s.steps + step : step * s.batch + item) * s.input)
          guard let py else { continue }
          let row =
            batchFirst
            ? (item * s.steps + step) * directions + direction : (step * directions + direction) * s.batch + item
          for i in 0..<s.hidden { py.pointer(T.self)[row * s.hidden + i] = cell.h[i] }
        }
        for i in 0..<s.hidden {
          outputs.optionalTensor(1)?.pointer(T.self)[place + i] = cell.h[i]
          outputs.optionalTensor(2)?.pointer(T.self)[place + i] = cell.c[i]
        }
      }
    }
  }

  /// The state of one sequence in one direction.
  private struct Cell<T: Real> {
    let op: RecurrentOperator
    let direction: Int
    let input: Int
    let hidden: Int
    let w: UnsafePointer<T>
    let r: UnsafePointer<T>
    let bias: UnsafePointer<T>?
    let peepholes: UnsafePointer<T>?
    var h: [T]
    var c: [T]

    init(
      _ op: RecurrentOperator, _ direction: Int, _ input: Int, _ hidden: Int, _ inputs: [Tensor?], _ recurrent: Tensor
    ) {
      self.op = op
      self.direction = direction
      self.input = input
      self.hidden = hidden
      let rows = op.kind.gates * hidden
      let weights = inputs.optionalTensor(1) ?? recurrent
      w = UnsafePointer(weights.pointer(T.self)) + direction * rows * input
      r = UnsafePointer(recurrent.pointer(T.self)) + direction * rows * hidden
      bias = inputs.optionalTensor(3).map { UnsafePointer($0.pointer(T.self)) + direction * 2 * rows }
      peepholes = inputs.optionalTensor(7).map { UnsafePointer($0.pointer(T.self)) + direction * 3 * hidden }
      h = [T](repeating: 0, count: hidden)
      c = h
    }

    private func clipped(_ x: T) -> T {
      guard let clip = op.clip.map({ T($0) }) else { return x }
      return x > clip ? clip : x < -clip ? -clip : x
    }

    private func function(_ index: Int) -> Function {
      op.functions[direction * op.kind.defaultActivations.count + index]
    }

    /// W row · x + input bias.
    private func fromInput(_ row: Int, _ x: UnsafePointer<T>) -> T {
      var sum = bias?[row] ?? 0
      for i in 0..<input { sum += w[row * input + i] * x[i] }
      return sum
    }

    /// R row · state + recurrent bias.
    private func fromState(_ row: Int, _ state: [T]) -> T {
      var sum = bias?[op.kind.gates * hidden + row] ?? 0
      for i in 0..<hidden { sum += r[row * hidden + i] * state[i] }
      return sum
    }

    mutating func advance(_ x: UnsafePointer<T>) {
      var next = h
      switch op.kind {
      case .rnn:
        for i in 0..<hidden { next[i] = function(0)(clipped(fromInput(i, x) + fromState(i, h))) }
      case .gru:
        let reset = (0..<hidden).map { function(0)(clipped(fromInput(hidden + $0, x) + fromState(hidden + $0, h))) }
        let gated = zip(reset, h).map { $0 * $1 }
        for i in 0..<hidden {
          let update = function(0)(clipped(fromInput(i, x) + fromState(i, h)))
          let row = 2 * hidden + i
          let recurrent = op.linearBeforeReset ? reset[i] * fromState(row, h) : fromState(row, gated)
          let candidate = function(1)(clipped(fromInput(row, x) + recurrent))
          next[i] = (1 - update) * candidate + update * h[i]
        }
      case .lstm:
        for i in 0..<hidden {
          let old = c[i]
          func gate(_ number: Int) -> T { fromInput(number * hidden + i, x) + fromState(number * hidden + i, h) }
          let entry = function(0)(clipped(gate(0) + (peepholes?[i] ?? 0) * old))
          let forget =
            op.inputForget ? 1 - entry : function(0)(clipped(gate(2) + (peepholes?[2 * hidden + i] ?? 0) * old))
          c[i] = forget * old + entry * function(1)(clipped(gate(3)))
          let exit = function(0)(clipped(gate(1) + (peepholes?[hidden + i] ?? 0) * c[i]))
          next[i] = exit * function(2)(c[i])
        }
      }
      h = next
    }
  }
}
