/// Operators that make tensors: constants, ranges, random numbers, windows and spectra.
let generatorOperators: [OperatorEntry] = [
  OperatorEntry("Constant") { try Constant($0) },
  OperatorEntry("ConstantOfShape", versions: 9...99) { try ConstantOfShape($0) },
  OperatorEntry("Range", versions: 11...99) { _ in RangeOperator() },
  OperatorEntry("EyeLike", versions: 9...99) { try EyeLike($0) },
  OperatorEntry("RandomNormal") { try RandomGenerator.normal($0, like: false) },
  OperatorEntry("RandomNormalLike") { try RandomGenerator.normal($0, like: true) },
  OperatorEntry("RandomUniform") { try RandomGenerator.uniform($0, like: false) },
  OperatorEntry("RandomUniformLike") { try RandomGenerator.uniform($0, like: true) },
  OperatorEntry("Bernoulli", versions: 15...99) { try Bernoulli($0) },
  OperatorEntry("Multinomial", versions: 7...99) { try Multinomial($0) },
  OperatorEntry("HannWindow", versions: 17...99) { try SignalWindow($0, SignalWindow.hann) },
  OperatorEntry("HammingWindow", versions: 17...99) { try SignalWindow($0, SignalWindow.hamming) },
  OperatorEntry("BlackmanWindow", versions: 17...99) { try SignalWindow($0, SignalWindow.blackman) },
  OperatorEntry("MelWeightMatrix", versions: 17...99) { try MelWeightMatrix($0) },
  OperatorEntry("DFT", versions: 17...99) { try DFT($0) },
  OperatorEntry("STFT", versions: 17...99) { try STFT($0) },
]
