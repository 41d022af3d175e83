let elementwiseOperators: [OperatorEntry] = []
