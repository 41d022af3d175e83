import Glibc
import NumpyFiles
import Support
import Testing

/// Header text and elements as numpy would write them.
private func file(_ header: String, _ elements: [UInt8] = [], version: UInt8 = 1) -> [UInt8] {
  let text = Array(header.utf8) + [0x0A]
  let length = version == 1 ? 2 : 4
  let size = (0..<length).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
  return [0x93] + Array("NUMPY".utf8) + [version, 0] + size + text + elements
}

private func status(of bytes: [UInt8]) -> Status? {
  do throws(Failure) {
    _ = try NumpyArray(parsing: bytes)
    return nil
  } catch {
    #expect(error.file == "array.npy")
    return error.status
  }
}

@Suite struct NumpyFilesTests {
  @Test(arguments: NumpyType.allCases)
  func everyTypeSurvivesARoundTrip(type: NumpyType) throws {
    let bytes = (0..<(6 * type.byteCount)).map { UInt8(truncatingIfNeeded: $0 * 37 % 2) }
    let array = try NumpyArray(type: type, shape: [2, 3], bytes: bytes)
    #expect(try NumpyArray(parsing: array.fileBytes) == array)
    #expect((array.fileBytes.count - bytes.count) % 64 == 0, "elements start at a multiple of 64 bytes")
  }

  @Test(arguments: [[], [0], [5], [3, 0, 2], [1, 1, 1, 1, 1]])
  func everyRankSurvivesARoundTrip(shape: [Int]) throws {
    let array = try NumpyArray(shape: shape, floats: (0..<shape.reduce(1, *)).map(Float.init))
    #expect(try NumpyArray(parsing: array.fileBytes) == array)
  }

  @Test func columnMajorIsReordered() throws {
    // numpy.asfortranarray(numpy.arange(6, dtype='u1').reshape(1, 2, 3)) stores 0 3 1 4 2 5.
    let bytes = file("{'descr': '|u1', 'fortran_order': True, 'shape': (1, 2, 3), }", [0, 3, 1, 4, 2, 5])
    #expect(try NumpyArray(parsing: bytes).bytes == [0, 1, 2, 3, 4, 5])
  }

  @Test(arguments: [UInt8(1), 2, 3])
  func everyFormatVersionIsRead(version: UInt8) throws {
    let array = try NumpyArray(
      parsing: file("{\"shape\":(2L,),\"descr\":\"<i2\",'fortran_order':False}", [1, 0, 2, 0], version: version))
    #expect(array.type == .int16 && array.shape == [2])
  }

  @Test func halfAndDoubleConvertToFloat() throws {
    // 1, −2, the smallest subnormal, the largest finite, infinity.
    let half = try NumpyArray(
      type: .float16, shape: [5], bytes: [0x00, 0x3C, 0x00, 0xC0, 0x01, 0x00, 0xFF, 0x7B, 0x00, 0x7C])
    #expect(try half.floats() == [1, -2, 0x1p-24, 65_504, .infinity])
    let double = try NumpyArray(type: .float64, shape: [1], bytes: withUnsafeBytes(of: 0.25) { [UInt8]($0) })
    #expect(try double.floats() == [0.25])
    #expect(throws: Failure.self) { try NumpyArray(type: .bool, shape: [1], bytes: [1]).floats() }
  }

  @Test func hostileFilesAreErrors() {
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }"
    let cases: [(bytes: [UInt8], status: Status, what: String)] = [
      ([], .corrupt, "empty"),
      (Array("PK\u{3}\u{4}0123456789".utf8), .corrupt, "an .npz archive"),
      (Array(file(header).prefix(20)), .corrupt, "truncated header"),
      (file(header, [0, 0, 0]), .corrupt, "truncated elements"),
      (file(header, [UInt8](repeating: 0, count: 9)), .corrupt, "bytes after the elements"),
      (file(header, version: 9), .unsupported, "a later version"),
      ([0x93] + Array("NUMPY".utf8) + [2, 0, 255, 255, 255, 255], .corrupt, "an absurd header length"),
      (file("{'descr': '>f4', 'fortran_order': False, 'shape': (0,), }"), .unsupported, "big-endian"),
      (file("{'descr': '|O', 'fortran_order': False, 'shape': (0,), }"), .unsupported, "pickled objects"),
      (file("{'descr': '<U4', 'fortran_order': False, 'shape': (0,), }"), .unsupported, "strings"),
      (file("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (0,), }"), .unsupported, "structured"),
      (file("{'descr': '<f4', 'fortran_order': 0, 'shape': (0,), }"), .corrupt, "a number for a boolean"),
      (file("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }"), .corrupt, "a negative size"),
      (file("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }"), .corrupt, "overflow"),
      (file("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }"), .outOfMemory, "product"),
      (file("{'descr': '<f4', 'fortran_order': False, 'shape': 3, }"), .corrupt, "a shape that is no tuple"),
      (
        file("{'descr': '<f4', 'fortran_order': False, 'shape': (\(String(repeating: "1,", count: 99))), }"),
        .corrupt, "rank"
      ),
      (file("{'descr': '<f4', 'shape': (0,), }"), .corrupt, "a missing key"),
      (file("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (0,), }"), .corrupt, "a repeated key"),
      (file("{'descr': '<f4"), .corrupt, "an open string"),
      (file("{"), .corrupt, "an open dictionary"),
      (file(header + "; import os"), .corrupt, "text after the dictionary"),
    ]
    for (bytes, expected, what) in cases { #expect(status(of: bytes) == expected, "\(what)") }
  }

  @Test func everyTruncationAndFlippedByteIsHandled() throws {
    let good = try NumpyArray(shape: [2, 2], floats: [1, 2, 3, 4]).fileBytes
    for length in 0..<good.count { #expect(status(of: Array(good.prefix(length))) != nil) }
    for position in good.indices {
      for value in [0x00, 0x27, 0x28, 0xFF] as [UInt8] {
        var bytes = good
        bytes[position] = value
        _ = try? NumpyArray(parsing: bytes)
      }
    }
  }

  @Test func filesThatCannotBeReadOrWrittenSayWhy() throws {
    let missing = #expect(throws: Failure.self) { try NumpyArray(readingFile: "/nonexistent/latents.npy") }
    #expect(missing?.status == .notFound && missing?.file == "/nonexistent/latents.npy")
    let folder = #expect(throws: Failure.self) { try NumpyArray(readingFile: "/tmp") }
    #expect(folder?.status == .io)
    let array = try NumpyArray(shape: [1], floats: [1])
    #expect(throws: Failure.self) { try array.write(toFile: "/nonexistent/latents.npy") }
  }
}
