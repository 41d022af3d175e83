import Glibc

/// Files that appear whole or not at all.
public enum WholeFile {
  /// Writes beside `path`, waits for the disk, then renames. Throws `.notFound` for a missing folder, else `.io`; an older
  /// file stays as it was.
  public static func write(_ bytes: [UInt8], to path: String) throws(Failure) {
    let temporary = "\(path).\(getpid()).new"
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw failure(path, errno) }
    var code = append(bytes, to: descriptor)
    if code == 0, fsync(descriptor) != 0 { code = errno }
    if close(descriptor) != 0, code == 0 { code = errno }
    if code == 0, rename(temporary, path) != 0 { code = errno }
    guard code == 0 else {
      unlink(temporary)
      throw failure(path, code)
    }
  }

  public static func write(_ text: String, to path: String) throws(Failure) { try write(Array(text.utf8), to: path) }

  /// Writes all bytes; returns 0 or the error's number.
  public static func append(_ bytes: [UInt8], to descriptor: Int32) -> Int32 {
    var written = 0
    return bytes.withUnsafeBytes { buffer -> Int32 in
      while written < buffer.count {
        let count = Glibc.write(descriptor, buffer.baseAddress.map { $0 + written }, buffer.count - written)
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else { return count == 0 ? ENOSPC : errno }
        written += count
      }
      return 0
    }
  }

  public static func failure(_ path: String, _ code: Int32) -> Failure {
    Failure(
      code == ENOENT || code == ENOTDIR ? .notFound : .io, "cannot write: \(String(cString: strerror(code)))",
      file: path)
  }
}
