/// What a rule may ask to be measured; nothing else is computed.
public struct SkipSignals: OptionSet, Sendable {
  public let rawValue: Int
  public init(rawValue: Int) { self.rawValue = rawValue }

  /// Mean absolute change of the latents over each step.
  public static let latentChange = SkipSignals(rawValue: 1)
  /// Mean absolute third difference of the latents.
  public static let thirdDifference = SkipSignals(rawValue: 2)
  /// Changes of the network's input and output between its calls.
  public static let networkChange = SkipSignals(rawValue: 4)
  /// How far the network's output is from what its earlier outputs predicted.
  public static let predictionError = SkipSignals(rawValue: 8)
  /// Sign of the solver's deviation from an extrapolated step (SADA).
  public static let curvature = SkipSignals(rawValue: 16)
}

/// The quantity that is kept from the network's calls and predicted for skipped ones. All are linear in latents and
/// output, so the solver always gets what the network would have returned.
public enum SkipQuantity: String, Sendable, CaseIterable {
  /// The noise prediction, whatever the network predicts.
  case epsilon
  /// The clean latents.
  case original
  case velocity
  /// Noise prediction minus network input (EasyCache, UCache).
  case residual
}

/// How a skipped output is made from earlier ones.
public enum SkipPrediction: Sendable, Equatable {
  /// The polynomial through the last `order + 1` network outputs; 0 repeats the last one.
  case polynomial(order: Int)
  /// A weighted sum of the last network outputs, newest first, whatever their distance.
  case weights([Double])
  /// What the last step used, predicted or not.
  case held
}

/// What a step does and why.
public struct SkipDecision: Sendable, Equatable {
  public var action: StepAction
  public var reason: String
  public var prediction: SkipPrediction
  public var quantity: SkipQuantity

  public init(
    _ action: StepAction, _ reason: String, _ prediction: SkipPrediction = .polynomial(order: 0),
    of quantity: SkipQuantity = .epsilon
  ) {
    self.action = action
    self.reason = reason
    self.prediction = prediction
    self.quantity = quantity
  }

  public static func run(_ reason: String) -> SkipDecision { SkipDecision(.run, reason) }
}

/// What is known of one image's trajectory before a call. Scalars only.
public struct SkipHistory: Sendable {
  /// Calls of the whole schedule.
  public var calls: Int
  /// Log signal-to-noise ratio `log(signal / noise)` of every call's latents.
  public var logSNR: [Double]
  /// What every earlier call did.
  public var actions: [StepAction] = []
  /// Per earlier call: mean |latents after it - latents before it|; the first, whose start is noise, counts as zero.
  public var latentChanges: [Double] = []
  /// After the last call: mean |third difference of the latents|, once four latents exist.
  public var thirdDifference: Double?
  /// Mean |input of this call - input of the last network call|.
  public var inputChange: Double?
  /// Mean |input of this call - input of the call before|.
  public var inputStep: Double?
  /// Of the last network call: mean |output|, mean |output - output of the network call before|, and the same of inputs.
  public var outputSize: Double?
  public var outputChange: Double?
  public var inputChangeAtRun: Double?
  /// Of the last network call: mean |output - predicted output| / mean |output|.
  public var predictionError: Double?
  /// After the last call: mean((latents - extrapolated latents) * second difference of the noise predictions).
  public var curvature: Double?

  public init(calls: Int, logSNR: [Double]) {
    self.calls = calls
    self.logSNR = logSNR
  }

  /// Forgets what was measured of the network's outputs.
  public mutating func forgetOutputs() {
    (outputSize, outputChange, inputChangeAtRun, predictionError, curvature) = (nil, nil, nil, nil, nil)
  }

  /// Calls since the network last ran, this one not counted; 0 directly after a run.
  public var skippedInARow: Int { actions.reversed().prefix { $0 == .reuse || $0 == .extrapolate }.count }
  /// Calls in which the network ran, wholly or partly.
  public var networkCalls: Int { actions.count { $0 == .run || $0 == .partial } }
  public var lastRun: Int? { actions.lastIndex { $0 == .run || $0 == .partial } }
}

/// Decides per call whether the network runs. One rule belongs to one image of one run; equal histories give equal
/// decisions.
public protocol SkipRule: AnyObject {
  var signals: SkipSignals { get }
  /// The quantities that its decisions may name.
  var quantities: [SkipQuantity] { get }
  /// Network outputs to keep.
  var depth: Int { get }
  /// Asked once per call, in order. Call 0 is never asked: there is nothing to reuse.
  func decide(call: Int, _ history: SkipHistory) -> SkipDecision
}

extension SkipRule {
  public var quantities: [SkipQuantity] { [.epsilon] }
  public var depth: Int { 1 }
}
