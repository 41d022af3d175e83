import Glibc
import Support

/// A growing CSV file that several processes fill together.
///
/// Rows are only ever appended, whole, under a lock. Work is claimed by locking one byte of `<table>.lock` per unit of
/// work; the kernel drops the locks of a process that dies, so that nothing stays claimed. A row that a killed process
/// left incomplete at the end is cut off before the next one is written.
final class SharedTable {
  struct RowKey: Hashable {
    var prompt: String
    var seed: Int
    var steps: Int
  }

  /// Open file description locks (Linux): they belong to this descriptor, not to the process, so that threads and several
  /// collections of one process keep apart.
  private static let setLock: Int32 = 37
  private static let setLockWait: Int32 = 38
  /// Byte of the lock file that guards the table itself; far beyond any unit of work.
  private static let tableByte = 1 << 60

  let path: String
  private let header: [String]
  private let descriptor: Int32
  private let lockDescriptor: Int32
  private(set) var present: Set<RowKey> = []
  /// Bytes of the table that `present` covers.
  private var readCount = 0

  /// Opens or begins the table. Throws where an existing one has other columns.
  init(path: String, header: [String]) throws(Failure) {
    self.path = path
    self.header = header
    descriptor = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw WholeFile.failure(path, errno) }
    lockDescriptor = open(path + ".lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard lockDescriptor >= 0 else {
      let code = errno
      close(descriptor)
      throw WholeFile.failure(path + ".lock", code)
    }
    try exclusively { () throws(Failure) in
      if try size() == 0 { try write(header.map(CSVReader.quoted).joined(separator: ",") + "\n") }
      try readNew()
    }
  }

  deinit {
    close(descriptor)
    close(lockDescriptor)
  }

  /// Claims a unit of work until `release`; false when another process works on it.
  func claim(_ unit: Int) throws(Failure) -> Bool { try lock(unit, type: Int32(F_WRLCK), wait: false) }

  func release(_ unit: Int) { _ = try? lock(unit, type: Int32(F_UNLCK), wait: false) }

  private func lock(_ byte: Int, type: Int32, wait: Bool) throws(Failure) -> Bool {
    var request = flock()
    request.l_type = Int16(type)
    request.l_whence = Int16(SEEK_SET)
    request.l_start = byte
    request.l_len = 1
    while fcntl(lockDescriptor, wait ? Self.setLockWait : Self.setLock, &request) != 0 {
      switch errno {
      case EINTR: continue
      case EAGAIN, EACCES: return false
      default: throw WholeFile.failure(path + ".lock", errno)
      }
    }
    return true
  }

  private func exclusively<Result>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
    _ = try lock(Self.tableByte, type: Int32(F_WRLCK), wait: true)
    defer { _ = try? lock(Self.tableByte, type: Int32(F_UNLCK), wait: false) }
    return try body()
  }

  /// Learns of rows that other processes have written.
  func refresh() throws(Failure) {
    guard try size() != readCount else { return }
    try exclusively { () throws(Failure) in try readNew() }
  }

  /// Appends one row; on a full disk the table stays as it was.
  func append(_ fields: [String], key: RowKey) throws(Failure) {
    try exclusively { () throws(Failure) in
      try readNew()
      guard !present.contains(key) else { return }
      try write(fields.map(CSVReader.quoted).joined(separator: ",") + "\n")
      try readNew()
    }
  }

  private func size() throws(Failure) -> Int {
    var information = stat()
    guard fstat(descriptor, &information) == 0 else { throw WholeFile.failure(path, errno) }
    return Int(information.st_size)
  }

  /// Under the lock: everything or nothing.
  private func write(_ text: String) throws(Failure) {
    let before = try size()
    let code = WholeFile.append(Array(text.utf8), to: descriptor)
    guard code == 0 else {
      ftruncate(descriptor, off_t(before))
      throw WholeFile.failure(path, code)
    }
  }

  /// Under the lock: cuts off an incomplete last line, then reads what is new.
  private func readNew() throws(Failure) {
    let total = try size()
    var bytes = [UInt8](repeating: 0, count: total - min(total, readCount))
    var filled = 0
    while filled < bytes.count {
      let count = bytes.withUnsafeMutableBytes {
        pread(descriptor, $0.baseAddress.map { $0 + filled }, $0.count - filled, off_t(readCount + filled))
      }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { throw Failure(.io, "cannot read the table", component: "table", file: path) }
      filled += count
    }
    if let last = bytes.last, last != 0x0A {
      let end = bytes.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
      guard ftruncate(descriptor, off_t(readCount + end)) == 0 else { throw WholeFile.failure(path, errno) }
      bytes.removeSubrange(end...)
      if readCount + end == 0 {
        try write(header.map(CSVReader.quoted).joined(separator: ",") + "\n")
        return try readNew()
      }
    }
    guard !bytes.isEmpty else { return }
    // Later pieces have no header of their own.
    let prefix = readCount == 0 ? [] : Array((header.map(CSVReader.quoted).joined(separator: ",") + "\n").utf8)
    let result: Result<TableRows, Failure> = (prefix + bytes).withUnsafeBytes { raw in
      do throws(Failure) {
        var reader = CSVReader(bytes: raw, file: path)
        return .success(try TableRows(&reader, file: path, allowsNothing: true))
      } catch {
        return .failure(error)
      }
    }
    let rows = try result.get()
    guard rows.header == header else {
      throw Failure(
        .corrupt, "the table has other columns than this collection", component: "table", file: path,
        expected: header.joined(separator: ","), actual: rows.header.joined(separator: ","))
    }
    for row in rows.rows {
      guard present.insert(RowKey(prompt: row.prompt, seed: row.seed, steps: row.steps)).inserted else {
        throw Failure(
          .corrupt, "a second row with \(row.steps) steps for '\(row.prompt.prefix(80))', seed \(row.seed)",
          component: "table", file: path)
      }
    }
    readCount += bytes.count
  }
}
