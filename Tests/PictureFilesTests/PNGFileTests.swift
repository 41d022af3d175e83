import CLibPNG
import Support
import Testing

@testable import PictureFiles

@Suite struct PNGFileTests {
  /// Decodes with libpng itself, which refuses wrong checksums and chunk orders.
  private func decode(_ bytes: [UInt8]) -> (width: Int, height: Int, pixels: [UInt8])? {
    var image = png_image()
    image.version = png_uint_32(PNG_IMAGE_VERSION)
    defer { png_image_free(&image) }
    guard png_image_begin_read_from_memory(&image, bytes, bytes.count) != 0 else { return nil }
    image.format = png_uint_32(PNG_FORMAT_FLAG_COLOR)
    var pixels = [UInt8](repeating: 0, count: Int(image.width * image.height * 3))
    guard png_image_finish_read(&image, nil, &pixels, 0, nil) != 0, image.warning_or_error == 0 else { return nil }
    return (Int(image.width), Int(image.height), pixels)
  }

  @Test func pixelsSurviveARoundTrip() throws {
    let pixels = (0..<(5 * 3 * 3)).map { UInt8(truncatingIfNeeded: $0 * 29) }
    let bytes = try pixels.withUnsafeBufferPointer {
      try PNGFile.encode(
        pixels: $0, width: 5, height: 3, text: [("parameters", "a cat, steps: 10"), ("prompt", "ein Bär 🐻")])
    }
    let decoded = try #require(decode(bytes))
    #expect(decoded.width == 5 && decoded.height == 3 && decoded.pixels == pixels)
  }

  @Test func textUsesTheChunkThatCanHoldIt() {
    #expect(Array(PNGFile.textChunk(keyword: "k", value: "Bär")[4..<8]) == Array("tEXt".utf8))
    #expect(PNGFile.textChunk(keyword: "k", value: "Bär").dropFirst(8).prefix(5) == [0x6B, 0, 0x42, 0xE4, 0x72])
    #expect(Array(PNGFile.textChunk(keyword: "k", value: "🐻")[4..<8]) == Array("iTXt".utf8))
  }

  @Test func checksumIsTheStandardOne() {
    // The check value of CRC-32/ISO-HDLC, and the checksum of every PNG's empty IEND chunk.
    #expect(PNGFile.checksum(Array("123456789".utf8)) == 0xCBF4_3926)
    #expect(PNGFile.checksum(Array("IEND".utf8)) == 0xAE42_6082)
  }

  @Test(arguments: [(0, 1), (1, 0), (-1, 1), (65_537, 1), (2, 2)])
  func wrongSizesAreErrors(width: Int, height: Int) {
    let pixels: [UInt8] = [1, 2, 3]
    #expect(throws: Failure.self) {
      try pixels.withUnsafeBufferPointer { try PNGFile.encode(pixels: $0, width: width, height: height) }
    }
  }
}
