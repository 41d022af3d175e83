import Support

/// How each operator works on channels-last twins. A rule returns false, without having emitted anything, when it does not
/// apply; the node then runs on the original order.
extension LayoutPass {
  typealias Rule = (inout LayoutPass, Node) -> Bool

  static func rule(for node: Node) -> Rule? {
    if node.domain == "adadiff" {
      return switch node.operatorType {
      case "Silu", "Gelu", "QuickGelu": { $0.elementwise($1) }
      case "GroupNorm": { $0.groupNorm($1) }
      default: nil
      }
    }
    guard node.domain.isEmpty else { return nil }
    return switch node.operatorType {
    case "Conv": { $0.convolution($1) }
    case "Add", "Sub", "Mul", "Div": { $0.broadcast($1) }
    case "Sigmoid", "Tanh", "Relu", "Sqrt", "Neg", "Exp", "Erf", "LeakyRelu", "Softplus", "Abs", "HardSwish",
      "HardSigmoid", "Elu", "Clip":
      { $0.elementwise($1) }
    case "Concat": { $0.concat($1) }
    case "Transpose": { $0.transpose($1) }
    case "Reshape": { $0.reshape($1) }
    case "Resize", "Upsample": { $0.resize($1) }
    default: nil
    }
  }

  private mutating func convolution(_ node: Node) -> Bool {
    guard let x = node.inputs.first ?? nil, let output = node.outputs.first ?? nil, type(of: x) == .float32,
      shape(of: x)?.count == 4, node.inputs.count >= 2, constant(node.inputs[1])?.type == .float32,
      let input = twin(of: x), let result = makeTwin(of: output)
    else { return false }
    var attributes = node.attributes
    attributes["activation"] = .string("")
    var source = input
    if let small = enlargedBy2(input) {
      attributes["enlargement"] = .int(2)
      source = small
    }
    let bias = node.inputs.count > 2 ? node.inputs[2] : nil
    emit(
      Node(
        name: node.name, operatorType: "ConvNHWC", domain: "adadiff", version: FusionPasses.version,
        inputs: bias == nil ? [source, node.inputs[1]] : [source, node.inputs[1], bias], outputs: [result],
        attributes: attributes))
    return true
  }

  /// What `twin` is a nearest-neighbour enlargement of by two: a convolution reads the small image itself.
  private func enlargedBy2(_ twin: ValueID) -> ValueID? {
    guard let resize = producer(of: twin), resize.operatorType == "ResizeNearestNHWC",
      case .int(2)? = resize.attributes["scale_h"], case .int(2)? = resize.attributes["scale_w"]
    else { return nil }
    return resize.inputs.first ?? nil
  }

  private mutating func groupNorm(_ node: Node) -> Bool {
    guard let x = node.inputs.first ?? nil, hasTwin(x), let output = node.outputs.first ?? nil,
      let rank = shape(of: x)?.count, rank == 3 || rank == 4, let input = twin(of: x), let result = makeTwin(of: output)
    else { return false }
    var moved = node
    moved.operatorType = "GroupNormNHWC"
    moved.inputs[0] = input
    moved.outputs = [result]
    emit(moved)
    return true
  }

  /// First input data, the others scalars (Clip's bounds).
  private mutating func elementwise(_ node: Node) -> Bool {
    guard let x = node.inputs.first ?? nil, hasTwin(x), let output = node.outputs.first ?? nil, let input = twin(of: x),
      let result = makeTwin(of: output)
    else { return false }
    var moved = node
    moved.inputs[0] = input
    moved.outputs = [result]
    emit(moved)
    return true
  }

  private mutating func broadcast(_ node: Node) -> Bool {
    guard node.version >= 7, node.inputs.count == 2, let a = node.inputs[0], let b = node.inputs[1],
      let output = node.outputs.first ?? nil, hasTwin(a) || hasTwin(b), let target = shape(of: output),
      let aShape = shape(of: a), let bShape = shape(of: b), aShape.count <= target.count, bShape.count <= target.count,
      // At least one operand of full rank has a twin; the other one is brought along.
      (hasTwin(a) && aShape.count == target.count) || (hasTwin(b) && bShape.count == target.count)
    else { return false }
    guard let first = broadcastTwin(a, rank: target.count, like: node),
      let second = broadcastTwin(b, rank: target.count, like: node),
      let result = makeTwin(of: output)
    else { return false }
    var moved = node
    moved.inputs = [first, second]
    moved.outputs = [result]
    emit(moved)
    return true
  }

