import Graph

/// Conversions between element types.
let castOperators: [OperatorEntry] = [
  OperatorEntry("Cast") { node in try CastOperator(node, takesTypeFromInput: false) },
  OperatorEntry("CastLike", versions: 15...99) { node in try CastOperator(node, takesTypeFromInput: true) },
  OperatorEntry("BitCast", versions: 26...99) { node in try BitCastOperator(node) },
]
