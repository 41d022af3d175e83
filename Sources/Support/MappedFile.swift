import Glibc

/// A file mapped read-only into memory; unmapped with the last reference.
///
/// A file that another process truncates while it is mapped would fault on access; model files must not be changed
/// while they are in use (the header says so).
public final class MappedFile: @unchecked Sendable {
  public let path: String
  public let bytes: UnsafeRawBufferPointer

  /// Throws `.notFound`, or `.io` for folders, special files and files that cannot be read.
  public init(path: String) throws(Failure) {
    self.path = path
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw Self.openFailure(path, errno) }
    defer { close(descriptor) }
    var information = stat()
    guard fstat(descriptor, &information) == 0 else { throw Self.openFailure(path, errno) }
    guard information.st_mode & S_IFMT == S_IFREG else { throw Failure(.io, "not a regular file", file: path) }
    let size = Int(information.st_size)
    guard size > 0 else {
      bytes = UnsafeRawBufferPointer(start: nil, count: 0)
      return
    }
    guard let address = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0), address != MAP_FAILED else {
      throw Failure(.outOfMemory, "cannot map \(size) bytes: \(String(cString: strerror(errno)))", file: path)
    }
    bytes = UnsafeRawBufferPointer(start: address, count: size)
  }

  /// Maps the pages of a range that is about to be read as a whole, all at once instead of a few with every fault. Only a
  /// hint: older kernels do not know it.
  public func populatePages(in range: Range<Int>) {
    guard let (start, count) = pages(from: range.lowerBound / pageSize * pageSize, to: range.upperBound) else { return }
    madvise(start, count, Self.populateRead)
  }

  /// Linux's MADV_POPULATE_READ (5.14), which C libraries name only lately.
  private static let populateRead: Int32 = 22

  /// Tells the kernel that these pages will not be needed soon (after packing); reading them again still works.
  public func dropPages(in range: Range<Int>) {
    let start = (range.lowerBound + pageSize - 1) / pageSize * pageSize
    guard let (start, count) = pages(from: start, to: range.upperBound / pageSize * pageSize) else { return }
    madvise(start, count, MADV_DONTNEED)
  }

  private let pageSize = sysconf(Int32(_SC_PAGESIZE))

  private func pages(from start: Int, to end: Int) -> (UnsafeMutableRawPointer, Int)? {
    guard let base = bytes.baseAddress, start >= 0, start < end, end <= bytes.count else { return nil }
    return (UnsafeMutableRawPointer(mutating: base + start), end - start)
  }

  deinit {
    if let base = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: base), bytes.count) }
  }

  private static func openFailure(_ path: String, _ code: Int32) -> Failure {
    let missing = code == ENOENT || code == ENOTDIR
    return Failure(missing ? .notFound : .io, missing ? "no such file" : String(cString: strerror(code)), file: path)
  }
}
