import Graph
import Support

/// DFT along one axis; the last axis holds (real) or (real, imaginary). The axis is an attribute in opset 17, an input since 20.
struct DFT: Operator {
  let inverse: Bool
  let onesided: Bool
  let attributeAxis: Int?

  init(_ node: Node) throws {
    inverse = try node.bool("inverse", default: false)
    onesided = try node.bool("onesided", default: false)
    attributeAxis = node.version < 20 ? try node.int("axis", default: 1) : nil
    if inverse && onesided { throw Failure(.unsupported, "a onesided inverse transform is not implemented") }
  }

  private func geometry(for inputs: [ValueInfo?]) throws -> (axis: Int, length: Int) {
    let data = try inputs.info(at: 0, named: "input")
    let rank = data.shape.count
    guard rank >= 2, let parts = data.shape.last, parts == 1 || parts == 2 else {
      throw Failure(
        .shapeMismatch, "the last axis must hold real or real and imaginary parts", expected: "[..., 1 or 2]",
        actual: "\(data.shape)")
    }
    guard data.type == .float32 || data.type == .float64 || data.type == .float16 || data.type == .bfloat16 else {
      throw Failure(.typeMismatch, "a floating-point input is required", actual: data.type.name)
    }
    let given = try attributeAxis ?? inputs.integer(at: 2, named: "axis") ?? -2
    let axis = try ShapeRules.axis(given, rank: rank)
    guard axis != rank - 1 else { throw Failure(.outOfRange, "axis \(given) is the axis of the complex parts") }
    let length = try inputs.integer(at: 1, named: "dft_length") ?? data.shape[axis]
    guard length > 0, length <= 1 << 28 else { throw Failure(.outOfRange, "dft_length \(length) is not usable") }
    return (axis, length)
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    if inputs.isUnknown(at: 1) || (attributeAxis == nil && inputs.isUnknown(at: 2)) { return nil }
    let (axis, length) = try geometry(for: inputs)
    let data = try inputs.info(at: 0, named: "input")
    var shape = data.shape
    shape[axis] = onesided ? length / 2 + 1 : length
    shape[shape.count - 1] = 2
    _ = try CheckedSize.product(shape, of: "spectrum")
    return [ValueInfo(type: data.type, shape: shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let data = try inputs.tensor(at: 0)
    let (axis, length) = try geometry(for: inputs.infos)
    guard let output = outputs.optionalTensor(at: 0) else { return }
    let lines = SpectralLines(
      data: data, window: nil, output: output, transform: FourierTransform(length: length, inverse: inverse),
      lines: data.shape[..<axis].reduce(1, *) * data.shape[(axis + 1)..<(data.rank - 1)].reduce(1, *),
      inner: data.shape[(axis + 1)..<(data.rank - 1)].reduce(1, *), size: data.shape[axis], kept: output.shape[axis],
      frames: 1, frameStep: 0, scale: inverse ? 1 / Double(length) : 1, pool: context.pool)
    try withNumericElement(of: data.type, lines)
  }
}

/// STFT: windowed transforms of overlapping frames, (batch, frame, bin, 2).
struct STFT: Operator {
  let onesided: Bool

  init(_ node: Node) throws { onesided = try node.bool("onesided", default: true) }

  private func geometry(for inputs: [ValueInfo?]) throws -> (step: Int, length: Int, frames: Int) {
    let signal = try inputs.info(at: 0, named: "signal")
    guard signal.shape.count == 3, signal.shape[2] == 1 || signal.shape[2] == 2 else {
      throw Failure(
        .shapeMismatch, "'signal' has the wrong shape", expected: "[batch, length, 1 or 2]", actual: "\(signal.shape)")
    }
    guard signal.type == .float32 || signal.type == .float64 || signal.type == .float16 || signal.type == .bfloat16
    else {
      throw Failure(.typeMismatch, "a floating-point signal is required", actual: signal.type.name)
    }
    if onesided && signal.shape[2] == 2 {
      throw Failure(.invalidArgument, "a complex signal has no onesided spectrum")
    }
    guard let step = try inputs.integer(at: 1, named: "frame_step") else {
      throw Failure(.corrupt, "required input 1 'frame_step' is missing")
    }
    let window = inputs.optionalInfo(at: 2)
    let given = try inputs.integer(at: 3, named: "frame_length")
    let length = given ?? window?.shape.first ?? signal.shape[1]
    if let window {
      try ShapeRules.requireSameType(signal, window, named: "window")
      guard window.shape == [length] else {
        throw Failure(
          .shapeMismatch, "'window' must have the frame's length", expected: "[\(length)]", actual: "\(window.shape)")
      }
    }
    guard step > 0, length > 0, length <= signal.shape[1] else {
      throw Failure(.outOfRange, "frames of \(length) every \(step) do not fit a signal of \(signal.shape[1])")
    }
    return (step, length, (signal.shape[1] - length) / step + 1)
  }

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let signal = try inputs.info(at: 0, named: "signal")
    if inputs.isUnknown(at: 1, 3) { return nil }
    let (_, length, frames) = try geometry(for: inputs)
    let shape = [signal.shape[0], frames, onesided ? length / 2 + 1 : length, 2]
    _ = try CheckedSize.product(shape, of: "spectrum")
    return [ValueInfo(type: signal.type, shape: shape)]
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let signal = try inputs.tensor(at: 0)
    let (step, length, frames) = try geometry(for: inputs.infos)
    guard let output = outputs.optionalTensor(at: 0) else { return }
    let lines = SpectralLines(
      data: signal, window: inputs.optionalTensor(at: 2), output: output,
      transform: FourierTransform(length: length, inverse: false), lines: signal.shape[0] * frames, inner: 1,
      size: signal.shape[1], kept: output.shape[2], frames: frames, frameStep: step, scale: 1, pool: context.pool)
    try withNumericElement(of: signal.type, lines)
  }
}

/// Transforms every line of a tensor; a line is an axis of `size` complex numbers, cut to one of `frames` frames.
private struct SpectralLines: NumericComputation {
  let data: Tensor
  let window: Tensor?
  let output: Tensor
  let transform: FourierTransform
  let lines: Int
  /// Distance, in complex numbers, between neighbours on a line.
  let inner: Int
  let size: Int
  let kept: Int
  let frames: Int
  let frameStep: Int
  let scale: Double
  let pool: ThreadPool

  func run<Element: NumericElement>(_: Element.Type) {
    let parts = data.shape.last ?? 1
    let source = data.pointer(Element.self)
    let target = output.pointer(Element.self)
    let weights = window?.pointer(Element.self)
    pool.forRanges(lines, grain: max(1, 8_192 / transform.length)) { range in
      var values = [FourierTransform.Complex](repeating: .zero, count: transform.length)
      for line in range {
        let start = line % frames * frameStep
        let signal = line / frames
        let base = signal / inner * size * inner + signal % inner
        for index in 0..<transform.length {
          guard start + index < size else {
            values[index] = .zero
            continue
          }
          let place = (base + (start + index) * inner) * parts
          let weight = weights.map { $0[index].asDouble } ?? 1
          values[index] = .init(
            real: source[place].asDouble * weight,
            imaginary: parts == 2 ? source[place + 1].asDouble * weight : 0)
        }
        transform.run(&values)
        let first = line / inner * kept * inner + line % inner
        for index in 0..<kept {
          target[(first + index * inner) * 2] = Element(rounding: values[index].real * scale)
          target[(first + index * inner) * 2 + 1] = Element(rounding: values[index].imaginary * scale)
        }
      }
    }
  }
}
