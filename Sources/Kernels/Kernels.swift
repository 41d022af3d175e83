import CSIMD
import Glibc
package import KernelTable
import KernelsPortable
#if arch(x86_64)
  import KernelsAVX2
  import KernelsAVX512
  import KernelsAVX512Dot
#endif

/// Chooses the kernel table of this machine.
package enum Kernels {
  /// The tables that this machine can run, best first; the last one is always `portable`.
  package static let supported: [KernelTable] = {
    var tables: [KernelTable] = []
    #if arch(x86_64)
      if csimd_has_avx512() {
        let table = KernelsAVX512.kernelTable()
        if csimd_has_avx512_dot() { tables.append(withDotProducts(table)) }
        tables.append(table)
      }
      if csimd_has_avx2() { tables.append(KernelsAVX2.kernelTable()) }
    #endif
    tables.append(KernelsPortable.kernelTable())
    return tables
  }()

  /// The table in use: the environment's `ADADIFF_ISA` (`avx512_bf16`, `avx512`, `avx2`, `portable`) where the machine has it,
  /// else the best one. Fixed for the life of the process, so that packed weights and kernels always fit each other.
  package static let current: KernelTable = {
    if let wanted = getenv("ADADIFF_ISA"), let table = table(named: String(cString: wanted)) { return table }
    return supported.first ?? KernelsPortable.kernelTable()
  }()

  /// The supported table of that name, nil if there is none.
  package static func table(named name: String) -> KernelTable? {
    supported.first { $0.name.description == name }
  }
}
