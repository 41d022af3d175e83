import Glibc
import Support
import Synchronization

/// Makes the policies that runs ask for by name, and keeps them: a table or network is read once.
public final class StepPolicyFactory: Sendable {
  private let folder: String
  private let textHiddenSize: Int?
  private let pool: ThreadPool?
  /// The pipeline's own.
  public let learned: LearnedStepPolicy?
  private let made = Mutex<[PolicyKey: any StepPolicy]>([:])

  private struct PolicyKey: Hashable {
    var name: String
    var parameters: [String: String]
    /// When the files behind `path` were written: a policy that was trained again is read again.
    var written: [Int]
  }

  /// Different specifications kept at once; a host that makes up new ones all the time pays for reading again.
  private static let capacity = 32

  /// `folder` is the pipeline's `policy/`.
  public init(folder: String, learned: LearnedStepPolicy?, textHiddenSize: Int?, pool: ThreadPool?) {
    self.folder = folder
    self.learned = learned
    self.textHiddenSize = textHiddenSize
    self.pool = pool
  }

  public func policy(_ specification: PolicySpecification) throws -> any StepPolicy {
    let key = PolicyKey(
      name: specification.name, parameters: specification.parameters,
      written: Self.written(specification.parameters["path"]))
    if let known = made.withLock({ $0[key] }) { return known }
    let policy = try make(specification)
    made.withLock {
      if $0.count >= Self.capacity { $0.removeAll() }
      $0[key] = policy
    }
    return policy
  }

  /// Seconds, nanoseconds and bytes of the file, or of the description in the folder.
  private static func written(_ path: String?) -> [Int] {
    guard let path else { return [] }
    var information = stat()
    guard stat(path + "/policy.json", &information) == 0 || stat(path, &information) == 0 else { return [] }
    return [information.st_mtim.tv_sec, information.st_mtim.tv_nsec, Int(information.st_size)]
  }

  private func make(_ specification: PolicySpecification) throws -> any StepPolicy {
    let given = try specification.steps()
    let stepSet = given ?? learned?.stepSet ?? paperStepSet
    let thresholds = try specification.numbers("thresholds")
    switch specification.name {
    case StepPolicyNames.fixed: return FixedStepPolicy(steps: given?.first)
    case StepPolicyNames.words: return try WordStepPolicy(stepSet: stepSet, thresholds: thresholds)
    case StepPolicyNames.random:
      let own = given == nil || given == learned?.stepSet ? learned?.histogram : nil
      let weights = try specification.numbers("weights") ?? own ?? Array(repeating: 1, count: stepSet.count)
      return try RandomStepPolicy(stepSet: stepSet, weights: weights)
    case StepPolicyNames.perplexity:
      let path = specification.parameters["path"] ?? folder + "/ngram.json"
      let model: any LanguageModel =
        path.hasSuffix(".json") ? try NGramTable(file: path) : try OnnxLanguageModel(folder: path, pool: pool)
      return try PerplexityStepPolicy(model: model, stepSet: stepSet, thresholds: thresholds)
    default:
      if let path = specification.parameters["path"] {
        return try LearnedStepPolicy(folder: path, textHiddenSize: textHiddenSize, pool: pool)
      }
      guard let learned else {
        throw Failure(
          .notFound, "the pipeline has no learned policy", component: "policy", file: folder + "/policy.json")
      }
      return learned
    }
  }
}
