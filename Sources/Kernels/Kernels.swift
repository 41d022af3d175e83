import CSIMD
import Glibc
package import KernelTable
import KernelsPortable
#if arch(x86_64)
  import KernelsAMX
  import KernelsAVX2
  import KernelsAVX512
  import KernelsAVX512BF16
  import KernelsAVX512VNNI
#endif

/// Chooses the kernel table of this machine.
package enum Kernels {
  /// The tables that this machine can run, best first; the last one is always `portable`. That of tiles only where the
  /// environment does not ask for another: the process needs the operating system's leave for them.
  package static let supported: [KernelTable] = {
    var tables: [KernelTable] = []
    #if arch(x86_64)
      if csimd_has_avx512() {
        tables.append(KernelsAVX512.kernelTable())
        if csimd_has_avx512_vnni() {
          tables.insert(withByteProducts(tables[0]), at: 0)
          if csimd_has_avx512_bf16() {
            let pairs = withPairProducts(tables[0])
            tables.insert(pairs, at: hasFastPairs ? 0 : 1)
            if wanted == nil || wanted == "avx512_amx", csimd_may_use_tiles() {
              tables.insert(withTileProducts(pairs), at: 0)
            }
          }
        }
      }
      if csimd_has_avx2() { tables.append(KernelsAVX2.kernelTable()) }
    #endif
    tables.append(KernelsPortable.kernelTable())
    return tables
  }()

  private static var wanted: String? { getenv("ADADIFF_ISA").map { String(cString: $0) } }

  /// Whether a dot product of pairs takes less time than two multiply-adds. On AMD's processors it takes that of one
  /// (families 25 and 26 measured), on Intel's that of four (family 6, model 207).
  private static var hasFastPairs: Bool { csimd_amd_family() > 0 }

  /// The table in use: the environment's `ADADIFF_ISA` (`avx512_amx`, `avx512_bf16`, `avx512_vnni`, `avx512`, `avx2`, `portable`) where the machine has it,
  /// else the best one. Fixed for the life of the process, so that packed weights and kernels always fit each other.
  package static let current: KernelTable = {
    if let wanted, let table = table(named: wanted) { return table }
    return supported.first ?? KernelsPortable.kernelTable()
  }()

  /// The supported table of that name, nil if there is none.
  package static func table(named name: String) -> KernelTable? {
    supported.first { $0.name.description == name }
  }
}
