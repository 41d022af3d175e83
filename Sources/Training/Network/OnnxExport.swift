import OnnxWriter
import Support

/// The network as an ONNX graph: `last_hidden_state` float32 (batch, sequence, features) and `attention_mask` int64
/// (batch, sequence) to `logits` float32 (batch, choices).
enum OnnxExport {
  private static let opset = 17

  static func bytes(_ network: PolicyNetwork) -> [UInt8] {
    var graph = Builder(network)
    graph.build()
    return Onnx.model(
      Onnx.graph(
        graph.nodes,
        inputs: [
          Onnx.value("last_hidden_state", Onnx.float32, ["batch", "sequence", network.shape.features]),
          Onnx.value("attention_mask", Onnx.int64, ["batch", "sequence"]),
        ],
        outputs: [Onnx.value("logits", Onnx.float32, ["batch", network.shape.choices])],
        initializers: graph.initializers, name: "step_policy"), opset: opset, producer: "adadiff")
  }

  private struct Builder {
    let network: PolicyNetwork
    var nodes: [Proto] = []
    var initializers: [Proto] = []
    private var counter = 0

    init(_ network: PolicyNetwork) { self.network = network }

    private mutating func node(_ type: String, _ inputs: [String], _ attributes: [Proto] = [], output: String? = nil)
      -> String
    {
      counter += 1
      let name = output ?? "\(type.lowercased())_\(counter)"
      nodes.append(Onnx.node(type, inputs, [name], name: "\(type)_\(counter)", attributes: attributes))
      return name
    }

    private mutating func floats(_ name: String, _ shape: [Int], _ values: [Float]) -> String {
      initializers.append(Onnx.tensor(name, Onnx.float32, shape, raw: Onnx.bytes(values)))
      return name
    }

    private mutating func integers(_ name: String, _ values: [Int]) -> String {
      initializers.append(Onnx.tensor(name, Onnx.int64, [values.count], ints: values))
      return name
    }

    /// Columns `from ..< from + columns` of a stored matrix, or of a vector for one row.
    private mutating func weight(
      _ name: String, _ offset: Int, rows: Int, stride: Int, from: Int = 0, columns: Int, vector: Bool = false
    ) -> String {
      let source = network.parameters.pointer + offset
      var values: [Float] = []
      values.reserveCapacity(rows * columns)
      for row in 0..<rows {
        for column in 0..<columns { values.append(source[row * stride + from + column]) }
      }
      return floats(name, vector ? [columns] : [rows, columns], values)
    }

    private mutating func linear(
      _ x: String, _ name: String, weight at: Int, bias: Int, inputs: Int, outputs: Int, from: Int = 0,
      columns: Int? = nil, output: String? = nil
    ) -> String {
      let columns = columns ?? outputs
      let w = weight(name + ".weight", at, rows: inputs, stride: outputs, from: from, columns: columns)
      let b = weight(name + ".bias", bias, rows: 1, stride: outputs, from: from, columns: columns, vector: true)
      return node("Add", [node("MatMul", [x, w]), b], output: output)
    }

    private mutating func norm(_ x: String, _ name: String, scale: Int, bias: Int) -> String {
      let d = network.shape.features
      let s = weight(name + ".scale", scale, rows: 1, stride: d, columns: d, vector: true)
      let b = weight(name + ".bias", bias, rows: 1, stride: d, columns: d, vector: true)
      return node(
        "LayerNormalization", [x, s, b],
        [Onnx.attribute("axis", int: -1), Onnx.attribute("epsilon", float: RowOperations.normEpsilon)])
    }

    mutating func build() {
      let (shape, layout) = (network.shape, network.layout)
      let d = shape.features
      let mask = node("Cast", ["attention_mask"], [Onnx.attribute("to", int: Onnx.float32)])
      let one = floats("one", [], [1])
      // exp(−10000) is 0 in float32, as if the padding were not there.
      let distance = floats("padding_distance", [], [10_000])
      let broadcastAxes = integers("broadcast_axes", [1, 2])
      let featureAxis = integers("feature_axis", [2])
      let sequenceAxis = integers("sequence_axis", [1])
      let headsShape = integers("heads_shape", [0, 0, shape.heads, shape.headWidth])
      let rowsShape = integers("rows_shape", [0, 0, d])
      let scale = floats("attention_scale", [], [1 / Float(shape.headWidth).squareRoot()])
      let penalty = node(
        "Unsqueeze", [node("Mul", [node("Sub", [mask, one]), distance]), broadcastAxes])
      var x = "last_hidden_state"
      for (index, at) in layout.layers.enumerated() {
        let prefix = "layers.\(index)."
        let normed = norm(x, prefix + "attention_norm", scale: at.attentionScale, bias: at.attentionBias)
        let parts = ["query", "key", "value"].enumerated().map { position, part in
          let rows = linear(
            normed, prefix + part, weight: at.qkvWeight, bias: at.qkvBias, inputs: d, outputs: 3 * d,
            from: position * d, columns: d)
          return node(
            "Transpose", [node("Reshape", [rows, headsShape])],
            [Onnx.attribute("perm", ints: part == "key" ? [0, 2, 3, 1] : [0, 2, 1, 3])])
        }
        let scores = node("Mul", [node("MatMul", [parts[0], parts[1]]), scale])
        let weights = node("Softmax", [node("Add", [scores, penalty])], [Onnx.attribute("axis", int: -1)])
        let context = node(
          "Reshape",
          [
            node("Transpose", [node("MatMul", [weights, parts[2]])], [Onnx.attribute("perm", ints: [0, 2, 1, 3])]),
            rowsShape,
          ])
        let middle = node(
          "Add", [x, linear(context, prefix + "out", weight: at.outWeight, bias: at.outBias, inputs: d, outputs: d)])
        let feed = norm(middle, prefix + "feed_norm", scale: at.feedScale, bias: at.feedBias)
        let hidden = node(
          "Relu",
          [
            linear(
              feed, prefix + "up", weight: at.upWeight, bias: at.upBias, inputs: d, outputs: shape.feedForward)
          ])
        x = node(
          "Add",
          [
            middle,
            linear(
              hidden, prefix + "down", weight: at.downWeight, bias: at.downBias, inputs: shape.feedForward, outputs: d),
          ])
      }
      let final = norm(x, "norm", scale: layout.normScale, bias: layout.normBias)
      let column = node("Unsqueeze", [mask, featureAxis])
      let keep = Onnx.attribute("keepdims", int: 0)
      let sum = node("ReduceSum", [node("Mul", [final, column]), sequenceAxis], [keep])
      let pooled = node("Div", [sum, node("ReduceSum", [column, sequenceAxis], [keep])])
      let hidden = node(
        "Relu",
        [
          linear(
            pooled, "hidden", weight: layout.hiddenWeight, bias: layout.hiddenBias, inputs: d, outputs: shape.headHidden
          )
        ])
      _ = linear(
        hidden, "logits", weight: layout.logitWeight, bias: layout.logitBias, inputs: shape.headHidden,
        outputs: shape.choices, output: "logits")
    }
  }
}
