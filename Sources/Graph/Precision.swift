import Support

/// How the large products of a network are computed.
public enum Precision: String, Sendable, CaseIterable {
  /// As the file says, at least float32.
  case float32
  /// Weights and activations of products rounded to bfloat16, sums in float32; where the machine multiplies bfloat16 no
  /// faster, and in early layers of decoders, weights rounded to float16 and products in float32.
  case bfloat16
  /// Weights as 8-bit integers with a scale per output channel, activations quantised row by row as they come.
  case int8

  /// Shorter names that are understood too.
  private static let aliases = ["fp32": float32, "bf16": bfloat16]

  /// Every text that `init(named:)` understands, the full names first.
  public static let names = allCases.map(\.rawValue) + aliases.keys.sorted()

  /// Of the components around a denoising network, which cost little and whose errors would be seen directly.
  public var aroundNetwork: Precision { self == .int8 ? .bfloat16 : self }

  public init?(named name: String) {
    guard let precision = Precision(rawValue: name) ?? Self.aliases[name] else { return nil }
    self = precision
  }
}
