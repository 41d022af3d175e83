import Foundation
import Graph
import Support
import Testing

@testable import Pipelines

@Suite struct PNGTests {
  /// Inflates fixed-code blocks, enough to read back what `Deflate` writes.
  private func inflate(_ zlib: [UInt8]) -> [UInt8] {
    var output: [UInt8] = []
    var position = 16
    func bit() -> Int {
      defer { position += 1 }
      return Int(zlib[position / 8] >> UInt8(position % 8)) & 1
    }
    func bits(_ count: Int) -> Int { (0..<count).reduce(0) { $0 | bit() << $1 } }
    func code(_ count: Int, _ start: Int = 0) -> Int { (0..<count).reduce(start) { value, _ in value << 1 | bit() } }
    #expect(bits(3) == 0b011)
    let lengthBase = [
      3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258,
    ]
    let lengthBits = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0]
    while true {
      var symbol = code(7)
      if symbol <= 23 {
        symbol += 256
      } else {
        symbol = code(1, symbol)
        if symbol >= 0x30, symbol <= 0xBF {
          symbol -= 0x30
        } else if symbol >= 0xC0, symbol <= 0xC7 {
          symbol += 280 - 0xC0
        } else {
          symbol = code(1, symbol) - 0x190 + 144
        }
      }
      if symbol == 256 { return output }
      if symbol < 256 {
        output.append(UInt8(symbol))
        continue
      }
      let length = lengthBase[symbol - 257] + bits(lengthBits[symbol - 257])
      let distanceSymbol = code(5)
      let extra = max(0, distanceSymbol / 2 - 1)
      let base = distanceSymbol < 4 ? distanceSymbol + 1 : 1 + (2 + distanceSymbol % 2) << extra
      let distance = base + bits(extra)
      for _ in 0..<length { output.append(output[output.count - distance]) }
    }
  }

  /// Noise has no matches, gradients and blocks have long ones.
  @Test(arguments: ["noise", "gradient", "block", "single"])
  func deflateReadsBack(_ kind: String) throws {
    var generator = TorchGenerator(seed: 1)
    let bytes: [UInt8] =
      switch kind {
      case "noise": generator.uniform(count: 70_000).map { UInt8($0 * 255) }
      case "gradient": (0..<70_000).map { UInt8(truncatingIfNeeded: $0 / 7) }
      case "block": Array(repeating: 200, count: 70_000)
      default: [255]
      }
    let packed = Deflate.zlib(bytes)
    #expect(inflate(packed) == bytes)
    if kind == "block" { #expect(packed.count < bytes.count / 100) }
    if kind == "gradient" { #expect(packed.count < bytes.count) }
  }

  @Test func fileHasSignatureAndChecksums() throws {
    let image = try Tensor(type: .uint8, shape: [2, 3, 3], values: (0..<18).map { UInt8($0 * 14) })
    let file = try PNG.encode(image)
    #expect(file.starts(with: [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]))
    // The end chunk and its known checksum.
    #expect(file.suffix(8) == [0x49, 0x45, 0x4E, 0x44, 0xAE, 0x42, 0x60, 0x82])
  }

  @Test func missingFolderIsNamed() throws {
    let image = try Tensor(type: .uint8, shape: [1, 1, 3], values: [UInt8](repeating: 0, count: 3))
    #expect { try PNG.write(image, to: "/nowhere/at/all.png") } throws: {
      let failure = $0 as? Failure
      return failure?.status == .notFound && failure?.file == "/nowhere/at/all.png"
    }
  }
}
