import Glibc
import Support

/// File names and what may be done with them.
enum Paths {
  static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  static func isFolder(_ path: String) -> Bool {
    var information = stat()
    return stat(path, &information) == 0 && information.st_mode & S_IFMT == S_IFDIR
  }

  /// The folder that holds `path`: `.` for a bare name, `/` for the root.
  static func parent(_ path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  static func join(_ folder: String, _ name: String) -> String {
    folder.hasSuffix("/") ? folder + name : "\(folder)/\(name)"
  }

  /// `scene.png`, 2 → `scene-2.png`.
  static func numbered(_ path: String, _ number: Int) -> String {
    let start = path.lastIndex(of: "/").map { path.index(after: $0) } ?? path.startIndex
    guard let dot = path[start...].lastIndex(of: "."), dot != start else { return "\(path)-\(number)" }
    return "\(path[..<dot])-\(number)\(path[dot...])"
  }

  /// Throws now what writing to `path` would throw later, and leaves the file as it is.
  static func requireWritable(_ path: String) throws(Failure) {
    if isFolder(path) { throw Failure(.io, "cannot write: it is a folder", file: path) }
    guard isFolder(parent(path)) else {
      throw Failure(.notFound, "cannot write: there is no folder '\(parent(path))'", file: path)
    }
    let isNew = !exists(path)
    let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else {
      throw Failure(.io, "cannot write: \(String(cString: strerror(errno)))", file: path)
    }
    close(descriptor)
    if isNew { unlink(path) }
  }

  /// Makes `path` a folder that files can be written to; its parent must exist.
  static func requireWritableFolder(_ path: String) throws(Failure) {
    if mkdir(path, 0o777) != 0 && errno != EEXIST {
      throw Failure(
        errno == ENOENT ? .notFound : .io, "cannot make the folder: \(String(cString: strerror(errno)))", file: path)
    }
    try requireWritable(join(path, ".adadiff-\(getpid())"))
  }

  /// Names in a folder, sorted, without `.` and `..`; empty where it cannot be read.
  static func names(in folder: String) -> [String] {
    guard let directory = opendir(folder) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) {
        String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// Bytes of a file; 0 where it cannot be asked.
  static func size(_ path: String) -> Int {
    var information = stat()
    return stat(path, &information) == 0 ? Int(information.st_size) : 0
  }
}

enum Environment {
  static func value(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

  /// Absolute path of this program, links resolved.
  static var executablePath: String? {
    guard let path = realpath("/proc/self/exe", nil) else { return nil }
    defer { free(path) }
    return String(cString: path)
  }
}
