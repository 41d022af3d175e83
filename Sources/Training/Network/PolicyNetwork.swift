import Glibc
import Support

/// Tokens of several prompts, stacked without padding.
struct FeatureBatch {
  /// (rows, features).
  var features: UnsafePointer<Float>
  /// First row of every prompt, and the number of all rows.
  var offsets: [Int]

  var prompts: Int { offsets.count - 1 }
  var rows: Int { offsets.last ?? 0 }
}

/// Numbers that tell one dropped set of values from another.
struct DropoutKey {
  var share: Double
  var seed: UInt64
}

/// The step-selection network: pre-norm self-attention layers over the text features, the mean over the prompt's tokens,
/// and a two-layer head; forward, and backward by hand. Padding never enters: prompts are stacked at their own lengths.
///
///     h = h + attention(norm(h)) · W_out          three times
///     h = h + relu(norm(h) · W_up) · W_down
///     logits = relu(mean(norm(h)) · W_hidden) · W_logits
///
/// Holds the activations of one batch; not for simultaneous use.
final class PolicyNetwork {
  let shape: NetworkShape
  let layout: ParameterLayout
  let parameters: FloatBuffer
  let gradients: FloatBuffer

  private let pool: ThreadPool
  private let matrix: MatrixKernel

  private final class LayerState {
    let normed = FloatBuffer(), normedHat = FloatBuffer(), normedInverse = FloatBuffer()
    let qkv = FloatBuffer(), weights = FloatBuffer(), context = FloatBuffer(), middle = FloatBuffer()
    let feed = FloatBuffer(), feedHat = FloatBuffer(), feedInverse = FloatBuffer(), hidden = FloatBuffer()
    let output = FloatBuffer()
  }
  private let states: [LayerState]
  private let input = FloatBuffer(), final = FloatBuffer(), finalHat = FloatBuffer(), finalInverse = FloatBuffer()
  private let pooled = FloatBuffer(), hidden = FloatBuffer(), kept = FloatBuffer()
  let logits = FloatBuffer()
  private let dLogitsHidden = FloatBuffer(), dPooled = FloatBuffer(), dRows = FloatBuffer(), dState = FloatBuffer()
  private let dWide = FloatBuffer(), dNormed = FloatBuffer(), dContext = FloatBuffer()

  init(shape: NetworkShape, pool: ThreadPool) throws(Failure) {
    self.shape = shape
    self.pool = pool
    layout = ParameterLayout(shape)
    parameters = try FloatBuffer(count: layout.count)
    gradients = try FloatBuffer(count: layout.count)
    matrix = MatrixKernel(pool: pool)
    states = (0..<shape.layers).map { _ in LayerState() }
  }

  /// Xavier-uniform matrices, neutral norms, zero biases; the last matrix a tenth of that, so that training begins with
  /// nearly equal chances for all choices.
  func initialize(seed: UInt64) {
    var generator = SplitMix64(seed: seed)
    for entry in layout.entries {
      let values = parameters.pointer + entry.offset
      if entry.shape.count == 2 {
        let limit =
          (6 / Double(entry.shape[0] + entry.shape[1])).squareRoot() * (entry.name == "logits.weight" ? 0.1 : 1)
        for index in 0..<entry.count { values[index] = Float(limit * (2 * generator.uniform() - 1)) }
      } else {
        values.update(repeating: entry.name.hasSuffix("scale") ? 1 : 0, count: entry.count)
      }
    }
  }

  private func parameter(_ offset: Int) -> UnsafeMutablePointer<Float> { parameters.pointer + offset }
  private func gradient(_ offset: Int) -> UnsafeMutablePointer<Float> { gradients.pointer + offset }

