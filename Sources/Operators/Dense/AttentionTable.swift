import Graph
import Support

/// Operators over sequences: attention, rotary positions, and Einsum.
let attentionOperators: [OperatorEntry] = [
  .widened("Attention", versions: 23...99) { try AttentionOperator($0) },
  .widened("RotaryEmbedding", versions: 23...99) { try RotaryEmbeddingOperator($0) },
  .widened("Einsum", versions: 12...99) { try EinsumOperator($0) },
]
