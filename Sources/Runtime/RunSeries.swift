import Glibc
import Graph
import Operators
import Support
import Synchronization

/// Runs of one model that follow each other, and what is known about their inputs: some are unchanged, such as the text features
/// of a sampling loop; some hold the same twice, such as the latents of classifier-free guidance.
///
/// What depends on those inputs alone (the keys and values of cross-attention) is computed in the first run and kept;
/// later runs begin behind it. The kept values belong to the elements of the inputs, not to their memory: a run with other
/// elements computes them again. Results are bit for bit those of runs without.
///
/// Of *repeated* inputs the second half along the first axis equals the first. What depends on them alone is computed for one half
/// (`SharedHalvesPass`). A run whose halves differ computes all. Results are those of runs without up to rounding: products
/// of half as many rows may be cut differently.
///
/// ```swift
/// let series = RunSeries(constantInputs: ["encoder_hidden_states"])
/// for t in timesteps { try model.run(feeds(t), options: RunOptions(series: series)) }
/// ```
///
/// A series serves one run at a time; a second one at the same time works but shares nothing. Its memory is a run's
/// arena, which goes back to the model when the series ends.
public final class RunSeries: @unchecked Sendable {
  /// Names of the inputs that seldom change. Names that the model does not have are ignored.
  public let constantInputs: Set<String>
  /// Names of the inputs that hold the same twice, likewise.
  public let repeatedInputs: Set<String>

  /// A plan's memory with what the constant inputs gave.
  struct Held {
    let plan: Plan
    let context: PlanContext
    /// Copies of the constant inputs by position, nil before the first complete run.
    var inputs: [Int: Tensor]?
  }
  /// One per plan; runs of a series may ask for different outputs in turn.
  private struct Contents: @unchecked Sendable { var held: [Held] = [] }
  private static let planLimit = 4
  private let contents = Mutex(Contents())

  public init(constantInputs: some Sequence<String>, repeatedInputs: some Sequence<String> = []) {
    self.constantInputs = Set(constantInputs)
    self.repeatedInputs = Set(repeatedInputs)
  }

  deinit { for held in contents.withLock({ $0.held }) { held.plan.giveBack(held.context) } }

  /// The memory for a run of `plan`; the caller puts it back when the run has come to its end.
  func take(_ plan: Plan) throws -> Held {
    let known = contents.withLock { contents -> Held? in
      contents.held.firstIndex { $0.plan === plan }.map { contents.held.remove(at: $0) }
    }
    return try known ?? Held(plan: plan, context: try plan.takeContext(), inputs: nil)
  }

  func put(_ held: Held) {
    held.context.release()
    let superfluous = contents.withLock { contents -> Held? in
      contents.held.append(held)
      return contents.held.count > Self.planLimit ? contents.held.removeFirst() : nil
    }
    if let superfluous { superfluous.plan.giveBack(superfluous.context) }
  }
}

extension RunSeries {
  /// Whether input `name` is said to hold `value` twice, and does.
  func isRepeated(_ name: String, _ value: Value?) -> Bool {
    guard repeatedInputs.contains(name), case .tensor(let tensor)? = value, tensor.type != .string,
      let items = tensor.shape.first, items.isMultiple(of: 2)
    else { return false }
    return withExtendedLifetime(tensor) {
      guard let start = tensor.bytes.baseAddress, tensor.bytes.count.isMultiple(of: 2) else { return false }
      let half = tensor.bytes.count / 2
      return memcmp(start, start + half, half) == 0
    }
  }
}

extension RunSeries.Held {
  /// True when the kept values were made from the same elements.
  func matches(_ values: [Value?]) -> Bool {
    guard let inputs else { return false }
    return plan.constantInputs.allSatisfy { position in
      guard case .tensor(let tensor)? = values[position], let known = inputs[position], known.type == tensor.type,
        known.shape == tensor.shape
      else { return false }
      return withExtendedLifetime((tensor, known)) {
        guard let a = tensor.bytes.baseAddress, let b = known.bytes.baseAddress else { return true }
        return memcmp(a, b, tensor.bytes.count) == 0
      }
    }
  }

  mutating func remember(_ values: [Value?]) throws {
    var copies: [Int: Tensor] = [:]
    for position in plan.constantInputs {
      guard case .tensor(let tensor)? = values[position] else { continue }
      let copy = try Tensor(type: tensor.type, shape: tensor.shape)
      withExtendedLifetime(tensor) { copy.bytes.copyMemory(from: UnsafeRawBufferPointer(tensor.bytes)) }
      copies[position] = copy
    }
    inputs = copies
  }
}
