import Glibc
import Graph
import Support

/// PNG files (RFC 2083) with 8-bit RGB pixels.
public enum PNG {
  /// Writes a uint8 (height, width, 3) image. Throws `.notFound` when the folder does not exist, `.io` otherwise.
  public static func write(_ image: Tensor, to path: String) throws(Failure) {
    let bytes = try encode(image)
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw failure(path) }
    var written = 0
    let complete = bytes.withUnsafeBytes { buffer in
      while written < buffer.count {
        let count = Glibc.write(descriptor, buffer.baseAddress.map { $0 + written }, buffer.count - written)
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else { return false }
        written += count
      }
      return true
    }
    guard complete else {
      let error = failure(path)
      close(descriptor)
      throw error
    }
    guard close(descriptor) == 0 else { throw failure(path) }
  }

  private static func failure(_ path: String) -> Failure {
    let code = errno
    return Failure(
      code == ENOENT || code == ENOTDIR ? .notFound : .io,
      "the picture cannot be written: \(String(cString: strerror(code)))", file: path)
  }

  static func encode(_ image: Tensor) throws(Failure) -> [UInt8] {
    guard image.type == .uint8, image.rank == 3, image.shape[2] == 3, image.shape[0] > 0, image.shape[1] > 0 else {
      throw Failure(
        .shapeMismatch, "a picture must be uint8 (height, width, 3)", actual: "\(image.type.name) \(image.shape)")
    }
    let (height, width) = (image.shape[0], image.shape[1])
    var file: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
    // Bit depth 8, colour type 2 (RGB), the only compression and filter methods, no interlacing.
    append("IHDR", bigEndian(UInt32(width)) + bigEndian(UInt32(height)) + [8, 2, 0, 0, 0], to: &file)
    append("IDAT", Deflate.zlib(filtered(image.buffer(UInt8.self), rowBytes: width * 3, rows: height)), to: &file)
    append("IEND", [], to: &file)
    return file
  }

  /// Every row with the filter (none, left, up) whose output is smallest in absolute sum, the usual heuristic.
  private static func filtered(_ pixels: UnsafeMutableBufferPointer<UInt8>, rowBytes: Int, rows: Int) -> [UInt8] {
    var output: [UInt8] = []
    output.reserveCapacity((rowBytes + 1) * rows)
    for row in 0..<rows {
      let start = row * rowBytes
      var best: [UInt8] = []
      var bestCost = Int.max
      for filter: UInt8 in 0...2 {
        var line: [UInt8] = [filter]
        line.reserveCapacity(rowBytes + 1)
        var cost = 0
        for column in 0..<rowBytes {
          let predicted: UInt8 =
            switch filter {
            case 1: column < 3 ? 0 : pixels[start + column - 3]
            case 2: row == 0 ? 0 : pixels[start + column - rowBytes]
            default: 0
            }
          let difference = pixels[start + column] &- predicted
          line.append(difference)
          cost += Int(min(difference, 0 &- difference))
        }
        if cost < bestCost { (best, bestCost) = (line, cost) }
      }
      output.append(contentsOf: best)
    }
    return output
  }

  private static func append(_ type: String, _ data: [UInt8], to file: inout [UInt8]) {
    let body = Array(type.utf8) + data
    file += bigEndian(UInt32(data.count)) + body + bigEndian(CRC32.checksum(body))
  }

  static func bigEndian(_ value: UInt32) -> [UInt8] {
    [UInt8(value >> 24), UInt8(value >> 16 & 0xFF), UInt8(value >> 8 & 0xFF), UInt8(value & 0xFF)]
  }
}

/// The checksum of PNG chunks (ISO 3309).
enum CRC32 {
  private static let table: [UInt32] = (0..<256).map { byte in
    (0..<8).reduce(UInt32(byte)) { value, _ in value & 1 == 1 ? 0xEDB8_8320 ^ value >> 1 : value >> 1 }
  }

  static func checksum(_ bytes: [UInt8]) -> UInt32 {
    ~bytes.reduce(~0) { sum, byte in table[Int((sum ^ UInt32(byte)) & 0xFF)] ^ sum >> 8 }
  }
}
