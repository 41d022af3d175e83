let generatorOperators: [OperatorEntry] = []
