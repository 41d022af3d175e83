import Glibc
import Graph
import Support

/// An activation of a recurrent cell, with the parameters its name takes.
struct CellActivation: Sendable {
  let apply: @Sendable (Double) -> Double

  /// Names of any case, as ONNX writes them.
  init(_ name: String, alpha: Float?, beta: Float?) throws(Failure) {
    func parameter(_ value: Float?, default standard: Double) -> Double { value.map(Double.init) ?? standard }
    switch name.lowercased() {
    case "sigmoid": apply = { 1 / (1 + exp(-$0)) }
    case "tanh": apply = { tanh($0) }
    case "relu": apply = { $0 < 0 ? 0 : $0 }
    case "softplus": apply = { $0.isNaN ? $0 : max($0, 0) + log1p(exp(-$0.magnitude)) }
    case "softsign": apply = { $0 / (1 + $0.magnitude) }
    case "affine":
      let (a, b) = (parameter(alpha, default: 1), parameter(beta, default: 0))
      apply = { a * $0 + b }
    case "scaledtanh":
      let (a, b) = (parameter(alpha, default: 1), parameter(beta, default: 1))
      apply = { a * tanh(b * $0) }
    case "hardsigmoid":
      let (a, b) = (parameter(alpha, default: 0.2), parameter(beta, default: 0.5))
      apply = { min(max(a * $0 + b, 0), 1) }
    case "leakyrelu":
      let a = parameter(alpha, default: 0.01)
      apply = { $0 < 0 ? a * $0 : $0 }
    case "thresholdedrelu":
      let a = parameter(alpha, default: 1)
      apply = { $0 > a ? $0 : 0 }
    case "elu":
      let a = parameter(alpha, default: 1)
      apply = { $0 < 0 ? a * expm1($0) : $0 }
    default: throw Failure(.unsupported, "activation '\(name)' is not known")
    }
  }
}

/// The three cells of ONNX.
enum RecurrentKind: Sendable {
  case simple, gru, lstm

  /// Blocks of `hidden` rows in the weights: RNN i; GRU z, r, h; LSTM i, o, f, c.
  var gates: Int {
    switch self {
    case .simple: 1
    case .gru: 3
    case .lstm: 4
    }
  }

  /// Activations per direction when the model names none.
  var defaultActivations: [String] {
    switch self {
    case .simple: ["Tanh"]
    case .gru: ["Sigmoid", "Tanh"]
    case .lstm: ["Sigmoid", "Tanh", "Tanh"]
    }
  }
}

/// One direction's weights, in Double, and its step.
struct RecurrentCell {
  let kind: RecurrentKind
  let inputSize: Int
  let hidden: Int
  /// (gates · hidden, inputSize), (gates · hidden, hidden), (2 · gates · hidden), (3 · hidden): W, R, B, P.
  let weights: [Double]
  let recurrence: [Double]
  let bias: [Double]
  let peepholes: [Double]
  let activations: [CellActivation]
  let clip: Double?
  let linearBeforeReset: Bool
  let couplesForget: Bool

  private func limited(_ x: Double) -> Double {
    guard let clip else { return x }
    return min(max(x, -clip), clip)
  }

  private func activate(_ index: Int, _ x: Double) -> Double { activations[index].apply(limited(x)) }

  /// W[gate] x + both biases, plus R[gate] h.
  private func gate(_ gate: Int, _ row: Int, _ x: ArraySlice<Double>, _ h: [Double]) -> Double {
    let index = gate * hidden + row
    return input(gate, row, x) + product(recurrence, index * hidden, h[...]) + bias[(kind.gates + gate) * hidden + row]
  }

  private func input(_ gate: Int, _ row: Int, _ x: ArraySlice<Double>) -> Double {
    let index = gate * hidden + row
    return product(weights, index * inputSize, x) + bias[index]
  }

  private func product(_ matrix: [Double], _ start: Int, _ vector: ArraySlice<Double>) -> Double {
    var total = 0.0
    var position = start
    for value in vector {
      total += matrix[position] * value
      position += 1
    }
    return total
  }

  /// One time step of one batch element: x has `inputSize` elements, h and c `hidden`.
  func step(_ x: ArraySlice<Double>, h: inout [Double], c: inout [Double]) {
    switch kind {
    case .simple: h = (0..<hidden).map { activate(0, gate(0, $0, x, h)) }
    case .gru: stepGRU(x, &h)
    case .lstm: stepLSTM(x, &h, &c)
    }
  }

  private func stepGRU(_ x: ArraySlice<Double>, _ h: inout [Double]) {
    let previous = h
    let update = (0..<hidden).map { activate(0, gate(0, $0, x, previous)) }
    let reset = (0..<hidden).map { activate(0, gate(1, $0, x, previous)) }
    let gated = zip(reset, previous).map { $0 * $1 }
    for row in 0..<hidden {
      let index = 2 * hidden + row
      let recurrentBias = bias[(3 + 2) * hidden + row]
      let recurrent =
        linearBeforeReset
        ? reset[row] * (product(recurrence, index * hidden, previous[...]) + recurrentBias)
        : product(recurrence, index * hidden, gated[...]) + recurrentBias
      let candidate = activate(1, input(2, row, x) + recurrent)
      h[row] = (1 - update[row]) * candidate + update[row] * previous[row]
    }
  }

  private func stepLSTM(_ x: ArraySlice<Double>, _ h: inout [Double], _ c: inout [Double]) {
    let previous = h
    for row in 0..<hidden {
      let entering = activate(0, gate(0, row, x, previous) + peepholes[row] * c[row])
      let forgetting =
        couplesForget
        ? 1 - entering : activate(0, gate(2, row, x, previous) + peepholes[2 * hidden + row] * c[row])
      let candidate = activate(1, gate(3, row, x, previous))
      c[row] = forgetting * c[row] + entering * candidate
      let leaving = activate(0, gate(1, row, x, previous) + peepholes[hidden + row] * c[row])
      h[row] = leaving * activations[2].apply(c[row])
    }
  }
}
