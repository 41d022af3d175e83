import Graph
import Runtime
import Support

/// Token ids to the features that condition the network.
struct TextEncoder: Sendable {
  /// Features for the network, float32 (1, length, features), and the policy's view of the same prompt.
  struct Encoding: Sendable {
    var conditioning: Tensor
    var lastHiddenState: Tensor
  }

  private let component: ComponentModel
  private let idType: DataType
  private let maskType: DataType?
  private let outputName: String
  /// Names of `hidden_states.0` … in order; empty when the export has none.
  private let hiddenStates: [String]
  private let usesAttentionMask: Bool
  private let normEpsilon: Double

  init(folder: PipelineFolder, pool: ThreadPool, precision: Precision) throws {
    component = try ComponentModel("text_encoder", in: folder.path, pool: pool, precision: precision)
    try component.allowOnlyInputs(["input_ids", "attention_mask"])
    idType = try Self.integerType(component.requiredInput("input_ids"))
    maskType = try component.input("attention_mask").map { try Self.integerType($0) }
    outputName = try component.output(preferred: "last_hidden_state")
    let names = Set(component.model.outputs.map(\.name))
    hiddenStates = Array((0..<names.count).lazy.map { "hidden_states.\($0)" }.prefix { names.contains($0) })
    usesAttentionMask = folder.usesAttentionMask
    normEpsilon = folder.textNormEpsilon
  }

  private static func integerType(_ input: TensorDescription) throws(Failure) -> DataType {
    let type = try input.tensorType(component: "text_encoder").type
    guard type == .int64 || type == .int32 else {
      throw Failure(
        .typeMismatch, "input '\(input.name)' must hold integers", component: "text_encoder",
        expected: "int64 or int32", actual: type.name)
    }
    return type
  }

  /// `clipSkip` layers before the last; 0 takes the last hidden state.
  func encode(_ prompt: TokenizedPrompt, clipSkip: Int, options: RunOptions) throws -> Encoding {
    let length = prompt.ids.count
    var feeds = ["input_ids": try Self.tensor(prompt.ids, type: idType)]
    if let maskType {
      let mask = usesAttentionMask ? prompt.mask : Array(repeating: 1, count: length)
      feeds["attention_mask"] = try Self.tensor(mask, type: maskType)
    }
    guard clipSkip > 0 else {
      let state = try component.run(feeds, output: outputName, shape: [1, length, nil], options: options)
      return Encoding(conditioning: state, lastHiddenState: state)
    }
    guard let last = hiddenStates.last else {
      throw Failure(
        .unsupported, "clip_skip needs an export with the text encoder's hidden states",
        component: "text_encoder", expected: "outputs hidden_states.0, hidden_states.1, …",
        actual: component.model.outputs.map(\.name).joined(separator: ", "))
    }
    guard clipSkip < hiddenStates.count else {
      throw Failure(
        .outOfRange, "clip_skip is out of range for this text encoder", component: "text_encoder",
        expected: "0…\(hiddenStates.count - 1)", actual: "\(clipSkip)")
    }
    let chosen = hiddenStates[hiddenStates.count - 1 - clipSkip]
    let results = try component.run(feeds, outputs: [outputName, last, chosen], options: options)
    guard let normalized = try results[outputName]?.asFloat32(), let before = try results[last]?.asFloat32(),
      let wanted = try results[chosen]?.asFloat32()
    else { throw Failure(.internalError, "hidden states are missing", component: "text_encoder") }
    let norm = try FinalNorm(input: before, output: normalized, epsilon: normEpsilon)
    return Encoding(conditioning: try norm.applied(to: wanted), lastHiddenState: normalized)
  }

  private static func tensor(_ values: [Int], type: DataType) throws(Failure) -> Tensor {
    type == .int64
      ? try Tensor(type: .int64, shape: [1, values.count], values: values.map(Int64.init))
      : try Tensor(type: .int32, shape: [1, values.count], values: values.map(Int32.init(clamping:)))
  }
}
