import Graph

/// Losses and optimizer steps.
let trainingOperators: [OperatorEntry] = [
  OperatorEntry("NegativeLogLikelihoodLoss", versions: 12...99) { try LikelihoodLoss(takesLogits: false, $0) },
  OperatorEntry("SoftmaxCrossEntropyLoss", versions: 12...99) { try LikelihoodLoss(takesLogits: true, $0) },
  OperatorEntry("Adagrad", domain: "ai.onnx.preview.training") { try OptimizerOperator.adagrad($0) },
  OperatorEntry("Adam", domain: "ai.onnx.preview.training") { try OptimizerOperator.adam($0) },
  OperatorEntry("Momentum", domain: "ai.onnx.preview.training") { try OptimizerOperator.momentum($0) },
]
