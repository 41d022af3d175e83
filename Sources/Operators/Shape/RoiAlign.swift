import Graph
import Support

/// RoiAlign: pools regions of a feature map into a fixed size from bilinear samples.
struct RoiAlign: Operator {
  let halfPixel: Bool
  let takesMaximum: Bool
  let outputHeight: Int
  let outputWidth: Int
  let samplingRatio: Int
  let spatialScale: Double

  init(_ node: Node) throws {
    let modes = ["half_pixel", "output_half_pixel"]
    let mode =
      node.version < 16 ? modes[1] : try node.word("coordinate_transformation_mode", default: modes[0], among: modes)
    halfPixel = mode == modes[0]
    takesMaximum = try node.word("mode", default: "avg", among: ["avg", "max"]) == "max"
    outputHeight = try node.int("output_height", default: 1)
    outputWidth = try node.int("output_width", default: 1)
    samplingRatio = try node.int("sampling_ratio", default: 0)
    spatialScale = Double(try node.float("spatial_scale", default: 1))
    guard outputHeight > 0, outputWidth > 0, samplingRatio >= 0, samplingRatio <= Self.samplesLimit else {
      throw Failure(
        .outOfRange, "output size \(outputHeight)x\(outputWidth) or sampling_ratio \(samplingRatio) is not usable")
    }
  }

  /// Samples per bin and axis beyond which a region is refused rather than computed for hours.
  private static let samplesLimit = 4_096

  func outputs(for inputs: [ValueInfo?]) throws -> [ValueInfo]? {
    let data = try inputs.info(at: 0, named: "X")
    let regions = try inputs.info(at: 1, named: "rois")
    let batches = try inputs.info(at: 2, named: "batch_indices")
    try ShapeRules.requireRank(data, 4, named: "X")
    try ShapeRules.requireSameType(data, regions, named: "rois")
    guard data.type.isFloatingPoint else {
      throw Failure(.typeMismatch, "'X' must hold floats", actual: data.type.name)
    }
    try data.type.requireComputable(named: "X")
    guard regions.shape.count == 2, regions.shape[1] == 4, batches.shape == [regions.shape[0]] else {
      throw Failure(
        .shapeMismatch, "'rois' and 'batch_indices' do not fit", expected: "[R, 4] and [R]",
        actual: "\(regions.shape) and \(batches.shape)")
    }
    guard data.shape[2] > 0, data.shape[3] > 0 else {
      throw Failure(.shapeMismatch, "a feature map without pixels cannot be pooled", actual: "\(data.shape)")
    }
    let shape = [regions.shape[0], data.shape[1], outputHeight, outputWidth]
    _ = try CheckedSize.product(shape, of: "pooled shape")
    return [ValueInfo(type: data.type, shape: shape)]
  }

  private struct Sample {
    var offsets: (Int, Int, Int, Int) = (0, 0, 0, 0)
    var weights: (Double, Double, Double, Double) = (0, 0, 0, 0)
  }

  func run(inputs: [Tensor?], outputs: [Tensor?], context: RunContext) throws {
    let data = try inputs.tensor(at: 0)
    let regions = try inputs.tensor(at: 1).numbers()
    let batches = try inputs.tensor(at: 2).resolvedIndices(into: data.shape[0], axis: 0)
    guard let output = outputs.optionalTensor(at: 0), output.count > 0 else { return }
    let (channels, height, width) = (data.shape[1], data.shape[2], data.shape[3])
    let plane = height * width
    let bins = outputHeight * outputWidth
    for (region, batch) in batches.enumerated() {
      try context.checkCancelled()
      let corners = regions[(region * 4)..<(region * 4 + 4)].map { $0 * spatialScale - (halfPixel ? 0.5 : 0) }
      let (samples, perBin) = try samples(of: corners, height: height, width: width)
      let pooling = Pooling(
        samples: samples, perBin: perBin, takesMaximum: takesMaximum, data: data, output: output,
        sourceBase: batch * channels * plane, targetBase: region * channels * bins, channels: channels, plane: plane,
        bins: bins, pool: context.pool)
      try withNumericElement(of: data.type, pooling)
    }
  }

