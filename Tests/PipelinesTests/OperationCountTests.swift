import Graph
import Runtime
import Support
import Testing

@testable import Pipelines

/// Operations of published networks, whole and cut; the graphs hold structure only (`Tests/Fixtures/skip/make_unets.py`).
@Suite struct OperationCountTests {
  struct Published: Sendable, CustomStringConvertible {
    var file: String
    var channels: Int
    var states: [Int]
    /// The cut of DeepCache's partial steps; the paper counts branches from one.
    var branch: Int
    /// The authors' partial step also computes the next encoder layer, which the output does not read.
    var computesUnreadLayer = false
    /// Multiply-accumulates of one call, in 10⁹ (DeepCache, tables 1 and 3).
    var whole: Double
    /// Mean per call where so many of so many calls are whole.
    var means: [(whole: Int, calls: Int, giga: Double)]
    var description: String { file }
  }

  static let published = [
    // 50 PLMS steps are 51 calls, of which every fifth is whole.
    Published(
      file: "sd15", channels: 4, states: [1, 77, 768], branch: 1, computesUnreadLayer: true, whole: 338.83,
      means: [(11, 51, 130.45)]),
    Published(
      file: "ldm4", channels: 3, states: [1, 1, 512], branch: 0, whole: 99.82,
      means: [(1, 2, 52.12), (1, 5, 23.50), (1, 10, 13.97), (1, 20, 9.39)]),
  ]

  @Test(arguments: published)
  func partialStepsCostWhatDeepCachePublished(_ published: Published) throws {
    var loaded = try ModelLoader.load(path: "\(Fixtures.tests)/Fixtures/skip/\(published.file).onnx")
    let plain = loaded
    let cuts = NetworkCuts(&loaded, options: ModelOptions())
    // Four levels of three joined features each.
    #expect(cuts.names.count == 12)
    let model = try Model(loaded)
    let shapes = [
      "sample": [1, published.channels, 64, 64], "timestep": [], "encoder_hidden_states": published.states,
    ]
    func giga(_ model: Model, outputs: [String] = ["out_sample"], _ shapes: [String: [Int]]) throws -> Double {
      let known = shapes.filter { name, _ in model.inputs.contains { $0.name == name } }
      return Double(try model.multiplyAccumulates(shapes: known, outputs: outputs).weights) / 1e9
    }
    let whole = try giga(model, shapes)
    #expect(abs(whole / published.whole - 1) < 0.05, "\(whole) G")
    let deep = cuts.names[published.branch]
    let cutShapes = try shapes.merging([deep: model.inferredShape(of: deep, shapes: shapes)]) { $1 }
    let exact = try giga(cuts.outerModel(branch: published.branch), cutShapes)
    var part = exact
    if published.computesUnreadLayer {
      var outer = plain
      let connections = plain.graph.skipConnections()
      let unread = connections[published.branch + 1].skip
      outer.graph.outputs.append(unread)
      outer.graph = outer.graph.cut(at: connections[published.branch].deep)
      part = try giga(Model(outer), outputs: ["out_sample", plain.graph.values[unread.index].name], cutShapes)
      #expect(part > exact)
    }
    for (full, calls, expected) in published.means {
      let mean = (Double(full) * whole + Double(calls - full) * part) / Double(calls)
      #expect(abs(mean / expected - 1) < 0.05, "\(full) of \(calls): \(mean) G, outer part \(part) G")
    }
  }

  @Test func networksWithoutSkipConnectionsAreRefused() throws {
    var loaded = try ModelLoader.load(path: "\(Fixtures.tiny)/vae_decoder/model.onnx")
    let cuts = NetworkCuts(&loaded, options: ModelOptions())
    #expect {
      try cuts.check(branch: 0)
    } throws: {
      ($0 as? Failure)?.status == .unsupported && "\($0)".contains("skip connections")
    }
  }
}
