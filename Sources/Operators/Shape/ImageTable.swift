let imageOperators: [OperatorEntry] = []
