/// Which operator set versions the engine reads.
enum OpsetSupport {
  /// Versions of the default domain whose operators are all read by their definition in that version.
  static let versions = 11...25

  /// Operators of older models whose definition did not change before version 11, with the version they have had it since.
  static let unchangedBefore11: [String: Int] = [
    "Abs": 6, "Add": 7, "And": 7, "Ceil": 6, "ConvInteger": 10, "Div": 7, "Elu": 6, "Erf": 9, "Exp": 6, "Expand": 8,
    "Floor": 6, "Identity": 1, "LeakyRelu": 6, "Log": 6, "MatMul": 9, "MatMulInteger": 10, "Mul": 7, "Neg": 6,
    "Not": 1, "Or": 7, "QLinearConv": 10, "QLinearMatMul": 10, "Reciprocal": 6, "Relu": 6, "Reshape": 5,
    "ReverseSequence": 10, "Scan": 9, "Scatter": 9, "Selu": 6, "Shape": 1, "Shrink": 9, "Sigmoid": 6, "Sign": 9,
    "Softplus": 1, "Softsign": 1, "Sqrt": 6, "StringNormalizer": 10, "Sub": 7, "Tanh": 6, "TfIdfVectorizer": 9,
    "Transpose": 1, "Upsample": 9, "Where": 9, "Xor": 7,
  ]

  /// Whether a node of the default domain may be read at all.
  static func accepts(_ operatorType: String, version: Int) -> Bool {
    if versions.contains(version) { return true }
    guard version < versions.lowerBound, let since = unchangedBefore11[operatorType] else { return false }
    return version >= since
  }
}
