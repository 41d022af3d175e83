import Glibc
import Testing

@testable import Support

@Suite struct MappedFileTests {
  /// Hints about pages change no byte, wherever their ranges begin and end, and pages that were dropped come back.
  @Test func hintsKeepTheBytes() throws {
    let path = "/tmp/adadiff-mapped-file-\(getpid())"
    defer { unlink(path) }
    let bytes = (0..<50_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    try FileBytes.write(bytes, to: path)
    let file = try MappedFile(path: path)
    let ranges = [0..<50_000, 5..<6, 4095..<4097, 8192..<8192, 40_000..<60_000, 49_999..<50_000]
    for range in ranges {
      file.populatePages(in: range)
      #expect(file.bytes.elementsEqual(bytes))
      file.dropPages(in: range)
      #expect(file.bytes.elementsEqual(bytes))
    }
  }

  /// A range that is about to be read is in memory after the call, where the kernel knows the hint.
  @Test func populatedPagesAreMapped() throws {
    let path = "/tmp/adadiff-populated-\(getpid())"
    defer { unlink(path) }
    let count = 64 << 20
    try FileBytes.write([UInt8](repeating: 1, count: count), to: path)
    let file = try MappedFile(path: path)
    func faults() -> Int {
      var usage = rusage()
      // RUSAGE_THREAD, which Glibc does not name here.
      getrusage(1, &usage)
      return usage.ru_minflt + usage.ru_majflt
    }
    file.populatePages(in: 0..<count)
    let before = faults()
    var sum = 0
    for page in stride(from: 0, to: count, by: 4096) { sum += Int(file.bytes[page]) }
    #expect(sum == count / 4096)
    // Without the hint, 64 KB at most come with a fault: a thousand of them. Kernels before 5.14 ignore it.
    var name = utsname()
    uname(&name)
    let release = withUnsafeBytes(of: name.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    let version = release.split(separator: ".").prefix(2).compactMap { Int($0) }
    if !version.lexicographicallyPrecedes([5, 14]) { #expect(faults() - before < 100) }
  }
}
