let reductionOperators: [OperatorEntry] = []
