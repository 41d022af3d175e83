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

  /// A full device, seen at once or only when the buffer is written: the reason is named, the device stays.
  @Test(arguments: [3, 1 << 20]) func fullDeviceIsAnError(count: Int) {
    #expect { try FileBytes.write([UInt8](repeating: 1, count: count), to: "/dev/full") } throws: {
      let failure = $0 as? Failure
      return failure?.status == .io && failure?.message.contains(String(cString: strerror(ENOSPC))) == true
    }
    #expect(access("/dev/full", F_OK) == 0)
  }
}