  /// Samples of every bin, in order, for corners (x1, y1, x2, y2) in pixels.
  private func samples(of corners: [Double], height: Int, width: Int) throws(Failure) -> ([Sample], Int) {
    var regionHeight = corners[3] - corners[1]
    var regionWidth = corners[2] - corners[0]
    if !halfPixel { (regionHeight, regionWidth) = (max(regionHeight, 1), max(regionWidth, 1)) }
    let binHeight = regionHeight / Double(outputHeight)
    let binWidth = regionWidth / Double(outputWidth)
    guard corners.allSatisfy({ $0.isFinite }), max(binHeight, binWidth) <= Double(Self.samplesLimit) else {
      throw Failure(.outOfRange, "a region with corners \(corners) cannot be pooled")
    }
    let rows = samplingRatio > 0 ? samplingRatio : max(0, Int(binHeight.rounded(.up)))
    let columns = samplingRatio > 0 ? samplingRatio : max(0, Int(binWidth.rounded(.up)))
    let count = try CheckedSize.product([rows, columns, outputHeight, outputWidth], of: "samples of a region")
    guard count <= 1 << 26 else { throw Failure(.outOfRange, "a region needs \(count) samples") }
    var samples: [Sample] = []
    samples.reserveCapacity(count)
    for binRow in 0..<outputHeight {
      for binColumn in 0..<outputWidth {
        for row in 0..<rows {
          let y = corners[1] + (Double(binRow) + (Double(row) + 0.5) / Double(rows)) * binHeight
          for column in 0..<columns {
            let x = corners[0] + (Double(binColumn) + (Double(column) + 0.5) / Double(columns)) * binWidth
            samples.append(Self.sample(y: y, x: x, height: height, width: width))
          }
        }
      }
    }
    return (samples, rows * columns)
  }

  private static func sample(y: Double, x: Double, height: Int, width: Int) -> Sample {
    guard y >= -1, y <= Double(height), x >= -1, x <= Double(width) else { return Sample() }
    let top = min(Int(max(y, 0)), height - 1)
    let left = min(Int(max(x, 0)), width - 1)
    let bottom = min(top + 1, height - 1)
    let right = min(left + 1, width - 1)
    let dy = top == height - 1 ? 0 : max(y, 0) - Double(top)
    let dx = left == width - 1 ? 0 : max(x, 0) - Double(left)
    return Sample(
      offsets: (top * width + left, top * width + right, bottom * width + left, bottom * width + right),
      weights: ((1 - dy) * (1 - dx), (1 - dy) * dx, dy * (1 - dx), dy * dx))
  }

  private struct Pooling: NumericComputation {
    let samples: [Sample]
    let perBin: Int
    let takesMaximum: Bool
    let data: Tensor
    let output: Tensor
    let sourceBase: Int
    let targetBase: Int
    let channels: Int
    let plane: Int
    let bins: Int
    let pool: ThreadPool

    func run<Element: NumericElement>(_: Element.Type) {
      let source = data.pointer(Element.self) + sourceBase
      let target = output.pointer(Element.self) + targetBase
      pool.forRanges(channels, grain: max(1, 8_192 / max(1, samples.count))) { range in
        for channel in range {
          let image = source + channel * plane
          for bin in 0..<bins {
            var result = 0.0
            for index in 0..<perBin {
              let sample = samples[bin * perBin + index]
              let a = image[sample.offsets.0].asDouble * sample.weights.0
              let b = image[sample.offsets.1].asDouble * sample.weights.1
              let c = image[sample.offsets.2].asDouble * sample.weights.2
              let d = image[sample.offsets.3].asDouble * sample.weights.3
              if takesMaximum {
                // ONNX defines the maximum over the weighted corners, not over interpolated values.
                let peak = max(max(a, b), max(c, d))
                result = index == 0 ? peak : max(result, peak)
              } else {
                result += a + b + c + d
              }
            }
            target[channel * bins + bin] = Element(rounding: takesMaximum ? result : result / Double(max(perBin, 1)))
          }
        }
      }
    }
  }
}
