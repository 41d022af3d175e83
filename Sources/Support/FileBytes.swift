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
    guard let file = fopen(path, "wb") else { throw WholeFile.failure(path, errno) }
    var code = fwrite(bytes, 1, bytes.count, file) == bytes.count ? 0 : errno
    // A full disk may show only when what is buffered is written.
    if fclose(file) != 0, code == 0 { code = errno }
    guard code == 0 else {
      removeRegularFile(path)
      throw WholeFile.failure(path, code)
    }
  }

  private static func removeRegularFile(_ path: String) {
    var status = stat()
    if stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG { unlink(path) }
  }

  private static func errorText(_ code: Int32) -> String { String(cString: strerror(code)) }
}
