import CLibPNG
import Support

/// Writes 8-bit RGB pictures as PNG, with text that image viewers and diffusion front ends show.
public enum PNGFile {
  /// Encodes `pixels`, (height, width, 3) row-major, values 0 to 255 in sRGB. `text` becomes one text chunk per entry.
  public static func encode(
    pixels: UnsafeBufferPointer<UInt8>, width: Int, height: Int, text: [(keyword: String, value: String)] = []
  ) throws(Failure) -> [UInt8] {
    guard width > 0, height > 0, width <= 65_536, height <= 65_536 else {
      throw Failure(.outOfRange, "a picture of \(width)×\(height) pixels (1 to 65,536 each way)")
    }
    guard pixels.count == width * height * 3, let base = pixels.baseAddress else {
      throw Failure(
        .shapeMismatch, "the pixels do not fill the picture", expected: "\(width * height * 3) bytes",
        actual: "\(pixels.count)")
    }
    var image = png_image()
    image.version = png_uint_32(PNG_IMAGE_VERSION)
    image.width = png_uint_32(width)
    image.height = png_uint_32(height)
    image.format = png_uint_32(PNG_FORMAT_FLAG_COLOR)
    defer { png_image_free(&image) }
    // The first call measures, the second writes.
    var size: png_alloc_size_t = 0
    guard png_image_write_to_memory(&image, nil, &size, 0, base, 0, nil) != 0 else { throw failure(image) }
    var bytes = [UInt8](repeating: 0, count: size)
    guard png_image_write_to_memory(&image, &bytes, &size, 0, base, 0, nil) != 0 else { throw failure(image) }
    bytes.removeLast(bytes.count - min(bytes.count, size))
    guard bytes.count > headerEnd else { throw Failure(.internalError, "libpng wrote no header") }
    bytes.insert(contentsOf: text.flatMap { textChunk(keyword: $0.keyword, value: $0.value) }, at: headerEnd)
    return bytes
  }

  /// Bytes of the signature (8) and the IHDR chunk (4 length, 4 type, 13 data, 4 checksum).
  private static let headerEnd = 33

  /// A tEXt chunk where the value is Latin-1, else an iTXt chunk in UTF-8.
  static func textChunk(keyword: String, value: String) -> [UInt8] {
    let key = Array(keyword.utf8.prefix(79)) + [0]
    let scalars = value.unicodeScalars.filter { $0.value != 0 }
    if scalars.allSatisfy({ $0.value < 256 }) {
      return chunk("tEXt", key + scalars.map { UInt8(truncatingIfNeeded: $0.value) })
    }
    // Not compressed, compression method 0, no language, no translated keyword.
    return chunk("iTXt", key + [0, 0, 0, 0] + Array(String(String.UnicodeScalarView(scalars)).utf8))
  }

  private static func chunk(_ type: String, _ data: [UInt8]) -> [UInt8] {
    let body = Array(type.utf8) + data
    return bigEndian(UInt32(truncatingIfNeeded: data.count)) + body + bigEndian(checksum(body))
  }

  private static func bigEndian(_ value: UInt32) -> [UInt8] {
    [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
  }

  /// CRC-32 as PNG defines it (ISO 3309, reflected polynomial 0xEDB88320).
  static func checksum(_ bytes: [UInt8]) -> UInt32 {
    var remainder = UInt32.max
    for byte in bytes {
      remainder ^= UInt32(byte)
      for _ in 0..<8 { remainder = remainder & 1 == 1 ? remainder >> 1 ^ 0xEDB8_8320 : remainder >> 1 }
    }
    return ~remainder
  }

  private static func failure(_ image: png_image) -> Failure {
    let message = withUnsafeBytes(of: image.message) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    return Failure(.io, "libpng: \(message)")
  }
}
