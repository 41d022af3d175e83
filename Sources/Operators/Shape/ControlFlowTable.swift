let controlFlowOperators: [OperatorEntry] = []
