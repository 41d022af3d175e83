import Glibc

/// Whole files as bytes, with failures that name the file.
public enum FileBytes {
  public static func read(_ path: String) throws(Failure) -> [UInt8] {
    guard let file = fopen(path, "rb") else {
      throw Failure(errno == ENOENT ? .notFound : .io, "cannot open: \(errorText(errno))", file: path)
    }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var block = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      let count = fread(&block, 1, block.count, file)
      if count > 0 { bytes.append(contentsOf: block[..<count]) }
      if count < block.count { break }
    }
    guard ferror(file) == 0 else { throw Failure(.io, "cannot read: \(errorText(errno))", file: path) }
    return bytes
  }

  /// Writes `bytes` to `path`, replacing what was there; a failed write removes the partial file (a device
  /// or pipe stays).
  public static func write(_ bytes: [UInt8], to path: String) throws(Failure) {
    guard let file = fopen(path, "wb") else {
      let status: Status = errno == ENOENT || errno == ENOTDIR ? .notFound : .io
      throw Failure(status, "cannot write: \(errorText(errno))", file: path)
    }
    let written = fwrite(bytes, 1, bytes.count, file)
    let reason = errno
    guard fclose(file) == 0, written == bytes.count else {
      removeRegularFile(path)
      throw Failure(.io, "cannot write: \(errorText(reason))", file: path)
    }
  }

  private static func removeRegularFile(_ path: String) {
    var status = stat()
    if stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG { unlink(path) }
  }

  private static func errorText(_ code: Int32) -> String { String(cString: strerror(code)) }
}
