import Graph
import Operators
import Runtime
import Support

/// `bench --tune`: the algorithms between which the engine chooses, timed for every distinct layer of a network.
struct TuneTable {
  struct Row {
    var layer: ConvolutionTuning.Layer
    var alternatives: [ConvolutionTrial.Alternative]

    private func seconds(_ name: String) -> Double? { alternatives.first { $0.name == name }?.seconds }
    var fastest: ConvolutionTrial.Alternative? { alternatives.min { $0.seconds < $1.seconds } }
    /// Seconds that the network loses by the choice made for layers of this size.
    var loss: Double {
      guard let chosen = seconds(layer.trial.chosen), let fastest else { return 0 }
      return (chosen - fastest.seconds) * Double(layer.count)
    }
    /// Differences below this share are noise.
    private static let tolerance = 0.05
    var isWrong: Bool {
      guard let chosen = seconds(layer.trial.chosen), let fastest else { return false }
      return chosen > fastest.seconds * (1 + Self.tolerance)
    }
  }

  private(set) var rows: [Row] = []

  init(path: String, sizes: DimensionSizes, threads: Int?, runs: Int) throws {
    let loaded = try ModelLoader.load(path: path)
    let tuning = try ConvolutionTuning(loaded, shapes: sizes.shapes(of: loaded.graph))
    let pool = threads.map { ThreadPool(threads: $0) } ?? ThreadPool()
    for layer in tuning.layers {
      rows.append(Row(layer: layer, alternatives: try layer.trial.measure(runs: runs, pool: pool)))
    }
  }

  func print() {
    guard let first = rows.first else {
      return Terminal.print("No layer of this network leaves a choice.")
    }
    var lines = [["3×3 convolution", "layers"] + first.alternatives.map { "\($0.name), ms" } + ["chosen", "verdict"]]
    for row in rows {
      lines.append(
        [row.layer.trial.layer, "\(row.layer.count)"] + row.alternatives.map { rounded($0.seconds * 1000, digits: 3) }
          + [row.layer.trial.chosen, verdict(row)])
    }
    for line in table(lines) { Terminal.print(line) }
    let chosen = rows.reduce(0.0) { total, row in
      let time = row.alternatives.first { $0.name == row.layer.trial.chosen }?.seconds ?? 0
      return total + time * Double(row.layer.count)
    }
    Terminal.print(
      """
      All these layers as chosen: \(formatted(seconds: chosen)); with the fastest of each: \
      \(formatted(seconds: chosen - rows.reduce(0) { $0 + $1.loss }))
      """)
  }

  private func verdict(_ row: Row) -> String {
    guard row.isWrong, let fastest = row.fastest else { return "right" }
    return "\(fastest.name) saves \(formatted(seconds: row.loss))"
  }

  var json: JSON {
    .array(
      rows.map { row in
        .object([
          "layer": .string(row.layer.trial.layer), "count": JSON(row.layer.count),
          "chosen": .string(row.layer.trial.chosen), "right": .bool(!row.isWrong), "loss_ms": JSON(row.loss * 1000),
          "alternatives": .array(
            row.alternatives.map {
              .object([
                "name": .string($0.name), "ms": JSON($0.seconds * 1000), "expected_cost": JSON($0.expectedCost),
              ])
            }),
        ])
      })
  }
}