  /// Logits (prompts, choices) into `logits`. With `dropout` values of the input and of the pooled features are dropped.
  func forward(_ batch: FeatureBatch, dropout: DropoutKey? = nil) throws(Failure) {
    let (rows, d, f) = (batch.rows, shape.features, shape.feedForward)
    try input.reserve(rows * d)
    input.pointer.update(from: batch.features, count: rows * d)
    if let dropout { Dropout.apply(dropout, stream: 0, to: input.pointer, count: rows * d, kept: nil) }
    let attention = SegmentAttention(offsets: batch.offsets, heads: shape.heads, headWidth: shape.headWidth, pool: pool)
    let weightCount = attention.weightOffsets.last ?? 0
    var x = input.pointer
    for (state, at) in zip(states, layout.layers) {
      for buffer in [
        state.normed, state.normedHat, state.context, state.middle, state.feed, state.feedHat, state.output,
      ] {
        try buffer.reserve(rows * d)
      }
      try state.normedInverse.reserve(rows)
      try state.feedInverse.reserve(rows)
      try state.qkv.reserve(rows * 3 * d)
      try state.weights.reserve(weightCount)
      try state.hidden.reserve(rows * f)
      RowOperations.normalize(
        x, rows: rows, width: d, scale: parameter(at.attentionScale), bias: parameter(at.attentionBias),
        xhat: state.normedHat.pointer, inverse: state.normedInverse.pointer, into: state.normed.pointer, pool: pool)
      try matrix.multiply(
        rows: rows, depth: d, columns: 3 * d, MatrixView(state.normed.pointer, stride: d),
        MatrixView(parameter(at.qkvWeight), stride: 3 * d), into: state.qkv.pointer, cStride: 3 * d,
        bias: parameter(at.qkvBias))
      attention.forward(qkv: state.qkv.pointer, weights: state.weights.pointer, context: state.context.pointer)
      state.middle.pointer.update(from: x, count: rows * d)
      try matrix.multiply(
        rows: rows, depth: d, columns: d, MatrixView(state.context.pointer, stride: d),
        MatrixView(parameter(at.outWeight), stride: d), into: state.middle.pointer, cStride: d, accumulate: true,
        bias: parameter(at.outBias))
      RowOperations.normalize(
        state.middle.pointer, rows: rows, width: d, scale: parameter(at.feedScale), bias: parameter(at.feedBias),
        xhat: state.feedHat.pointer, inverse: state.feedInverse.pointer, into: state.feed.pointer, pool: pool)
      try matrix.multiply(
        rows: rows, depth: d, columns: f, MatrixView(state.feed.pointer, stride: d),
        MatrixView(parameter(at.upWeight), stride: f), into: state.hidden.pointer, cStride: f,
        bias: parameter(at.upBias))
      RowOperations.relu(state.hidden.pointer, count: rows * f)
      state.output.pointer.update(from: state.middle.pointer, count: rows * d)
      try matrix.multiply(
        rows: rows, depth: f, columns: d, MatrixView(state.hidden.pointer, stride: f),
        MatrixView(parameter(at.downWeight), stride: d), into: state.output.pointer, cStride: d, accumulate: true,
        bias: parameter(at.downBias))
      x = state.output.pointer
    }
    try head(batch, x, dropout)
  }

  private func head(_ batch: FeatureBatch, _ x: UnsafePointer<Float>, _ dropout: DropoutKey?) throws(Failure) {
    let (rows, d, prompts) = (batch.rows, shape.features, batch.prompts)
    try final.reserve(rows * d)
    try finalHat.reserve(rows * d)
    try finalInverse.reserve(rows)
    try pooled.reserve(prompts * d)
    try kept.reserve(prompts * d)
    try hidden.reserve(prompts * shape.headHidden)
    try logits.reserve(prompts * shape.choices)
    RowOperations.normalize(
      x, rows: rows, width: d, scale: parameter(layout.normScale), bias: parameter(layout.normBias),
      xhat: finalHat.pointer, inverse: finalInverse.pointer, into: final.pointer, pool: pool)
    pooled.clear()
    for prompt in 0..<prompts {
      let target = pooled.pointer + prompt * d
      for row in batch.offsets[prompt]..<batch.offsets[prompt + 1] {
        RowOperations.accumulate(final.pointer + row * d, 1, into: target, d)
      }
      let length = Float(batch.offsets[prompt + 1] - batch.offsets[prompt])
      for index in 0..<d { target[index] /= length }
    }
    kept.pointer.update(repeating: 1, count: prompts * d)
    if let dropout { Dropout.apply(dropout, stream: 1, to: pooled.pointer, count: prompts * d, kept: kept.pointer) }
    try matrix.multiply(
      rows: prompts, depth: d, columns: shape.headHidden, MatrixView(pooled.pointer, stride: d),
      MatrixView(parameter(layout.hiddenWeight), stride: shape.headHidden), into: hidden.pointer,
      cStride: shape.headHidden, bias: parameter(layout.hiddenBias))
    RowOperations.relu(hidden.pointer, count: prompts * shape.headHidden)
    try matrix.multiply(
      rows: prompts, depth: shape.headHidden, columns: shape.choices,
      MatrixView(hidden.pointer, stride: shape.headHidden),
      MatrixView(parameter(layout.logitWeight), stride: shape.choices), into: logits.pointer, cStride: shape.choices,
      bias: parameter(layout.logitBias))
  }

