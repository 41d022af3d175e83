import Glibc
import Support

/// Weights in files next to the model: finds, checks and maps them. Each file is mapped once per model.
final class ExternalData {
  private let folder: String?
  private let linkedFolder: String?
  private var files: [String: MappedFile] = [:]

  /// `folder`: where the data lies of a model that did not come from a file; nil: it may have none.
  init(folder: String?) {
    self.folder = folder
    linkedFolder = nil
  }

  /// Of a model file, which may be a link, as in a Hugging Face cache, whose snapshots link every file to a folder of blobs: what links
  /// to the same folder is the model's too.
  init(model: String) {
    folder = Self.folder(of: model)
    linkedFolder = Self.realPath(model).map(Self.folder(of:))
  }

  /// Bytes of an external tensor. `location` is relative to the model's folder and may leave it only by a link to the folder of
  /// the file that the model is a link to.
  func bytes(
    location: String, offset: Int, length: Int?, required: Int
  ) throws -> (UnsafeMutableRawBufferPointer, MappedFile) {
    let file = try mapped(location)
    if let length, length != required {
      throw Failure(
        .corrupt, "external data in '\(location)' has the wrong length", expected: "\(required) bytes",
        actual: "\(length) bytes")
    }
    guard offset >= 0, offset <= file.bytes.count, required <= file.bytes.count - offset else {
      throw Failure(
        .corrupt, "external data file '\(location)' is too short",
        expected: "\(required) bytes at offset \(offset)", actual: "a file of \(file.bytes.count) bytes")
    }
    let start = file.bytes.baseAddress.map { UnsafeMutableRawPointer(mutating: $0 + offset) }
    return (UnsafeMutableRawBufferPointer(start: start, count: required), file)
  }

  private func mapped(_ location: String) throws -> MappedFile {
    if let file = files[location] { return file }
    guard let folder else {
      throw Failure(.unsupported, "external data '\(location)' needs a model that is loaded from a file")
    }
    let parts = location.split(separator: "/", omittingEmptySubsequences: false)
    guard !location.isEmpty, !location.hasPrefix("/"), !location.utf8.contains(0), !parts.contains("..") else {
      throw outside(location)
    }
    guard let base = Self.realPath(folder) else { throw Failure(.notFound, "no such folder", file: folder) }
    guard let target = Self.realPath(folder + "/" + location) else {
      throw Failure(.notFound, "external data file '\(location)' does not exist")
    }
    guard target.hasPrefix(base == "/" ? base : base + "/") || Self.folder(of: target) == linkedFolder else {
      throw outside(location)
    }
    let file: MappedFile
    do {
      file = try MappedFile(path: target)
    } catch {
      throw Failure(error.status, "external data file '\(location)': \(error.message)")
    }
    files[location] = file
    return file
  }

  private func outside(_ location: String) -> Failure {
    Failure(.invalidArgument, "external data '\(location)' lies outside the model's folder")
  }

  private static func folder(of path: String) -> String {
    path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
  }

  private static func realPath(_ path: String) -> String? {
    guard let resolved = realpath(path, nil) else { return nil }
    defer { free(resolved) }
    return String(validatingCString: resolved)
  }
}
