let castOperators: [OperatorEntry] = []
