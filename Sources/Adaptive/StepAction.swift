/// Where a sampling step's noise prediction comes from; raw values are those of `adadiff_action`.
public enum StepAction: Int32, Sendable, CaseIterable {
  /// The network ran.
  case run = 0
  /// The last prediction was used again.
  case reuse = 1
  /// Extrapolated from earlier predictions.
  case extrapolate = 2
  /// A part of the network ran on cached features.
  case partial = 3

  public var name: String { "\(self)" }
}
