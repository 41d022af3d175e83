let shapeOperators: [OperatorEntry] = []
