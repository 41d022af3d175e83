import Graph
import Support

/// Convolutions, channels first as ONNX has them.
let convolutionOperators: [OperatorEntry] = [
  .widened("Conv") { try ConvOperator($0, channelsLast: false) },
  .widened("ConvTranspose") { try ConvTransposeOperator($0) },
  .widened("DeformConv") { try DeformConvOperator($0) },
  OperatorEntry("ConvInteger") { try QuantizedConvolution($0, linear: false) },
  OperatorEntry("QLinearConv") { try QuantizedConvolution($0, linear: true) },
]
