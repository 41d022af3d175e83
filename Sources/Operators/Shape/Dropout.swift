import Graph
import Support

/// Dropout. At inference the identity; `training_mode` (opset 12) draws a mask from the seed as NumPy would.
struct Dropout: Operator {
  let seed: UInt32
  let hasMaskOutput: Bool
  let hasTrainingInput: Bool
  /// Before opset 10 the mask has the data's type.
  let maskIsBool: Bool

  var isView: Bool { !hasMaskOutput && !hasTrainingInput }
  var inPlaceInputs: [Int] { [0] }

  init(_ node: Node) throws {
    if node.version < 7, try !node.bool("is_test", default: false) {
      throw Failure(.unsupported, "a Dropout that trains (is_test = 0) is not implemented before opset 12")
    }
    seed = UInt32(truncatingIfNeeded: try node.int("seed") ?? 0)
    hasMaskOutput = node.outputs.count > 1 && node.outputs[1] != nil
    hasTrainingInput = node.version >= 12 && node.inputs.count > 2 && node.inputs[2] != nil
    maskIsBool = node.version >= 10
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "data")
    if hasTrainingInput || !maskIsBool { try data.type.requireComputable(named: "data") }
    return [data, ValueInfo(type: maskIsBool ? .bool : data.type, shape: data.shape)].map {
      ValueInfo(type: $0.type, shape: $0.shape)
    }
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let data = try inputs.tensor(at: 0)
    let infos = inputs.infos
    let training = hasTrainingInput ? try infos.number(at: 2, named: "training_mode") ?? 0 : 0
    let ratio = training != 0 ? try infos.number(at: 1, named: "ratio") ?? 0.5 : 0
    guard ratio >= 0, ratio < 1 else { throw Failure(.outOfRange, "ratio \(ratio) must lie in 0..<1") }
    let mask = outputs.optionalTensor(at: 1)
    let output = outputs.optionalTensor(at: 0)
    if ratio == 0 {
      if let output { try copyElements(from: data, to: output) }
      if let mask { try mask.fill(with: Tensor.scalar(mask.type, 1), pool: context.pool) }
      return
    }
    try withNumericElement(of: data.type, Drop(data: data, output: output, mask: mask, ratio: ratio, seed: seed))
  }

  private struct Drop: NumericComputation {
    let data: Tensor
    let output: Tensor?
    let mask: Tensor?
    let ratio: Double
    let seed: UInt32

    func run<Element: NumericElement>(_: Element.Type) {
      var random = NumPyRandomState(seed: seed)
      let source = data.pointer(Element.self)
      let scale = 1 / (1 - ratio)
      for index in 0..<data.count {
        let kept = random.uniform() >= ratio
        output?.pointer(Element.self)[index] = Element(rounding: kept ? source[index].asDouble * scale : 0)
        mask?.pointer(UInt8.self)[index] = kept ? 1 : 0
      }
    }
  }
}
