import Foundation
import Testing

@testable import Support

/// Draws recorded from torch (`Tests/Fixtures/random/make_random.py`).
struct TorchGeneratorTests {
  static let fixture: JSON? = {
    let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Fixtures/random/torch.json").path
    return try? JSON.parse(file: path)
  }()

  static func cases(_ key: String) throws -> [JSON] { try #require(fixture?[key]?.array) }

  static func seed(_ value: JSON) throws -> UInt64 { try #require(value["seed"]?.string.flatMap { UInt64($0) }) }

  static func bits(_ value: JSON?) throws -> [UInt32] {
    try #require(value?.array).map { UInt32(try #require($0.int)) }
  }

  @Test("Float normals of every small size are torch's, bit for bit")
  func smallNormals() throws {
    for item in try Self.cases("normal") {
      var generator = TorchGenerator(seed: try Self.seed(item))
      let size = try #require(item["size"]?.int)
      let drawn = generator.normal(count: size).map(\.bitPattern)
      let expected = try Self.bits(item["bits"])
      #expect(drawn == expected, "seed \(item["seed"] ?? .null), size \(size)")
    }
  }

  @Test("Latent-sized float normals are torch's, bit for bit")
  func largeNormals() throws {
    for item in try Self.cases("large") {
      var generator = TorchGenerator(seed: try Self.seed(item))
      let size = try #require(item["size"]?.int)
      let drawn = generator.normal(count: size).map(\.bitPattern)
      #expect(Array(drawn.prefix(8)) == (try Self.bits(item["head"])))
      #expect(Array(drawn.suffix(8)) == (try Self.bits(item["tail"])))
      var hash: UInt64 = 0xCBF2_9CE4_8422_2325
      for value in drawn {
        for shift in stride(from: UInt32(0), to: 32, by: 8) {
          hash = (hash ^ UInt64(value >> shift & 0xFF)) &* 0x100_0000_01B3
        }
      }
      #expect(String(hash) == item["fnv1a"]?.string, "seed \(item["seed"] ?? .null), size \(size)")
    }
  }

  @Test("Draws that follow each other continue torch's stream, the kept second value included")
  func sequences() throws {
    for item in try Self.cases("sequences") {
      var generator = TorchGenerator(seed: try Self.seed(item))
      for part in try #require(item["parts"]?.array) {
        let size = try #require(part["size"]?.int)
        #expect(generator.normal(count: size).map(\.bitPattern) == (try Self.bits(part["bits"])))
      }
    }
  }

  @Test("Uniforms are torch's, bit for bit")
  func uniforms() throws {
    for item in try Self.cases("uniform") {
      var generator = TorchGenerator(seed: try Self.seed(item))
      let expected = try Self.bits(item["bits"])
      #expect(generator.uniform(count: expected.count).map(\.bitPattern) == expected)
    }
  }

  @Test("Double normals are torch's to the accuracy of the C library (4 ulp)")
  func doubles() throws {
    for item in try Self.cases("double") {
      var generator = TorchGenerator(seed: try Self.seed(item))
      let expected = try #require(item["values"]?.array).map { try #require($0.string.flatMap { Double($0) }) }
      for (drawn, value) in zip(generator.normalDouble(count: expected.count), expected) {
        #expect(abs(drawn - value) <= 4 * value.ulp)
      }
    }
  }

  @Test("No values, no draws")
  func nothing() {
    var generator = TorchGenerator(seed: 1)
    #expect(generator.normal(count: 0).isEmpty)
    #expect(generator.normal(count: -3).isEmpty)
    var fresh = TorchGenerator(seed: 1)
    #expect(generator.normal(count: 20) == fresh.normal(count: 20))
  }
}
