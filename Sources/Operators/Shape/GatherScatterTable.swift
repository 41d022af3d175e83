/// Operators that address elements by indices or by order.
let gatherScatterOperators: [OperatorEntry] = [
  OperatorEntry("Gather") { try Gather($0) },
  OperatorEntry("GatherElements", versions: 11...99) { try GatherElements($0) },
  OperatorEntry("GatherND", versions: 11...99) { try GatherND($0) },
  OperatorEntry("Scatter", versions: 9...99) { try ScatterElements($0) },
  OperatorEntry("ScatterElements", versions: 11...99) { try ScatterElements($0) },
  OperatorEntry("ScatterND", versions: 11...99) { try ScatterND($0) },
  OperatorEntry("TensorScatter", versions: 24...99) { try TensorScatter($0) },
  OperatorEntry("OneHot", versions: 9...99) { try OneHot($0) },
  OperatorEntry("TopK") { try TopK($0) },
  OperatorEntry("NonZero", versions: 9...99) { _ in NonZero() },
  OperatorEntry(dynamic: "Unique", versions: 11...99) { try Unique($0) },
]
