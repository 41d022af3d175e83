let normalizationOperators: [OperatorEntry] = []
