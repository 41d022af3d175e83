let denseOperators: [OperatorEntry] = []
