import Graph

extension Ladder {
  /// 3×3 convolution with padding 1, channels last.
  static func convolution(small: Bool) throws -> Ladder {
    let (side, channels, filters) = small ? (9, 16, 33) : (64, 128, 128)
    let x = numbers(side * side * channels, seed: 1)
    // (filters, channels, 3, 3)
    let w = numbers(filters * channels * 9, seed: 2)
    let ours = try EngineOperator(
      "ConvNHWC", ["pads": .ints([1, 1, 1, 1])],
      inputs: [try tensor(x, [1, side, side, channels]), try tensor(w, [filters, channels, 3, 3])])
    // (tap, channel, filter)
    var byTap = [Float](repeating: 0, count: w.count)
    for f in 0..<filters {
      for c in 0..<channels {
        for t in 0..<9 { byTap[(t * channels + c) * filters + f] = w[(f * channels + c) * 9 + t] }
      }
    }
    let weights = byTap
    return Ladder(
      name: "convolution 3×3", operations: 2 * 9 * Double(side * side * channels * filters),
      bytes: 4 * Double(side * side * (channels + filters) + w.count), outputCount: side * side * filters,
      rungs: [
        Rung(name: "naive", sentence: "The definition: nine taps and all channels per output.") { y in
          forEachOutput(side) { pixel, neighbours in
            for f in 0..<filters {
              var sum: Float = 0
              for (tap, source) in neighbours {
                for c in 0..<channels { sum += x[source * channels + c] * w[(f * channels + c) * 9 + tap] }
              }
              y[pixel * filters + f] = sum
            }
          }
        },
        Rung(name: "reordered", sentence: "Weights as (tap, channel, filter): the inner loop reads and writes rows.") {
          y in
          forEachOutput(side) { pixel, neighbours in
            for f in 0..<filters { y[pixel * filters + f] = 0 }
            for (tap, source) in neighbours {
              for c in 0..<channels {
                let factor = x[source * channels + c]
                let row = (tap * channels + c) * filters
                for f in 0..<filters { y[pixel * filters + f] += factor * weights[row + f] }
              }
            }
          }
        },
        Rung(name: "vectorised", sentence: "Eight filters at a time in a register through all taps and channels.") {
          y in
          weights.withUnsafeBytes { weights in
            forEachOutput(side) { pixel, neighbours in
              for first in stride(from: 0, to: filters, by: 8) {
                let width = min(8, filters - first)
                var sum = SIMD8<Float>.zero
                for (tap, source) in neighbours {
                  for c in 0..<channels {
                    let offset = ((tap * channels + c) * filters + first) * 4
                    if width == 8 {
                      sum +=
                        x[source * channels + c] * weights.loadUnaligned(fromByteOffset: offset, as: SIMD8<Float>.self)
                    } else {
                      for f in 0..<width {
                        let weight = weights.loadUnaligned(fromByteOffset: offset + 4 * f, as: Float.self)
                        sum[f] += x[source * channels + c] * weight
                      }
                    }
                  }
                }
                for f in 0..<width { y[pixel * filters + first + f] = sum[f] }
              }
            }
          }
        },
        Rung(
          name: "ours",
          sentence: "Winograd F(4×4, 3×3): 36 products per 16 outputs instead of 144, as 36 packed matrix products."
        ) { try ours.run(into: &$0) },
      ])
  }
}

/// Calls `body` with every output pixel and the (tap, input pixel) pairs that lie inside the image.
private func forEachOutput(_ side: Int, _ body: (_ pixel: Int, _ neighbours: [(Int, Int)]) -> Void) {
  for y in 0..<side {
    for x in 0..<side {
      var neighbours: [(Int, Int)] = []
      for tap in 0..<9 {
        let (iy, ix) = (y + tap / 3 - 1, x + tap % 3 - 1)
        if iy >= 0, iy < side, ix >= 0, ix < side { neighbours.append((tap, iy * side + ix)) }
      }
      body(y * side + x, neighbours)
    }
  }
}
