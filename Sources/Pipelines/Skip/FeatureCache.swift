import Adaptive
import Graph
import Runtime
import Support
import Synchronization

/// The deep feature of a run's last whole network call; one per kind of call where guidance makes two.
final class FeatureCache {
  let branch: Int
  fileprivate var deep: [Tensor?] = [nil, nil]

  init(branch: Int) { self.branch = branch }

  var isFilled: Bool { deep.contains { $0 != nil } }
  func clear() { deep = [nil, nil] }
  subscript(stream: Int) -> Tensor? {
    get { deep.indices.contains(stream) ? deep[stream] : nil }
    set { if deep.indices.contains(stream) { deep[stream] = newValue } }
  }
}

/// What of the network a call runs.
enum NetworkPart {
  case whole
  /// Everything, and the deep feature is kept.
  case keeping(FeatureCache)
  /// The outer blocks, on the kept feature.
  case outer(FeatureCache)
}

/// The places where a denoising network can be cut, and the outer networks that result; shared by all runs.
final class NetworkCuts: Sendable {
  /// From the output inwards: the name of the deep feature.
  let names: [String]
  private let source: LoadedModel
  private let connections: [SkipConnection]
  private let options: ModelOptions
  private let outer = Mutex<[Int: Model]>([:])

  /// Beyond this many connections the innermost are not offered; the deepest UNets in use have 12.
  private static let maximum = 64

  /// Adds every deep feature to the outputs of `loaded`, where a run may ask for it; what no run asks for costs nothing.
  init(_ loaded: inout LoadedModel, options: ModelOptions) {
    var connections: [SkipConnection] = []
    var names: [String] = []
    let outputs = Set(loaded.graph.outputs)
    source = loaded
    for connection in loaded.graph.skipConnections().prefix(Self.maximum) where !outputs.contains(connection.deep) {
      connections.append(connection)
      names.append(loaded.graph.values[connection.deep.index].name)
      loaded.graph.outputs.append(connection.deep)
    }
    self.connections = connections
    self.names = names
    self.options = options
  }

  /// Throws `.unsupported` for a network without skip connections, `.outOfRange` for a branch it does not have.
  func check(branch: Int) throws(Failure) {
    guard !names.isEmpty else {
      throw Failure(
        .unsupported, "the network has no skip connections, so no feature can be kept between steps",
        component: "unet", expected: "a network whose decoder joins features of its encoder")
    }
    guard names.indices.contains(branch) else {
      throw Failure(
        .outOfRange, "the network has no skip connection with this number", component: "unet",
        expected: "branch 0…\(names.count - 1)", actual: "\(branch)")
    }
  }

  /// The network from the deep feature of `branch` to the output; made at first use.
  func outerModel(branch: Int) throws -> Model {
    try check(branch: branch)
    return try outer.withLock { models in
      if let model = models[branch] { return model }
      var part = source
      part.graph = source.graph.cut(at: connections[branch].deep)
      let model = try Model(part, options: options)
      models[branch] = model
      return model
    }
  }
}
