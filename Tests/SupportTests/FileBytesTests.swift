import Glibc
import Testing

@testable import Support

@Suite struct FileBytesTests {
  @Test func bytesSurviveARoundTrip() throws {
    let path = "/tmp/adadiff-file-bytes-\(getpid())"
    defer { unlink(path) }
    let bytes = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    try FileBytes.write(bytes, to: path)
    #expect(try FileBytes.read(path) == bytes)
    try FileBytes.write([], to: path)
    #expect(try FileBytes.read(path).isEmpty)
  }

  @Test(arguments: [("/nowhere/at/all", Status.notFound), ("/proc/version/x", .notFound), ("/proc", .io)])
  func failuresNameTheFile(path: String, status: Status) {
    #expect { try FileBytes.write([1], to: path) } throws: {
      let failure = $0 as? Failure
      return failure?.status == status && failure?.file == path
    }
  }

  /// A full device: the write fails, the device stays.
  @Test func fullDeviceIsAnError() {
    #expect { try FileBytes.write([1, 2, 3], to: "/dev/full") } throws: { ($0 as? Failure)?.status == .io }
    #expect(access("/dev/full", F_OK) == 0)
  }
}
