import Graph
import Support

/// The text encoder's last layer normalisation, recovered from one run of it.
///
/// Skipping layers (clip skip) applies this normalisation to an earlier hidden state, but an export gives only its
/// result. Per feature it is a line, `output = weight * normalized + bias`; a fit over the tokens finds weight and bias
/// to rounding.
struct FinalNorm {
  private let weight: [Double]
  private let bias: [Double]
  private let epsilon: Double

  /// Largest deviation of the fit, relative to the largest output: beyond it the last layer is something else.
  static let tolerance = 1e-3

  /// `input` and `output` are float32 (1, length, features).
  init(input: Tensor, output: Tensor, epsilon: Double) throws(Failure) {
    guard input.rank == 3, input.shape == output.shape, input.shape[1] >= 3 else {
      throw Failure(
        .shapeMismatch, "hidden states have another shape than the last hidden state", component: "text_encoder",
        expected: "\(output.shape)", actual: "\(input.shape)")
    }
    self.epsilon = epsilon
    let (length, features) = (input.shape[1], input.shape[2])
    let normalized = Self.normalized(input, epsilon: epsilon)
    let results = output.buffer(Float.self)
    var weight = [Double](repeating: 0, count: features)
    var bias = weight
    var largest = 0.0
    var deviation = 0.0
    for feature in 0..<features {
      var (sumX, sumY, sumXX, sumXY) = (0.0, 0.0, 0.0, 0.0)
      for token in 0..<length {
        let (x, y) = (normalized[token * features + feature], Double(results[token * features + feature]))
        sumX += x
        sumY += y
        sumXX += x * x
        sumXY += x * y
      }
      let n = Double(length)
      let spread = sumXX - sumX * sumX / n
      weight[feature] = spread > 1e-12 ? (sumXY - sumX * sumY / n) / spread : 0
      bias[feature] = (sumY - weight[feature] * sumX) / n
      for token in 0..<length {
        let (x, y) = (normalized[token * features + feature], Double(results[token * features + feature]))
        largest = max(largest, abs(y))
        deviation = max(deviation, abs(weight[feature] * x + bias[feature] - y))
      }
    }
    guard deviation <= Self.tolerance * largest else {
      throw Failure(
        .unsupported, "clip_skip: the text encoder does not end in a layer normalisation", component: "text_encoder")
    }
    self.weight = weight
    self.bias = bias
  }

  func applied(to state: Tensor) throws(Failure) -> Tensor {
    guard state.rank == 3, state.shape[2] == weight.count else {
      throw Failure(
        .shapeMismatch, "hidden states differ in size", component: "text_encoder",
        expected: "(1, length, \(weight.count))",
        actual: "\(state.shape)")
    }
    let result = try Tensor(type: .float32, shape: state.shape)
    let values = result.buffer(Float.self)
    for (index, value) in Self.normalized(state, epsilon: epsilon).enumerated() {
      let feature = index % weight.count
      values[index] = Float(weight[feature] * value + bias[feature])
    }
    return result
  }

  /// Zero mean and unit variance per token.
  private static func normalized(_ state: Tensor, epsilon: Double) -> [Double] {
    let (length, features) = (state.shape[1], state.shape[2])
    let values = state.buffer(Float.self)
    var result = [Double](repeating: 0, count: length * features)
    for token in 0..<length {
      let row = token * features..<(token + 1) * features
      let mean = row.reduce(0) { $0 + Double(values[$1]) } / Double(features)
      let variance = row.reduce(0) { $0 + (Double(values[$1]) - mean) * (Double(values[$1]) - mean) } / Double(features)
      let scale = 1 / (variance + epsilon).squareRoot()
      for index in row { result[index] = (Double(values[index]) - mean) * scale }
    }
    return result
  }
}
