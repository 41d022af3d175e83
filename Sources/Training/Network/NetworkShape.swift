import Support

/// Sizes of a step-selection network.
///
/// The defaults scale with the text width as the reconstruction of the paper's network does: for 1024 features a
/// feed-forward width of 2048 and a head 1024 → 512 → choices, 25.7 million parameters.
public struct NetworkShape: Sendable, Equatable {
  public var features: Int
  public var choices: Int
  public var layers: Int
  public var heads: Int
  public var feedForward: Int
  public var headHidden: Int

  /// Zero or nil asks for the default of that size. Throws `.outOfRange` for sizes that fit nothing.
  public init(
    features: Int, choices: Int, layers: Int = 3, heads: Int = 0, feedForward: Int = 0, headHidden: Int = 0
  ) throws(Failure) {
    self.features = features
    self.choices = choices
    self.layers = layers
    // Heads of 64 features as in transformers of all sizes, but at least four where the width allows.
    self.heads = heads > 0 ? heads : features % 64 == 0 && features >= 256 ? features / 64 : features % 4 == 0 ? 4 : 1
    self.feedForward = feedForward > 0 ? feedForward : 2 * features
    self.headHidden = headHidden > 0 ? headHidden : max(1, features / 2)
    let limits = [
      ("features", features, 1...65536), ("choices", choices, 2...1000), ("layers", layers, 0...64),
      ("heads", self.heads, 1...1024), ("feed-forward width", self.feedForward, 1...262_144),
      ("head width", self.headHidden, 1...262_144),
    ]
    for (name, value, range) in limits where !range.contains(value) {
      throw Failure(
        .outOfRange, "the step-selection network cannot have \(value) \(name)", component: "training",
        expected: "\(range.lowerBound)…\(range.upperBound)", actual: "\(value)")
    }
    guard features % self.heads == 0 else {
      throw Failure(
        .outOfRange, "the number of heads must divide the features", component: "training",
        expected: "a divisor of \(features)", actual: "\(self.heads)")
    }
  }

  var headWidth: Int { features / heads }

  public var json: JSON {
    .object([
      "features": JSON(features), "choices": JSON(choices), "layers": JSON(layers), "heads": JSON(heads),
      "feed_forward": JSON(feedForward), "head_hidden": JSON(headHidden),
    ])
  }

  /// Multiplications and additions in pairs for a prompt of `length` tokens.
  public func multiplyAdds(length: Int) -> Int {
    let perToken = layers * (4 * features * features + 2 * features * feedForward)
    return length * perToken + layers * 2 * length * length * features + features * headHidden + headHidden * choices
  }
}

/// Where each parameter lies in one flat vector. Matrices are stored (inputs, outputs): y = x · W + b.
struct ParameterLayout: Sendable {
  struct Entry: Sendable {
    var name: String
    var shape: [Int]
    var offset: Int
    var count: Int { shape.reduce(1, *) }
  }

  struct Layer: Sendable {
    var attentionScale, attentionBias, qkvWeight, qkvBias, outWeight, outBias: Int
    var feedScale, feedBias, upWeight, upBias, downWeight, downBias: Int
  }

  private(set) var entries: [Entry] = []
  private(set) var layers: [Layer] = []
  private(set) var normScale = 0
  private(set) var normBias = 0
  private(set) var hiddenWeight = 0
  private(set) var hiddenBias = 0
  private(set) var logitWeight = 0
  private(set) var logitBias = 0
  private(set) var count = 0

  init(_ shape: NetworkShape) {
    let (d, f) = (shape.features, shape.feedForward)
    for index in 0..<shape.layers {
      let prefix = "layers.\(index)."
      layers.append(
        Layer(
          attentionScale: add(prefix + "attention_norm.scale", [d]),
          attentionBias: add(prefix + "attention_norm.bias", [d]), qkvWeight: add(prefix + "qkv.weight", [d, 3 * d]),
          qkvBias: add(prefix + "qkv.bias", [3 * d]), outWeight: add(prefix + "out.weight", [d, d]),
          outBias: add(prefix + "out.bias", [d]), feedScale: add(prefix + "feed_norm.scale", [d]),
          feedBias: add(prefix + "feed_norm.bias", [d]), upWeight: add(prefix + "up.weight", [d, f]),
          upBias: add(prefix + "up.bias", [f]), downWeight: add(prefix + "down.weight", [f, d]),
          downBias: add(prefix + "down.bias", [d])))
    }
    normScale = add("norm.scale", [d])
    normBias = add("norm.bias", [d])
    hiddenWeight = add("hidden.weight", [d, shape.headHidden])
    hiddenBias = add("hidden.bias", [shape.headHidden])
    logitWeight = add("logits.weight", [shape.headHidden, shape.choices])
    logitBias = add("logits.bias", [shape.choices])
  }

  private mutating func add(_ name: String, _ shape: [Int]) -> Int {
    let entry = Entry(name: name, shape: shape, offset: count)
    entries.append(entry)
    count += entry.count
    return entry.offset
  }
}