  /// Adds the gradients of all parameters to `gradients`, given that of the last `forward`'s logits, (prompts, choices).
  func backward(_ batch: FeatureBatch, dLogits: UnsafePointer<Float>) throws(Failure) {
    let (rows, d, f, prompts) = (batch.rows, shape.features, shape.feedForward, batch.prompts)
    try linearBackward(
      dLogits, input: hidden.pointer, rows: prompts, inputs: shape.headHidden, outputs: shape.choices,
      weight: layout.logitWeight, bias: layout.logitBias, dInput: dLogitsHidden)
    RowOperations.reluBackward(
      dLogitsHidden.pointer, activation: hidden.pointer, count: prompts * shape.headHidden)
    try linearBackward(
      dLogitsHidden.pointer, input: pooled.pointer, rows: prompts, inputs: d, outputs: shape.headHidden,
      weight: layout.hiddenWeight, bias: layout.hiddenBias, dInput: dPooled)
    try dRows.reserve(rows * d)
    try dState.reserve(rows * d)
    for prompt in 0..<prompts {
      let share = 1 / Float(batch.offsets[prompt + 1] - batch.offsets[prompt])
      let source = dPooled.pointer + prompt * d
      let mask = kept.pointer + prompt * d
      for row in batch.offsets[prompt]..<batch.offsets[prompt + 1] {
        let target = dRows.pointer + row * d
        for index in 0..<d { target[index] = share * source[index] * mask[index] }
      }
    }
    dState.clear()
    RowOperations.normalizeBackward(
      dRows.pointer, rows: rows, width: d, scale: parameter(layout.normScale), xhat: finalHat.pointer,
      inverse: finalInverse.pointer, dScale: gradient(layout.normScale), dBias: gradient(layout.normBias),
      dx: shape.layers > 0 ? dState.pointer : nil, pool: pool)

    let attention = SegmentAttention(offsets: batch.offsets, heads: shape.heads, headWidth: shape.headWidth, pool: pool)
    for index in states.indices.reversed() {
      let (state, at) = (states[index], layout.layers[index])
      // dState is the gradient of the layer's output, and by the residual path of what lies before.
      try linearBackward(
        dState.pointer, input: state.hidden.pointer, rows: rows, inputs: f, outputs: d, weight: at.downWeight,
        bias: at.downBias, dInput: dWide)
      RowOperations.reluBackward(dWide.pointer, activation: state.hidden.pointer, count: rows * f)
      try linearBackward(
        dWide.pointer, input: state.feed.pointer, rows: rows, inputs: d, outputs: f, weight: at.upWeight,
        bias: at.upBias, dInput: dNormed)
      RowOperations.normalizeBackward(
        dNormed.pointer, rows: rows, width: d, scale: parameter(at.feedScale), xhat: state.feedHat.pointer,
        inverse: state.feedInverse.pointer, dScale: gradient(at.feedScale), dBias: gradient(at.feedBias),
        dx: dState.pointer, pool: pool)
      try linearBackward(
        dState.pointer, input: state.context.pointer, rows: rows, inputs: d, outputs: d, weight: at.outWeight,
        bias: at.outBias, dInput: dContext)
      try dWide.reserve(rows * 3 * d)
      attention.backward(
        dContext: dContext.pointer, qkv: state.qkv.pointer, weights: state.weights.pointer, dQKV: dWide.pointer)
      try linearBackward(
        dWide.pointer, input: state.normed.pointer, rows: rows, inputs: d, outputs: 3 * d, weight: at.qkvWeight,
        bias: at.qkvBias, dInput: dNormed)
      RowOperations.normalizeBackward(
        dNormed.pointer, rows: rows, width: d, scale: parameter(at.attentionScale), xhat: state.normedHat.pointer,
        inverse: state.normedInverse.pointer, dScale: gradient(at.attentionScale), dBias: gradient(at.attentionBias),
        dx: index > 0 ? dState.pointer : nil, pool: pool)
    }
  }

  /// For y = x · W + b: adds xᵀ · dy and the column sums of dy to the gradients, and writes dy · Wᵀ.
  private func linearBackward(
    _ dy: UnsafePointer<Float>, input x: UnsafePointer<Float>, rows: Int, inputs: Int, outputs: Int, weight: Int,
    bias: Int, dInput: FloatBuffer
  ) throws(Failure) {
    try matrix.multiply(
      rows: inputs, depth: rows, columns: outputs, MatrixView(x, stride: inputs, transposed: true),
      MatrixView(dy, stride: outputs), into: gradient(weight), cStride: outputs, accumulate: true)
    RowOperations.addColumnSums(dy, rows: rows, width: outputs, stride: outputs, into: gradient(bias))
    try dInput.reserve(rows * inputs)
    try matrix.multiply(
      rows: rows, depth: outputs, columns: inputs, MatrixView(dy, stride: outputs),
      MatrixView(parameter(weight), stride: outputs, transposed: true), into: dInput.pointer, cStride: inputs)
  }
}
