let sequenceOperators: [OperatorEntry] = []
