import Graph
import Kernels
import Support
import Testing

@testable import Operators

@Suite struct DenseNormalizationTests {
  /// Groups of channels in Double, channels last: (rows, channels) per image.
  static func groupNorm(
    _ x: [Float], _ images: Int, _ rows: Int, _ channels: Int, _ groups: Int, _ scale: [Float], _ bias: [Float]
  ) -> [Double] {
    var y = [Double](repeating: 0, count: x.count)
    let perGroup = channels / groups
    for image in 0..<images {
      for group in 0..<groups {
        var values: [Double] = []
        let indices = (0..<rows).flatMap { row in
          (group * perGroup..<(group + 1) * perGroup).map { (image * rows + row) * channels + $0 }
        }
        values = indices.map { Double(x[$0]) }
        let mean = values.reduce(0, +) / Double(values.count)
        let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count)
        for index in indices {
          let channel = index % channels
          let normal = (Double(x[index]) - mean) / (variance + 1e-5).squareRoot()
          y[index] = normal * Double(scale[channel]) + Double(bias[channel])
        }
      }
    }
    return y
  }

  @Test(arguments: [(1, 5, 8, 2), (2, 64, 32, 32), (2, 65, 40, 4), (1, 1000, 96, 8)])
  func groups(images: Int, rows: Int, channels: Int, groups: Int) throws {
    // A mean far from zero shows a variance that was computed from squares.
    let x = sequence(images * rows * channels, seed: 1, range: 2).map { $0 + 30 }
    let scale = sequence(channels, seed: 2)
    let bias = sequence(channels, seed: 3)
    let expected = Self.groupNorm(x, images, rows, channels, groups, scale, bias)
    let attributes: [String: Attribute] = ["num_groups": .int(Int64(groups)), "epsilon": .float(1e-5)]
    var results: [[Float]] = []
    for threads in [1, 2, 5] {
      let y = try DenseRunner(type: "GroupNormNHWC", attributes: attributes, threads: threads).run(
        [try Tensor(x, [images, rows, channels]), try Tensor(scale), try Tensor(bias)])[0]
      // The mean is rounded to float32, 30 · 6e-8 = 2e-6 against deviations of 1, and so is the block's mean.
      #expect(difference(y, expected) < 5e-6)
      results.append(y.values())
    }
    #expect(results.allSatisfy { $0 == results[0] })
    let first = (0..<x.count).map { index -> Int in
      let (rest, row) = index.quotientAndRemainder(dividingBy: rows)
      let (image, channel) = rest.quotientAndRemainder(dividingBy: channels)
      return (image * rows + row) * channels + channel
    }
    for activation in ["", "Silu"] {
      let y = try DenseRunner(
        type: "GroupNorm", attributes: attributes.merging(["activation": .string(activation)]) { $1 }
      ).run([try Tensor(first.map { x[$0] }, [images, channels, rows]), try Tensor(scale), try Tensor(bias)])[0]
      let wanted = first.map { index -> Double in
        let value = expected[index]
        return activation.isEmpty ? value : Double(Float(value)) / (1 + Double.exp(-value))
      }
      #expect(difference(y, wanted) < 5e-6)
    }
  }

  /// As if the shift had been added before.
  @Test(arguments: [(1, 5, 8, 2), (2, 64, 32, 32), (3, 65, 40, 4), (2, 300, 96, 8)])
  func shiftedGroups(images: Int, rows: Int, channels: Int, groups: Int) throws {
    let x = sequence(images * rows * channels, seed: 1, range: 2)
    let shift = sequence(images * channels, seed: 4, range: 3)
    let sums = x.indices.map { x[$0] + shift[$0 / (rows * channels) * channels + $0 % channels] }
    let (scale, bias) = (sequence(channels, seed: 2), sequence(channels, seed: 3))
    let expected = Self.groupNorm(sums, images, rows, channels, groups, scale, bias)
    let runner = DenseRunner(
      type: "GroupNormNHWC", attributes: ["num_groups": .int(Int64(groups)), "epsilon": .float(1e-5)], threads: 2)
    let y = try runner.run([
      try Tensor(x, [images, rows, channels]), try Tensor(scale), try Tensor(bias),
      try Tensor(shift, [images, 1, channels]),
    ])[0]
    // Mean and shift are rounded to float32, 5 · 6e-8 each, against deviations of 1.
    #expect(difference(y, expected) < 5e-6)
    #expect(throws: Failure.self) {
      try runner.run([
        try Tensor(x, [images, rows, channels]), try Tensor(scale), try Tensor(bias),
        try Tensor(shift, [images, channels]),
      ])
    }
  }

  @Test func layerNorm() throws {
    for count in [1, 7, 64, 1283] {
      let x = sequence(3 * count, seed: 5).map { $0 - 10 }
      let scale = sequence(count, seed: 2)
      let bias = sequence(count, seed: 3)
      let results = try DenseRunner(type: "LayerNormalization", domain: "", version: 17, outputCount: 3).run(
        [try Tensor(x, [3, count]), try Tensor(scale), try Tensor(bias)])
      var expected: [Double] = []
      for row in 0..<3 {
        let values = x[row * count..<(row + 1) * count].map { Double($0) }
        let mean = values.reduce(0, +) / Double(count)
        let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(count)
        #expect(abs(Double(results[1].values(Float.self)[row]) - mean) < 1e-5)
        expected += values.enumerated().map {
          ($1 - mean) / (variance + 1e-5).squareRoot() * Double(scale[$0]) + Double(bias[$0])
        }
      }
      #expect(results[1].shape == [3, 1])
      #expect(difference(results[0], expected) < 2e-6)
    }
  }

  /// Before opset 13 the softmax runs over everything from `axis` on.
  @Test func softmaxFlattensInOldOpsets() throws {
    let x = try Tensor(sequence(24, range: 3), [2, 3, 4])
    for (version, axis, rowLength) in [(11, 1, 12), (13, 2, 4), (11, 2, 4)] {
      let y = try DenseRunner(
        type: "Softmax", domain: "", version: version, attributes: ["axis": .int(Int64(axis))]
      ).run([x])[0].values(Float.self)
      for start in stride(from: 0, to: 24, by: rowLength) {
        #expect(abs(y[start..<start + rowLength].reduce(0, +) - 1) < 1e-6)
      }
    }
    let middle = try DenseRunner(type: "Softmax", domain: "", version: 13, attributes: ["axis": .int(1)]).run([x])[0]
    for column in 0..<4 {
      #expect(abs((0..<3).reduce(0) { $0 + middle.values(Float.self)[$1 * 4 + column] } - 1) < 1e-6)
    }
  }
}

