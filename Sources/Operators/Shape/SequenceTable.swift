/// Operators on sequences and optionals.
let sequenceOperators: [OperatorEntry] = [
  OperatorEntry(dynamic: "SequenceConstruct", versions: 11...99) { _ in
    ValueFunction(body: SequenceFunctions.construct)
  },
  OperatorEntry(dynamic: "SequenceEmpty", versions: 11...99) { _ in ValueFunction { _, _ in .sequence([]) } },
  OperatorEntry(dynamic: "SequenceInsert", versions: 11...99) { _ in ValueFunction(body: SequenceFunctions.insert) },
  OperatorEntry(dynamic: "SequenceErase", versions: 11...99) { _ in ValueFunction(body: SequenceFunctions.erase) },
  OperatorEntry(dynamic: "SequenceAt", versions: 11...99) { _ in ValueFunction(body: SequenceFunctions.at) },
  OperatorEntry(dynamic: "SequenceLength", versions: 11...99) { _ in ValueFunction(body: SequenceFunctions.length) },
  OperatorEntry(dynamic: "SplitToSequence", versions: 11...99) { try SplitToSequence($0) },
  OperatorEntry(dynamic: "ConcatFromSequence", versions: 11...99) { try ConcatFromSequence($0) },
  OperatorEntry(dynamic: "Optional", versions: 15...99) { _ in ValueFunction(body: SequenceFunctions.optional) },
  OperatorEntry(dynamic: "OptionalHasElement", versions: 15...99) { _ in
    ValueFunction(body: SequenceFunctions.hasElement)
  },
  OperatorEntry(dynamic: "OptionalGetElement", versions: 15...99) { _ in
    ValueFunction(body: SequenceFunctions.getElement)
  },
]
