import Glibc
import Support

extension NumpyArray {
  /// Reads a `.npy` file of format version 1, 2 or 3.
  ///
  /// Throws `.notFound` or `.io` where the file cannot be read, `.corrupt` where it is truncated, longer than its header
  /// says or not a `.npy` file, and `.unsupported` for element types other than little-endian numbers and booleans.
  public init(readingFile path: String) throws(Failure) {
    try self.init(parsing: try FileBytes.read(path), file: path)
  }

  /// Parses the bytes of a `.npy` file; `file` is named in failures.
  public init(parsing bytes: [UInt8], file: String = "array.npy") throws(Failure) {
    let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)
    guard bytes.starts(with: magic), bytes.count >= 10 else {
      throw Failure(.corrupt, "not a .npy file (its first bytes are wrong)", file: file)
    }
    let version = bytes[6]
    let lengthBytes: Int
    switch version {
    case 1: lengthBytes = 2
    case 2, 3: lengthBytes = 4
    default: throw Failure(.unsupported, "version \(version) of the .npy format (1 to 3 are known)", file: file)
    }
    let start = 8 + lengthBytes
    guard bytes.count >= start else { throw Failure(.corrupt, "truncated inside the header", file: file) }
    let length = bytes[8..<start].reversed().reduce(0) { $0 << 8 | Int($1) }
    guard length <= NumpyHeader.maximumLength else {
      throw Failure(.corrupt, "a header of \(length) bytes (at most \(NumpyHeader.maximumLength))", file: file)
    }
    guard bytes.count >= start + length else { throw Failure(.corrupt, "truncated inside the header", file: file) }
    let header = try NumpyHeader.parse(bytes[start..<(start + length)], file: file)
    let expected: Int
    do {
      expected = try CheckedSize.product(header.shape + [header.type.byteCount], of: "array shape")
    } catch {
      throw error.adding(file: file)
    }
    let elements = bytes[(start + length)...]
    guard elements.count == expected else {
      throw Failure(
        .corrupt, "the elements of shape \(header.shape) do not fill the file", file: file,
        expected: "\(expected) bytes", actual: "\(elements.count)")
    }
    type = header.type
    shape = header.shape
    self.bytes =
      header.fortranOrder && header.shape.count > 1
      ? NumpyArray.rowMajor(Array(elements), shape: header.shape, elementBytes: header.type.byteCount)
      : Array(elements)
  }

  /// Reorders column-major (Fortran) elements; `columnMajor` holds exactly the elements of `shape`.
  private static func rowMajor(_ columnMajor: [UInt8], shape: [Int], elementBytes: Int) -> [UInt8] {
    guard !columnMajor.isEmpty else { return [] }
    var strides: [Int] = []
    var stride = elementBytes
    for size in shape {
      strides.append(stride)
      stride *= size
    }
    var result: [UInt8] = []
    result.reserveCapacity(columnMajor.count)
    var index = [Int](repeating: 0, count: shape.count)
    var offset = 0
    for _ in 0..<(columnMajor.count / elementBytes) {
      result.append(contentsOf: columnMajor[offset..<(offset + elementBytes)])
      // Counts up in row-major order: the last axis runs fastest.
      for axis in shape.indices.reversed() {
        index[axis] += 1
        offset += strides[axis]
        if index[axis] < shape[axis] { break }
        offset -= strides[axis] * shape[axis]
        index[axis] = 0
      }
    }
    return result
  }
}
