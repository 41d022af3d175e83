import Foundation
import OnnxWriter
import Support
import Testing

@testable import Graph

/// Every way a file can be wrong has its own status and names the thing.
@Suite struct BadModelTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var name: String
    var bytes: [UInt8]
    var status: Status
    /// Must occur in the message.
    var mentions: String
    var testDescription: String { name }
  }

  static let x = Onnx.value("x", Onnx.float32, [2])
  static let y = Onnx.value("y", Onnx.float32, [2])
  static let relu = Onnx.node("Relu", ["x"], ["y"], name: "r")
  static let good = Onnx.model(Onnx.graph([relu], inputs: [x], outputs: [y]))

  /// A model whose only oddity is the initializer `w`.
  static func with(_ tensor: Proto) -> [UInt8] {
    Onnx.model(Onnx.graph([Onnx.node("Add", ["x", "w"], ["y"])], inputs: [x], outputs: [y], initializers: [tensor]))
  }

  static func nested(_ depth: Int) -> Proto {
    var graph = Onnx.graph([Onnx.node("Relu", ["x"], ["y"])], outputs: [y])
    for _ in 0..<depth {
      graph = Onnx.graph(
        [Onnx.node("If", ["x"], ["y"], attributes: [Onnx.attribute("then_branch", graph: graph)])], outputs: [y])
    }
    return graph
  }

  static let cases: [Case] = [
    Case(name: "empty file", bytes: [], status: .corrupt, mentions: "empty"),
    Case(name: "text", bytes: Array("<html>not found</html>".utf8), status: .corrupt, mentions: "not an ONNX model"),
    Case(name: "truncated", bytes: Array(good.dropLast(3)), status: .corrupt, mentions: "truncated"),
    Case(name: "no graph", bytes: Onnx.model(nil), status: .corrupt, mentions: "no graph"),
    Case(
      name: "no IR version", bytes: Onnx.model(Onnx.graph([relu], inputs: [x], outputs: [y]), irVersion: nil),
      status: .corrupt, mentions: "IR version"),
    Case(
      name: "future IR version", bytes: Onnx.model(Onnx.graph([relu], inputs: [x], outputs: [y]), irVersion: 99),
      status: .unsupported, mentions: "IR version 99"),
    Case(
      name: "no opset", bytes: Onnx.model(Onnx.graph([relu], inputs: [x], outputs: [y]), opset: nil), status: .corrupt,
      mentions: "no opset"),
    Case(
      name: "cycle",
      bytes: Onnx.model(
        Onnx.graph(
          [Onnx.node("Add", ["x", "b"], ["a"]), Onnx.node("Relu", ["a"], ["b"]), Onnx.node("Relu", ["b"], ["y"])],
          inputs: [x], outputs: [y])), status: .corrupt, mentions: "cycle"),
    Case(
      name: "undefined input", bytes: Onnx.model(Onnx.graph([Onnx.node("Relu", ["z"], ["y"])], outputs: [y])),
      status: .corrupt, mentions: "'z'"),
    Case(
      name: "undefined output", bytes: Onnx.model(Onnx.graph([relu], inputs: [x], outputs: [Onnx.value("z")])),
      status: .corrupt, mentions: "'z'"),
    Case(
      name: "value defined twice", bytes: Onnx.model(Onnx.graph([relu, relu], inputs: [x], outputs: [y])),
      status: .corrupt, mentions: "'y' is defined twice"),
    Case(
      name: "input defined twice", bytes: Onnx.model(Onnx.graph([relu], inputs: [x, x], outputs: [y])),
      status: .corrupt, mentions: "'x' is defined twice"),
    Case(
      name: "attribute twice",
      bytes: Onnx.model(
        Onnx.graph(
          [
            Onnx.node(
              "Relu", ["x"], ["y"], attributes: [Onnx.attribute("a", int: 1), Onnx.attribute("a", int: 2)])
          ], inputs: [x], outputs: [y])), status: .corrupt, mentions: "'a' is given twice"),
    Case(
      name: "attribute that is no text",
      bytes: Onnx.model(
        Onnx.graph(
          [Onnx.node("Relu", ["x"], ["y"], attributes: [Onnx.attribute("a", string: [0xff, 0xfe])])], inputs: [x],
          outputs: [y])), status: .corrupt, mentions: "UTF-8"),
    Case(
      name: "reference outside a function",
      bytes: Onnx.model(
        Onnx.graph(
          [Onnx.node("Relu", ["x"], ["y"], attributes: [Onnx.attribute("a", reference: "b", kind: 2)])], inputs: [x],
          outputs: [y])), status: .corrupt, mentions: "outside a function"),
    Case(name: "deep nesting", bytes: Onnx.model(nested(60)), status: .corrupt, mentions: "truncated or damaged"),
    Case(
      name: "negative dimension", bytes: with(Onnx.tensor("w", Onnx.float32, [-2], raw: [])), status: .corrupt,
      mentions: "negative dimension"),
    Case(
      name: "overflowing shape",
      bytes: with(Onnx.tensor("w", Onnx.float32, [1 << 40, 1 << 40], raw: [0, 0, 0, 0])), status: .outOfMemory,
      mentions: "'w'"),
    Case(
      name: "huge shape, little data", bytes: with(Onnx.tensor("w", Onnx.float32, [1 << 40], raw: [0, 0, 0, 0])),
      status: .corrupt, mentions: "'w'"),
    Case(
      name: "raw data too short", bytes: with(Onnx.tensor("w", Onnx.float32, [2], raw: [0, 0, 0, 0])), status: .corrupt,
      mentions: "'w'"),
    Case(
      name: "typed data too short", bytes: with(Onnx.tensor("w", Onnx.float32, [2], floats: [1])), status: .corrupt,
      mentions: "'w'"),
    Case(name: "no data", bytes: with(Onnx.tensor("w", Onnx.float32, [2])), status: .corrupt, mentions: "'w'"),
    Case(
      name: "unknown element type", bytes: with(Onnx.tensor("w", 77, [1], raw: [0])), status: .unsupported,
      mentions: "77"),
    Case(
      name: "undefined element type", bytes: with(Onnx.tensor("w", 0, [1], raw: [0])), status: .corrupt, mentions: "'w'"
    ),
    Case(
      name: "many dimensions",
      bytes: with(Onnx.tensor("w", Onnx.float32, Array(repeating: 1, count: 100), raw: [0, 0, 0, 0])),
      status: .unsupported, mentions: "100 dimensions"),
    Case(
      name: "external data, no folder",
      bytes: with(Onnx.tensor("w", Onnx.float32, [2], external: [("location", "weights")])), status: .unsupported,
      mentions: "weights"),
    Case(
      name: "external data without location",
      bytes: with(Onnx.tensor("w", Onnx.float32, [2], external: [("offset", "0")])),
      status: .corrupt, mentions: "no external data file"),
    Case(
      name: "function calls itself",
      bytes: Onnx.model(
        Onnx.graph([Onnx.node("F", ["x"], ["y"], domain: "test")], inputs: [x], outputs: [y]),
        functions: [
          Onnx.function(
            "F", inputs: ["a"], outputs: ["b"], nodes: [Onnx.node("F", ["a"], ["b"], domain: "test")],
            domains: [("test", 1)])
        ], domains: [("test", 1)]), status: .corrupt, mentions: "calls itself"),
    Case(
      name: "function without its output",
      bytes: Onnx.model(
        Onnx.graph([Onnx.node("F", ["x"], ["y"], domain: "test")], inputs: [x], outputs: [y]),
        functions: [Onnx.function("F", inputs: ["a"], outputs: ["b"], nodes: [])], domains: [("test", 1)]),
      status: .corrupt, mentions: "'b'"),
    Case(
      name: "function with too many inputs",
      bytes: Onnx.model(
        Onnx.graph([Onnx.node("F", ["x", "x"], ["y"], domain: "test")], inputs: [x], outputs: [y]),
        functions: [
          Onnx.function("F", inputs: ["a"], outputs: ["b"], nodes: [Onnx.node("Relu", ["a"], ["b"])])
        ], domains: [("test", 1)]), status: .corrupt, mentions: "too many"),
    Case(
      name: "Constant without a value",
      bytes: Onnx.model(Onnx.graph([Onnx.node("Constant", [], ["y"])], outputs: [y])), status: .corrupt,
      mentions: "Constant"),
  ]

  @Test(arguments: cases) func refused(_ bad: Case) throws {
    let failure = try #require(throws: Failure.self) {
      _ = try bad.bytes.withUnsafeBytes { try ModelLoader.load(bytes: $0) }
    }
    #expect(failure.status == bad.status, "\(failure)")
    #expect("\(failure)".contains(bad.mentions), "\(failure)")
  }

  @Test func everyPrefixIsRefusedOrRead() {
    // Whatever a download left behind must not trap.
    for length in 0..<Self.good.count {
      _ = try? Array(Self.good.prefix(length)).withUnsafeBytes { try ModelLoader.load(bytes: $0) }
    }
  }

  @Test func everyFlippedByteIsRefusedOrRead() {
    let model = Self.with(Onnx.tensor("w", Onnx.float32, [2], raw: Onnx.bytes([1, 2])))
    for index in model.indices {
      for bit in 0..<8 {
        var damaged = model
        damaged[index] ^= 1 << bit
        _ = try? damaged.withUnsafeBytes { try ModelLoader.load(bytes: $0) }
      }
    }
  }

  // MARK: External data

  struct ExternalCase: Sendable, CustomTestStringConvertible {
    var name: String
    var fields: [(String, String)]
    var status: Status
    var mentions: String
    var testDescription: String { name }
  }

  static let externalCases: [ExternalCase] = [
    .init(name: "missing file", fields: [("location", "none.bin")], status: .notFound, mentions: "none.bin"),
    .init(name: "parent folder", fields: [("location", "../w.bin")], status: .invalidArgument, mentions: "outside"),
    .init(
      name: "hidden parent", fields: [("location", "a/../../w.bin")], status: .invalidArgument, mentions: "outside"),
    .init(name: "absolute path", fields: [("location", "/etc/passwd")], status: .invalidArgument, mentions: "outside"),
    .init(name: "link out", fields: [("location", "link.bin")], status: .invalidArgument, mentions: "outside"),
    .init(name: "folder", fields: [("location", "sub")], status: .io, mentions: "sub"),
    .init(
      name: "too short", fields: [("location", "w.bin"), ("offset", "4")], status: .corrupt, mentions: "too short"),
    .init(
      name: "offset behind the end", fields: [("location", "w.bin"), ("offset", "4000000000000")], status: .corrupt,
      mentions: "too short"),
    .init(
      name: "negative offset", fields: [("location", "w.bin"), ("offset", "-4")], status: .corrupt, mentions: "offset"),
    .init(
      name: "offset that is no number", fields: [("location", "w.bin"), ("offset", "four")], status: .corrupt,
      mentions: "four"),
    .init(
      name: "wrong length", fields: [("location", "w.bin"), ("length", "4")], status: .corrupt, mentions: "wrong length"
    ),
  ]

  static func folder() throws -> URL {
    let base = FileManager.default.temporaryDirectory.appendingPathComponent("graph-tests-\(UUID().uuidString)")
    try FileManager.default.createDirectory(
      at: base.appendingPathComponent("sub"), withIntermediateDirectories: true)
    try Data(Onnx.bytes([3, 4])).write(to: base.appendingPathComponent("w.bin"))
    try FileManager.default.createSymbolicLink(
      atPath: base.appendingPathComponent("link.bin").path, withDestinationPath: "/etc/passwd")
    return base
  }

  @Test(arguments: externalCases) func externalDataRefused(_ bad: ExternalCase) throws {
    let base = try Self.folder()
    defer { try? FileManager.default.removeItem(at: base) }
    let file = base.appendingPathComponent("model.onnx")
    try Data(Self.with(Onnx.tensor("w", Onnx.float32, [2], external: bad.fields))).write(to: file)
    let failure = try #require(throws: Failure.self) { _ = try ModelLoader.load(path: file.path) }
    #expect(failure.status == bad.status, "\(failure)")
    #expect("\(failure)".contains(bad.mentions), "\(failure)")
    #expect(failure.file == file.path)
  }

  @Test func externalDataOfAnyNameIsRead() throws {
    let base = try Self.folder()
    defer { try? FileManager.default.removeItem(at: base) }
    try Data([0, 0, 0, 0] + Onnx.bytes([5, 6])).write(to: base.appendingPathComponent("sub/any name"))
    let file = base.appendingPathComponent("model.onnx")
    let tensor = Onnx.tensor(
      "w", Onnx.float32, [2], external: [("location", "sub/any name"), ("offset", "4"), ("length", "8")])
    try Data(Self.with(tensor)).write(to: file)
    let loaded = try ModelLoader.load(path: file.path)
    let constant = try #require(loaded.graph.constants.values.first)
    #expect(withExtendedLifetime(constant) { Array(constant.buffer(Float.self)) } == [5, 6])
  }

  /// As a Hugging Face cache has them: model and data are links to the same folder of blobs.
  @Test func externalDataBesideTheLinkedModelIsRead() throws {
    let base = try Self.folder()
    defer { try? FileManager.default.removeItem(at: base) }
    let (blobs, snapshot) = (base.appendingPathComponent("sub"), base.appendingPathComponent("snapshot"))
    try FileManager.default.createDirectory(at: snapshot, withIntermediateDirectories: true)
    let tensor = Onnx.tensor("w", Onnx.float32, [2], external: [("location", "model.onnx_data")])
    try Data(Self.with(tensor)).write(to: blobs.appendingPathComponent("a1"))
    try Data(Onnx.bytes([5, 6])).write(to: blobs.appendingPathComponent("b2"))
    func link(_ name: String, _ target: String) throws {
      let path = snapshot.appendingPathComponent(name).path
      try? FileManager.default.removeItem(atPath: path)
      try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: target)
    }
    try link("model.onnx", "../sub/a1")
    try link("model.onnx_data", "../sub/b2")
    let file = snapshot.appendingPathComponent("model.onnx").path
    let loaded = try ModelLoader.load(path: file)
    let constant = try #require(loaded.graph.constants.values.first)
    #expect(withExtendedLifetime(constant) { Array(constant.buffer(Float.self)) } == [5, 6])
    // Of other folders, nothing.
    for target in ["../w.bin", "/etc/passwd"] {
      try link("model.onnx_data", target)
      let failure = try #require(throws: Failure.self) { _ = try ModelLoader.load(path: file) }
      #expect(failure.status == .invalidArgument)
    }
  }

  @Test func missingFile() throws {
    let failure = try #require(throws: Failure.self) { _ = try ModelLoader.load(path: "/nonexistent/model.onnx") }
    #expect(failure.status == .notFound)
  }
}
