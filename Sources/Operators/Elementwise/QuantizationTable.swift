import Graph

/// Conversions between floats and quantised types.
let quantizationOperators: [OperatorEntry] = [
  OperatorEntry("QuantizeLinear", versions: 10...99) { node in try QuantizeLinear(node) },
  OperatorEntry("DequantizeLinear", versions: 10...99) { node in try DequantizeLinear(node) },
  OperatorEntry("DynamicQuantizeLinear", versions: 11...99) { _ in DynamicQuantizeLinear() },
]
