/// Operators that run subgraphs. Their bodies see values of the enclosing graph, which the executor binds.
let controlFlowOperators: [OperatorEntry] = [
  OperatorEntry(dynamic: "If") { try If(node: $0) },
  OperatorEntry(dynamic: "Loop") { try Loop(node: $0) },
  // Version 8 has a batch dimension that later versions dropped.
  OperatorEntry(dynamic: "Scan", versions: 9...99) { try Scan(node: $0) },
  OperatorEntry(dynamic: "SequenceMap", versions: 17...99) { try SequenceMap(node: $0) },
]
