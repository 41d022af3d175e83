let gatherScatterOperators: [OperatorEntry] = []
