let poolingOperators: [OperatorEntry] = []
