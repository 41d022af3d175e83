let fusedOperators: [OperatorEntry] = []
