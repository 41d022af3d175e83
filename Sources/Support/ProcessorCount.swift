import CSIMD
import Glibc

/// How many CPUs this process may use: its affinity mask, limited by the CPU quota of its control groups.
public enum ProcessorCount {
  public static var available: Int { max(1, min(affinity ?? online, quota ?? Int.max)) }

  static var online: Int { max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))) }

  /// CPUs in the affinity mask.
  static var affinity: Int? {
    let count = Int(csimd_affinity_count())
    return count > 0 ? count : nil
  }

  /// Whole CPUs that the quotas of the control groups (version 2 or 1) allow, rounded up; nil without a quota.
  static var quota: Int? {
    guard let groups = readText("/proc/self/cgroup") else { return nil }
    var smallest: Int?
    for line in groups.split(separator: "\n") {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let controllers = fields[1].split(separator: ",")
      guard fields[0] == "0" || controllers.contains("cpu") else { continue }
      let root = fields[0] == "0" ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu"
      // A limit may sit on any ancestor.
      var parts = fields[2].split(separator: "/")
      while true {
        let folder = parts.isEmpty ? root : root + "/" + parts.joined(separator: "/")
        let limit =
          readText(folder + "/cpu.max").flatMap(parseCPUMax)
          ?? parseQuota(readText(folder + "/cpu.cfs_quota_us"), readText(folder + "/cpu.cfs_period_us"))
        if let limit { smallest = min(smallest ?? limit, limit) }
        if parts.isEmpty { break }
        parts.removeLast()
      }
    }
    return smallest
  }

  /// `cpu.max` of control groups version 2: "QUOTA PERIOD" in microseconds or "max PERIOD".
  static func parseCPUMax(_ text: String) -> Int? {
    let words = text.split { $0 == " " || $0 == "\n" }
    guard words.count >= 2 else { return nil }
    return parseQuota(String(words[0]), String(words[1]))
  }

  static func parseQuota(_ quota: String?, _ period: String?) -> Int? {
    guard let quota = quota.flatMap(number), let period = period.flatMap(number), quota > 0, period > 0 else {
      return nil
    }
    return max(1, quota / period + (quota % period == 0 ? 0 : 1))
  }

  private static func number(_ text: String) -> Int? { Int(text.prefix { $0 != "\n" }) }

  /// The start of a small text file (64 KiB).
  private static func readText(_ path: String) -> String? {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: 1 << 16)
    let count = bytes.withUnsafeMutableBytes { read(file, $0.baseAddress, $0.count) }
    guard count > 0 else { return nil }
    return String(decoding: bytes[..<count], as: UTF8.self)
  }
}