@Suite struct DenseAttentionTests {
  struct Case: Sendable {
    var queries: Int
    var keys: Int
    var size: Int
    var valueSize: Int
    var heads = 2
    var masked = false
  }

  /// Sizes around blocks of queries (96, 48, 32) and keys (256), heads wider than one block of depth, and Strassen's algorithm.
  static let cases: [Case] = [
    .init(queries: 1, keys: 1, size: 1, valueSize: 1),
    .init(queries: 5, keys: 77, size: 40, valueSize: 40),
    .init(queries: 97, keys: 257, size: 64, valueSize: 64),
    .init(queries: 130, keys: 600, size: 33, valueSize: 65, masked: true),
    .init(queries: 20, keys: 300, size: 300, valueSize: 300, heads: 1),
    .init(queries: 1030, keys: 256, size: 64, valueSize: 64),
    .init(queries: 1030, keys: 256, size: 64, valueSize: 64, masked: true),
  ]

  @Test(arguments: cases) func fused(_ c: Case) throws {
    let batch = 2
    let q = sequence(batch * c.queries * c.heads * c.size, seed: 1, range: 2)
    let k = sequence(batch * c.keys * c.heads * c.size, seed: 2, range: 2)
    let v = sequence(batch * c.keys * c.heads * c.valueSize, seed: 3)
    let mask: [Float] = sequence(c.queries * c.keys, seed: 4, range: 3).map { $0 < -2 ? -.infinity : $0 }
    let scale = 1 / Double(c.size).squareRoot()
    var expected = [Double](repeating: 0, count: batch * c.queries * c.heads * c.valueSize)
    for b in 0..<batch {
      for h in 0..<c.heads {
        for i in 0..<c.queries {
          var scores: [Double] = []
          let query: Int = ((b * c.queries + i) * c.heads + h) * c.size
          for j in 0..<c.keys {
            let key: Int = ((b * c.keys + j) * c.heads + h) * c.size
            var sum = 0.0
            for x in 0..<c.size {
              let left = Double(q[query + x])
              sum += left * Double(k[key + x])
            }
            sum *= scale
            if c.masked { sum += Double(mask[i * c.keys + j]) }
            scores.append(sum)
          }
          let top = scores.max() ?? 0
          scores = scores.map { Double.exp($0 - top) }
          let total = scores.reduce(0, +)
          let target: Int = ((b * c.queries + i) * c.heads + h) * c.valueSize
          for j in 0..<c.keys {
            let value: Int = ((b * c.keys + j) * c.heads + h) * c.valueSize
            let share = scores[j] / total
            for x in 0..<c.valueSize { expected[target + x] += share * Double(v[value + x]) }
          }
        }
      }
    }
    let inputs: [Tensor?] = [
      try Tensor(q, [batch, c.queries, c.heads * c.size]), try Tensor(k, [batch, c.keys, c.heads * c.size]),
      try Tensor(v, [batch, c.keys, c.heads * c.valueSize]),
      c.masked ? try Tensor(mask, [1, 1, c.queries, c.keys]) : nil,
    ]
    // Sums of queries, keys and probabilities (Strassen's algorithm) cost a bit more, most where products are rounded before
    // they are added: 3.2e-6 without fused multiply-adds. Sums of two bfloat16 keep 16 bits of every number.
    let isSplit =
      AttentionFormats(
        .float32, keys: c.keys, size: c.size, isMasked: c.masked, Kernels.current
      ).scores == .twoBFloat16
    let limit = isSplit ? 1.2e-5 : c.queries >= 1024 && !c.masked ? 6e-6 : 3e-6
    var results: [[Float]] = []
    for threads in [1, 3] {
      let y = try DenseRunner(
        type: "Attention", attributes: ["num_heads": .int(Int64(c.heads))], threads: threads
      ).run(inputs)[0]
      #expect(difference(y, expected) < limit)
      results.append(y.values())
    }
    #expect(results[0] == results[1])
  }

