import Glibc
import Graph
import Support

/// HannWindow, HammingWindow and BlackmanWindow: sums of cosines.
struct SignalWindow: Operator {
  /// a0 - a1·cos(2πn/N) + a2·cos(4πn/N).
  let coefficients: [Double]
  let periodic: Bool
  let type: DataType

  static let hann = [0.5, 0.5, 0]
  static let hamming = [25.0 / 46, 21.0 / 46, 0]
  static let blackman = [0.42, 0.5, 0.08]

  init(_ node: Node, _ coefficients: [Double]) throws {
    self.coefficients = coefficients
    periodic = try node.bool("periodic", default: true)
    type = try node.dataType("output_datatype") ?? .float32
    try type.requireComputable(named: "output_datatype")
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    _ = try inputs.info(at: 0, named: "size")
    if inputs.isUnknown(at: 0) { return nil }
    let size = try inputs.integer(at: 0, named: "size") ?? 0
    _ = try CheckedSize.product([size, 8], of: "window")
    return [ValueInfo(type: type, shape: [size])]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    guard let output = outputs.optionalTensor(at: 0) else { return }
    let period = Double(periodic || output.count == 1 ? output.count : output.count - 1)
    try output.store(
      (0..<output.count).map { index in
        let phase = 2 * Double.pi * Double(index) / period
        return coefficients[0] - coefficients[1] * cos(phase) + coefficients[2] * cos(2 * phase)
      })
  }
}

/// MelWeightMatrix: triangular filters, equally spaced on the mel scale, as a matrix (spectrogram bin, mel bin).
struct MelWeightMatrix: Operator {
  let type: DataType

  init(_ node: Node) throws {
    type = try node.dataType("output_datatype") ?? .float32
    try type.requireComputable(named: "output_datatype")
  }

  private func sizes(for inputs: [ValueInfo?]) throws -> (melBins: Int, length: Int) {
    guard let melBins = try inputs.integer(at: 0, named: "num_mel_bins"),
      let length = try inputs.integer(at: 1, named: "dft_length")
    else {
      throw Failure(.corrupt, "inputs 'num_mel_bins' and 'dft_length' are required")
    }
    guard melBins >= 0, length >= 0, melBins < 1 << 24, length < 1 << 24 else {
      throw Failure(.outOfRange, "num_mel_bins \(melBins) and dft_length \(length) are not usable")
    }
    return (melBins, length)
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    if inputs.isUnknown(at: 0, 1) { return nil }
    let (melBins, length) = try sizes(for: inputs)
    return [ValueInfo(type: type, shape: [length / 2 + 1, melBins])]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let infos = inputs.infos
    let (melBins, length) = try sizes(for: infos)
    guard let output = outputs.optionalTensor(at: 0), let rate = try infos.number(at: 2, named: "sample_rate"),
      let lower = try infos.number(at: 3, named: "lower_edge_hertz"),
      let upper = try infos.number(at: 4, named: "upper_edge_hertz")
    else { return }
    guard rate > 0, lower >= 0, upper >= lower, upper.isFinite else {
      throw Failure(.outOfRange, "sample rate \(rate) and edges \(lower), \(upper) Hz are not usable")
    }
    func mel(_ hertz: Double) -> Double { 2595 * log10(1 + hertz / 700) }
    let step = (mel(upper) - mel(lower)) / Double(melBins + 2)
    let edges = try (0..<(melBins + 2)).map { index -> Int in
      let hertz = 700 * (pow(10, (Double(index) * step + mel(lower)) / 2595) - 1)
      let bin = (Double(length + 1) * hertz / rate).rounded(.down)
      guard bin >= 0, bin <= Double(length / 2) else {
        throw Failure(.outOfRange, "\(hertz) Hz lies beyond half the sample rate \(rate) Hz")
      }
      return Int(bin)
    }
    var weights = [Double](repeating: 0, count: output.count)
    for filter in 0..<melBins {
      let (left, center, right) = (edges[filter], edges[filter + 1], edges[filter + 2])
      if center == left {
        weights[center * melBins + filter] = 1
      } else {
        for bin in left...center { weights[bin * melBins + filter] = Double(bin - left) / Double(center - left) }
      }
      for bin in center..<right { weights[bin * melBins + filter] = Double(right - bin) / Double(right - center) }
    }
    try output.store(weights)
  }
}
