import Support

extension NumpyArray {
  /// The bytes of a `.npy` file of version 1, elements aligned to 64 bytes.
  public var fileBytes: [UInt8] {
    let text = NumpyHeader(type: type, fortranOrder: false, shape: shape).text
    // 10 bytes of magic, version and length; the header ends in a newline.
    let padding = (64 - (10 + text.utf8.count + 1) % 64) % 64
    let header = Array(text.utf8) + [UInt8](repeating: 0x20, count: padding) + [0x0A]
    var file: [UInt8] = [0x93] + Array("NUMPY".utf8) + [1, 0]
    file += [UInt8(truncatingIfNeeded: header.count), UInt8(truncatingIfNeeded: header.count >> 8)]
    return file + header + bytes
  }

  /// Writes the array as a `.npy` file.
  public func write(toFile path: String) throws(Failure) {
    guard shape.count <= NumpyHeader.maximumRank else {
      throw Failure(
        .outOfRange, "an array of \(shape.count) dimensions (at most \(NumpyHeader.maximumRank))", file: path)
    }
    try FileBytes.write(fileBytes, to: path)
  }
}