  /// A mask that hides the whole first block of keys must not poison the rest.
  @Test func hiddenFirstBlock() throws {
    let keys = 300
    let q = try Tensor(sequence(4), [1, 1, 4])
    let k = try Tensor(sequence(keys * 4, seed: 2), [1, keys, 4])
    let v = try Tensor((0..<keys * 4).map { $0 / 4 == 280 ? 5 : 1 }, [1, keys, 4])
    let mask = try Tensor(bools: (0..<keys).map { $0 == 280 }, [1, keys])
    let y = try DenseRunner(type: "Attention", attributes: ["num_heads": .int(1)]).run([q, k, v, mask])[0]
    #expect(y.values(Float.self) == [5, 5, 5, 5])
  }

  /// Exporters exclude keys with the least finite number: alone it hides a key, in a whole row it leaves equal shares, not NaN.
  @Test func leastFiniteMask() throws {
    let q = try Tensor([1, 2, 3, 4, 1, 2, 3, 4], [1, 2, 4])
    let k = try Tensor([Float](repeating: 0.5, count: 12), [1, 3, 4])
    let v = try Tensor([3, 3, 3, 3, 6, 6, 6, 6, 9, 9, 9, 9], [1, 3, 4])
    let least = -Float.greatestFiniteMagnitude
    let mask = try Tensor([least, 0, least, least, least, least], [2, 3])
    let y = try DenseRunner(type: "Attention", attributes: ["num_heads": .int(1)]).run([q, k, v, mask])[0]
    #expect(difference(y, [6, 6, 6, 6, 6, 6, 6, 6]) < 1e-6)
    let open = try Tensor([least, least, 0, least, least, least], [2, 3])
    let z = try DenseRunner(type: "Attention", attributes: ["num_heads": .int(1)]).run([q, k, v, open])[0]
    #expect(difference(z, [9, 9, 9, 9, 6, 6, 6, 6]) < 1e-6)
  }

  /// Winograd, direct and 1×1 windows; odd sizes and paddings: the same bits as of an image that was enlarged before. Squares
  /// of doubled pixels take other sums, whose rounding errors are 3e-7 of a layer's largest values.
  @Test(arguments: [(3, 1, 40), (3, 1, 3), (3, 0, 5), (3, 2, 8), (1, 0, 5), (2, 1, 5)])
  func convolutionOfAnEnlargedImage(kernel: Int, pad: Int, channels: Int) throws {
    for (height, width, stride) in [(5, 7, 1), (2, 3, 1), (8, 9, 1), (5, 4, 2)] {
      let x = try Tensor(sequence(2 * height * width * channels), [2, height, width, channels])
      let w = try Tensor(sequence(33 * channels * kernel * kernel, seed: 2), [33, channels, kernel, kernel])
      let bias = try Tensor(sequence(33, seed: 3))
      var attributes: [String: Attribute] = [
        "pads": .ints([Int64](repeating: Int64(pad), count: 4)), "strides": .ints([Int64(stride), Int64(stride)]),
      ]
      let large = try DenseRunner(
        type: "ResizeNearestNHWC", attributes: ["scale_h": .int(2), "scale_w": .int(2)]
      ).run([x])[0]
      let expected = try DenseRunner(type: "ConvNHWC", attributes: attributes, constants: [1, 2]).run([large, w, bias])[
        0]
      attributes["enlargement"] = .int(2)
      let y = try DenseRunner(type: "ConvNHWC", attributes: attributes, constants: [1, 2]).run([x, w, bias])[0]
      #expect(y.shape == expected.shape)
      if kernel == 3, pad == 1, stride == 1 {
        #expect(difference(y, expected.values(Float.self).map { Double($0) }) < 1e-5)
      } else {
        #expect(y.values(Float.self) == expected.values(Float.self))
      }
    }
  }

  @Test func resizeAndGeglu() throws {
    let x = try Tensor([1, 2, 3, 4], [1, 1, 2, 2])
    let y = try DenseRunner(type: "ResizeNearestNHWC", attributes: ["scale_h": .int(2), "scale_w": .int(3)]).run([x])[0]
    let line: [Float] = [1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4]
    #expect(y.shape == [1, 2, 6, 2])
    #expect(y.values(Float.self) == line + line)
    let g = try DenseRunner(type: "Geglu").run([try Tensor([2, 3, 0, 10], [1, 4])])[0]
    #expect(g.shape == [1, 2])
    #expect(g.values(Float.self) == [0, 30])
  }
}
