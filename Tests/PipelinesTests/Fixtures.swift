import Foundation
import Graph
import Support

@testable import Pipelines

/// The tiny random pipeline of `Tests/Fixtures/tiny-sd` and what diffusers computes with it.
enum Fixtures {
  static let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().path
  static let tiny = tests + "/Fixtures/tiny-sd"

  static func open(_ path: String = tiny) throws -> StableDiffusionPipeline {
    var options = PipelineOptions()
    options.threads = 1
    return try StableDiffusionPipeline(path: path, options: options, callbacks: RunCallbacks())
  }

  static func floats(_ name: String) throws -> [Float] {
    let data = try Data(contentsOf: URL(fileURLWithPath: "\(tiny)/references/\(name)"))
    return data.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
  }

  static func bytes(_ name: String) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(fileURLWithPath: "\(tiny)/references/\(name)")))
  }

  /// ‖a - b‖ / ‖b‖
  static func relativeError(_ a: [Float], _ b: [Float]) -> Double {
    guard a.count == b.count, !a.isEmpty else { return .infinity }
    let difference = zip(a, b).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
    let reference = b.reduce(0.0) { $0 + Double($1) * Double($1) }
    return (difference / reference).squareRoot()
  }

  /// A copy of the tiny pipeline that a test may damage; removed when `body` returns.
  static func withCopy(_ body: (String) throws -> Void) throws {
    let copy = NSTemporaryDirectory() + "/adadiff-" + UUID().uuidString
    try FileManager.default.copyItem(atPath: tiny, toPath: copy)
    defer { try? FileManager.default.removeItem(atPath: copy) }
    try body(copy)
  }
}
