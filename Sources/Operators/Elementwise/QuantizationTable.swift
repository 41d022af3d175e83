let quantizationOperators: [OperatorEntry] = []