  /// The channels-last form of an operand that broadcasts to `rank` dimensions.
  private mutating func broadcastTwin(_ value: ValueID, rank: Int, like node: Node) -> ValueID? {
    guard let shape = shape(of: value), let type = type(of: value) else { return nil }
    if shape.count == rank { return twin(of: value) }
    if shape.allSatisfy({ $0 == 1 }) { return value }
    materialize(value)
    let padded = Array(repeating: 1, count: rank - shape.count) + shape
    let name = graph.values[value.index].name
    let full = graph.addValue(name: name + ".padded", type: .tensor(type, shape: padded.map { .fixed($0) }))
    emit(reshape(value, to: full, padded, name: name + ".padded"))
    return twin(of: full)
  }

  private mutating func concat(_ node: Node) -> Bool {
    guard node.inputs.contains(where: { hasTwin($0) }), case .int(let axis)? = node.attributes["axis"],
      let output = node.outputs.first ?? nil, let rank = shape(of: output)?.count,
      let moved = Self.twinAxis(Int(axis), rank: rank)
    else { return false }
    var inputs: [ValueID?] = []
    for input in node.inputs {
      guard let input, let twin = twin(of: input) else { return false }
      inputs.append(twin)
    }
    guard let result = makeTwin(of: output) else { return false }
    var copy = node
    copy.inputs = inputs
    copy.outputs = [result]
    copy.attributes["axis"] = .int(Int64(moved))
    emit(copy)
    return true
  }

  /// A transpose of a value with a twin reads the twin; one that itself makes or undoes channels-last order vanishes.
  private mutating func transpose(_ node: Node) -> Bool {
    guard let x = node.inputs.first ?? nil, let output = node.outputs.first ?? nil, let rank = shape(of: x)?.count,
      rank >= 3, case .ints(let values)? = node.attributes["perm"], values.count == rank
    else { return false }
    let permutation = values.map { Int($0) }
    if let twin = existingTwin(x) {
      let composed = permutation.compactMap { Self.twinAxis($0, rank: rank) }
      guard composed.count == rank else { return false }
      if composed == Array(0..<rank) {
        alias(output, to: twin)
      } else {
        reorder(twin, to: output, composed)
      }
      return true
    }
    // (N, …, C) to (N, C, …): the input is the twin of the output.
    if permutation == [0, rank - 1] + Array(1..<(rank - 1)) {
      materialize(x)
      setTwin(of: output, to: x)
      return true
    }
    return false
  }

  /// `output` is the same memory as `twin`: later readers of `output` go through an Identity that planning aliases.
  private mutating func alias(_ output: ValueID, to twin: ValueID) {
    emit(
      Node(
        name: graph.values[output.index].name + ".alias", operatorType: "Identity", version: 13, inputs: [twin],
        outputs: [output]))
  }

  /// (N, C, H, W) ↔ (N, C, H·W): the same reshape on twins.
  private mutating func reshape(_ node: Node) -> Bool {
    guard let x = node.inputs.first ?? nil, hasTwin(x), let output = node.outputs.first ?? nil, let from = shape(of: x),
      let to = shape(of: output), from.count >= 3, to.count >= 3, from[0] == to[0], from[1] == to[1],
      let input = twin(of: x), let result = makeTwin(of: output)
    else { return false }
    emit(reshape(input, to: result, Self.channelsLast(to), name: node.name + ".nhwc"))
    return true
  }

  /// Nearest-neighbour enlargement by whole factors.
  private mutating func resize(_ node: Node) -> Bool {
    guard let x = node.inputs.first ?? nil, hasTwin(x), let output = node.outputs.first ?? nil, let from = shape(of: x),
      let to = shape(of: output), from.count == 4, to.count == 4, type(of: x) == .float32,
      Array(from[..<2]) == Array(to[..<2]),
      from[2] > 0, from[3] > 0, to[2] % from[2] == 0, to[3] % from[3] == 0, repeatsPixels(node),
      let input = twin(of: x), let result = makeTwin(of: output)
    else { return false }
    emit(
      Node(
        name: node.name, operatorType: "ResizeNearestNHWC", domain: "adadiff", version: FusionPasses.version,
        inputs: [input], outputs: [result],
        attributes: ["scale_h": .int(Int64(to[2] / from[2])), "scale_w": .int(Int64(to[3] / from[3]))]))
    return true
  }

  /// True when nearest sampling by a whole factor copies each pixel factor times: exact for these combinations only.
  private func repeatsPixels(_ node: Node) -> Bool {
    func text(_ name: String, _ standard: String) -> String {
      if case .string(let value)? = node.attributes[name] { value } else { standard }
    }
    guard text("mode", "nearest") == "nearest" else { return false }
    if node.operatorType == "Upsample" || node.version < 11 { return true }
    let rounding = text("nearest_mode", "round_prefer_floor")
    switch text("coordinate_transformation_mode", "half_pixel") {
    case "asymmetric": return rounding == "floor"
    case "half_pixel", "pytorch_half_pixel": return rounding.hasPrefix("round_prefer")
    default: return false
    }
  }
}
